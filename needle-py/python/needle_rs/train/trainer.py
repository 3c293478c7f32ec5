"""The training loop: data made by worker processes, checkpoints that resume with the same data order."""

import json
import math
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from . import optim, templates, tokenizer
from .batch import Batch, Limits, collate
from .duplicates import Evaluation
from .generate import TemplateSource
from .mixture import Mixture
from .model import Config, San
from .objective import loss, teacher_forced
from .prompt import Prompter


@dataclass
class Settings:
    """One training run; every field can be set from the command line."""

    data: Path
    out: Path
    warm_start: Path | None = None
    own_templates: Path | None = None
    steps: int = 6000
    minutes: float | None = None
    groups: int = 8
    max_tools: int = 7
    curriculum_steps: int = 1000
    template_share: float = 0.5
    own_share: float = 0.17
    catalogue_share: float = 0.18
    muon_lr: float = 0.02
    adam_lr: float = 1.5e-3
    weight_decay: float = 0.01
    retrieval_every: int = 3
    average: float = 0.998
    seed: int = 7
    threads: int = 2
    workers: int = 1
    save_every: int = 100
    bf16: bool = True
    compiled: bool = True
    row_weights: dict[str, float] = field(
        default_factory=lambda: {
            "sgd_first_turn": 3.0,
            "sgd_accumulated": 2.0,
            "snips": 1.5,
            "hwu64": 2.0,
            "slurp_devel": 1.0,
            "home_llm": 1.0,
            "ha_intents": 1.0,
            "composed_two_calls": 1.0,
            "seal_tools_dev": 1.0,
            "restaurant8k": 0.3,
            "botframework_lu": 0.5,
            "clinc150": 0.5,
            "banking77": 0.3,
            "metatool_choice": 0.7,
        }
    )


# Steps take turns with the lengths they allow, so that short rows are not padded to long ones.
TURNS = [Limits(44, 20, 28), Limits(36, 30, 36), Limits(44, 20, 28), Limits(30, 40, 48), Limits(12, 96, 120)]


class Data:
    """Builds the batch of a step; lives in a worker process."""

    def __init__(self, settings: Settings, config: Config):
        self.settings = settings
        self.prompter = Prompter(tokenizer.load(settings.out / "tokenizer.json"), config.max_seq_len)
        self.templates = templates.load(settings.data / "templates", settings.seed)

    @cached_property
    def mixture(self) -> Mixture:
        """Read on first use: scoring needs the templates only."""
        s = self.settings
        files = {s.data / "train" / f"{n}.jsonl.gz": w for n, w in s.row_weights.items()}
        catalogue = sorted((s.data / "catalogue").glob("*.jsonl.gz"))
        evaluation = Evaluation.read(s.data / "eval")
        own = templates.load_whole(s.own_templates) if s.own_templates else None
        return Mixture(
            self.templates, own, files, catalogue, s.template_share, s.own_share, s.catalogue_share, evaluation
        )

    def batch(self, step: int) -> Batch:
        """The same seed and step give the same rows; catalogues grow over the first `curriculum_steps`."""
        s, rng = self.settings, random.Random(f"{self.settings.seed}/{step}")
        limits = TURNS[step % len(TURNS)]
        max_tools = 1 + round((s.max_tools - 1) * min(1.0, 0.2 + 0.8 * step / s.curriculum_steps))
        batch = None
        while batch is None:
            groups = [self.mixture.group(rng, max_tools, 2 * limits.queries) for _ in range(s.groups)]
            batch = collate(groups, self.prompter, limits)
        return batch

    def dev(self, name: str, num_groups: int, vary: bool = False) -> list[Batch]:
        """Batches of one dev split with its own seed; the tools around come from training."""
        rng = random.Random(f"dev/{name}")
        t = self.templates
        split = getattr(t, name)
        source = TemplateSource(split, t.train if name != "dev_domains" else split, t.lexicons, vary=vary)
        groups = [source.group(rng, rng.randint(2, 8), 16) for _ in range(num_groups)]
        return [collate(groups[i : i + 8], self.prompter) for i in range(0, num_groups, 8)]


_data: Data | None = None


def _start_worker(settings: Settings, config: Config) -> None:
    global _data
    torch.set_num_threads(1)
    _data = Data(settings, config)


def _work(step: int) -> Batch:
    return _data.batch(step)


class Run:
    """Model, averaged weights, optimisers and position of one run; `save` and `resume` keep all of it."""

    def __init__(self, settings: Settings, config: Config):
        self.settings, self.config = settings, config
        torch.manual_seed(settings.seed)
        self.model = San(config)
        if settings.warm_start:
            from .warm_start import embeddings

            table = embeddings(settings.warm_start, tokenizer.load(settings.out / "tokenizer.json"), config.d_model)
            self.model.embedding.weight.data.copy_(table)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimisers = optim.build(self.model, settings.muon_lr, settings.adam_lr, settings.weight_decay)
        self.step, self.seconds, self.examples = 0, 0.0, 0

    @property
    def progress(self) -> float:
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        return max(self.step / self.settings.steps, by_time)

    def train_step(self, batch: Batch) -> dict[str, float]:
        s = self.settings
        factor = optim.warmup_stable_decay(self.progress, 1.0)
        for optimiser, lr in zip(self.optimisers, (s.muon_lr, s.adam_lr), strict=True):
            optimiser.param_groups[0]["lr"] = lr * factor
        dtype = torch.bfloat16 if s.bf16 else torch.float32
        total, parts = loss(self.model, batch, dtype, retrieval=self.step % s.retrieval_every == 0)
        if not math.isfinite(total.item()):
            raise FloatingPointError(
                f"the loss is {total.item()} at step {self.step}; the last checkpoint is intact: "
                "lower the learning rates and resume"
            )
        self.model.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        keep = min(s.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return {"loss": total.item(), **parts}

    def averaged(self) -> San:
        model = San(self.config)
        model.load_state_dict(self.average)
        return model.eval()

    def save(self) -> None:
        """Writes beside the old checkpoint and renames, so that a full disk leaves the old one intact."""
        path = self.settings.out / "checkpoint.pt"
        temporary = path.with_suffix(".tmp")
        state = {
            "config": self.config.as_dict(),
            "model": self.model.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
            "examples": self.examples,
        }
        torch.save(state, temporary)
        temporary.replace(path)

    def resume(self) -> bool:
        path = self.settings.out / "checkpoint.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        if state["config"] != self.config.as_dict():
            raise ValueError(f"{path} was trained with other sizes; choose another --out")
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds, self.examples = state["step"], state["seconds"], state["examples"]
        return True


def load_average(path: Path) -> San:
    """The averaged weights of a checkpoint: what a run exports."""
    state = torch.load(path, weights_only=True)
    model = San(Config(**state["config"]))
    model.load_state_dict(state["average"])
    return model.eval()


def evaluate(model: San, batches: list[Batch]) -> dict[str, float]:
    """Share of examples whose every free token (`exact`), whose every name token (`tool`) is most probable."""
    results = [teacher_forced(model, batch, torch.bfloat16) for batch in batches]
    return {key: sum(sum(r[key]) for r in results) / sum(len(r[key]) for r in results) for key in ("exact", "tool")}


def train(settings: Settings, config: Config) -> Run:
    torch.set_num_threads(settings.threads)
    run = Run(settings, config)
    if run.resume():
        print(f"resuming at step {run.step}", flush=True)
    if settings.compiled:
        for layer in [*run.model.encoder.layers, *run.model.decoder.layers]:
            layer.compile(dynamic=True)
    data = Data(settings, config)
    dev = {name: data.dev(name, 24) for name in ("dev_phrasings", "dev_tools", "dev_domains")}
    workers = ProcessPoolExecutor(settings.workers, initializer=_start_worker, initargs=(settings, config))
    with workers as pool, (settings.out / "log.jsonl").open("a") as log:
        ahead = [pool.submit(_work, run.step + i) for i in range(2 + settings.workers)]
        shown, first_step = {}, run.step
        while run.progress < 1.0:
            batch = ahead.pop(0).result()
            ahead.append(pool.submit(_work, run.step + len(ahead) + 1))
            start = time.monotonic()
            parts = run.train_step(batch)
            run.examples += batch.labels[..., 0].count_nonzero().item()
            compiling = settings.compiled and run.step - first_step <= len(TURNS)
            run.seconds += 0.0 if compiling else time.monotonic() - start
            for key, value in parts.items():
                shown[key] = 0.95 * shown.get(key, value) + 0.05 * value
            if run.step % 25 == 0:
                left = (1 / max(run.progress, 1e-9) - 1) * run.seconds / 60
                print(
                    f"step {run.step} {100 * run.progress:.1f}% {run.examples} examples "
                    f"{run.examples / max(run.seconds, 1e-9):.0f}/s {left:.0f} min left | "
                    + " ".join(f"{k} {v:.3f}" for k, v in shown.items()),
                    flush=True,
                )
            if run.step % settings.save_every == 0:
                run.save()
                model = run.averaged()
                scores = {name: evaluate(model, batches) for name, batches in dev.items()}
                log.write(json.dumps({"step": run.step, "seconds": run.seconds, **shown, **scores}) + "\n")
                log.flush()
                print(
                    "   dev "
                    + "  ".join(f"{n} exact {s['exact']:.3f} tool {s['tool']:.3f}" for n, s in scores.items()),
                    flush=True,
                )
    run.save()
    return run
