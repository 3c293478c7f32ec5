"""The training loop: data made by worker processes, checkpoints that resume with the same data order.

Under `torchrun` every process makes and learns from its own groups of each batch, and their gradients are averaged.
"""

import json
import math
import random
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from . import optim, templates, tokenizer
from .batch import Batch, Limits, collate
from .duplicates import Evaluation
from .generate import TemplateSource
from .mixture import Mixture
from .model import Config, San
from .objective import Objective, teacher_forced
from .processes import Processes
from .prompt import Prompter
from .quantise import LIMITS, straight_through

# Settings that are not written down with a run.
FOLDERS = {"data", "out", "warm_start", "own_templates"}


@dataclass
class Settings:
    """One training run; every field can be set from the command line or a file."""

    data: Path
    out: Path
    warm_start: Path | None = None
    own_templates: Path | None = None
    steps: int = 6000
    minutes: float | None = None
    pause_after: float | None = None
    device: str | None = None
    groups: int = 8
    max_tools: int = 7
    curriculum_steps: int = 1000
    template_share: float = 0.42
    own_share: float = 0.3
    catalogue_share: float = 0.14
    muon_lr: float = 0.02
    adam_lr: float = 1.5e-3
    muon: bool = True
    weight_decay: float = 0.01
    retrieval_every: int = 3
    average: float = 0.998
    fake_quantise: int = 0
    seed: int = 7
    shard: int = 0
    threads: int = 2
    workers: int = 1
    save_every: int = 100
    bf16: bool = True
    compiled: bool = True
    skip_malformed: bool = False
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

    def __post_init__(self) -> None:
        if self.fake_quantise not in (0, *LIMITS):
            raise ValueError(f"fake_quantise is {self.fake_quantise}; it must be 0 (none), 8 or 4 bits")

    def write(self, config: Config) -> None:
        """Writes settings.json: what else than the folders makes the run, in the form that `--config` reads."""
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in FOLDERS}
        temporary = self.out / "settings.tmp"
        temporary.write_text(json.dumps(settings | config.as_dict(), indent=2) + "\n")
        temporary.replace(self.out / "settings.json")


# Steps take turns with the lengths they allow, so that short rows are not padded to long ones; the counts make the
# steps cost about the same.
TURNS = [Limits(40, 24, 32), Limits(36, 30, 36), Limits(28, 40, 48), Limits(20, 60, 76), Limits(10, 96, 120)]


class Data:
    """Builds the batch of a step, or of several training processes the share of one; lives in a worker process."""

    def __init__(self, settings: Settings, config: Config, rank: int = 0):
        self.settings, self.rank = settings, rank
        self.prompter = Prompter(tokenizer.load(settings.out / "tokenizer.json"), config.max_seq_len)
        self.templates = templates.load(settings.data / "templates", settings.seed)

    @cached_property
    def mixture(self) -> Mixture:
        """Read on first use: scoring needs the templates only."""
        s = self.settings
        files = {s.data / "train" / f"{n}.jsonl.gz": w for n, w in s.row_weights.items()}
        catalogue = sorted((s.data / "catalogue").glob("*.jsonl.gz"))
        evaluation = Evaluation.read(s.data / "eval")
        train, own = self.templates.train, None
        if s.own_templates:
            train = templates.with_phrasings(self.templates, s.own_templates)
            own = templates.load_whole(s.own_templates)
        shares = s.template_share, s.own_share, s.catalogue_share
        return Mixture(train, own, self.templates.lexicons, files, catalogue, *shares, evaluation, s.skip_malformed)

    def batch(self, step: int) -> Batch:
        """The same seed and step give the same rows; catalogues grow over the first `curriculum_steps`."""
        s = self.settings
        limits = TURNS[step % len(TURNS)]
        max_tools = 1 + round((s.max_tools - 1) * min(1.0, 0.2 + 0.8 * step / s.curriculum_steps))
        first = (s.shard + self.rank) * s.groups
        own = range(first, first + s.groups)
        rngs = [random.Random(f"{s.seed}/{step}/{index}") for index in own]
        batch = None
        # A few groups may hold nothing that fits; then these draw again.
        while batch is None:
            groups = [self.mixture.group(rng, max_tools, 2 * limits.queries) for rng in rngs]
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


def _start_worker(settings: Settings, config: Config, rank: int) -> None:
    global _data
    torch.set_num_threads(1)
    _data = Data(settings, config, rank)


def _work(step: int) -> Batch:
    return _data.batch(step)


class Run:
    """Model, averaged weights, optimisers and position of one run; `save` and `resume` keep all of it."""

    def __init__(self, settings: Settings, config: Config, processes: Processes):
        self.settings, self.config, self.processes = settings, config, processes
        torch.manual_seed(settings.seed)
        self.model = San(config)
        if settings.warm_start:
            from .warm_start import embeddings

            table = embeddings(settings.warm_start, tokenizer.load(settings.out / "tokenizer.json"), config.d_model)
            self.model.embedding.weight.data.copy_(table)
        self.model.to(processes.device)
        objective = Objective(self.model, torch.bfloat16 if settings.bf16 else torch.float32).to(processes.device)
        # The contrastive head takes part in some steps only.
        several = processes.count > 1
        self.objective = DistributedDataParallel(objective, find_unused_parameters=True) if several else objective
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        rates = settings.muon_lr, settings.adam_lr
        self.optimisers = optim.build(self.model, *rates, settings.weight_decay, settings.muon)
        self.step, self.seconds = 0, 0.0
        self.examples = {settings.shard: 0}

    @property
    def progress(self) -> float:
        by_time = self.seconds / (60 * self.settings.minutes) if self.settings.minutes else 0.0
        return max(self.step / self.settings.steps, by_time)

    def train_step(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Learns from a batch; the parts of its loss, which may still be under way on the device."""
        s = self.settings
        factor = optim.warmup_stable_decay(self.progress)
        for optimiser, lr in zip(self.optimisers, (s.muon_lr, s.adam_lr), strict=True):
            optimiser.param_groups[0]["lr"] = lr * factor
        self.model.zero_grad(set_to_none=True)
        with straight_through(self.model, s.fake_quantise if optim.decaying(self.progress) else 0):
            total, parts = self.objective(batch, (self.step + 1) % s.retrieval_every == 0)
            total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        keep = min(s.average, self.step / (self.step + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return self.processes.mean(parts)

    def averaged(self) -> San:
        model = San(self.config).to(self.processes.device)
        model.load_state_dict(self.average)
        return model.eval()

    def save(self) -> None:
        """Writes the checkpoint.

        Raises:
            FloatingPointError: if a weight is no number any more.
        """
        if not all(weight.isfinite().all() for weight in self.model.parameters()):
            raise _diverged("a weight is no number", self.step)
        state = {
            "config": self.config.as_dict(),
            "model": self.model.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
            "examples": self.examples,
        }
        write_checkpoint(state, self.settings.out / "checkpoint.pt")

    def resume(self) -> bool:
        path = self.settings.out / "checkpoint.pt"
        if not path.exists():
            return False
        state = read_checkpoint(path, self.processes.device)
        if state["config"] != self.config.as_dict():
            raise ValueError(f"{path} was trained with other sizes; choose another --out")
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds, self.examples = state["step"], state["seconds"], state["examples"]
        self.examples.setdefault(self.settings.shard, 0)
        return True


def write_checkpoint(state: dict, path: Path) -> None:
    """Writes beside the old file and renames, so that a full disk leaves the old one intact."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict:
    """What `Run.save` wrote."""
    return torch.load(path, weights_only=True, map_location=device)


def load_average(path: Path) -> San:
    """The averaged weights of a checkpoint: what a run exports."""
    state = read_checkpoint(path)
    model = San(Config(**state["config"]))
    model.load_state_dict(state["average"])
    return model.eval()


def evaluate(model: San, batches: list[Batch]) -> dict[str, float]:
    """Share of examples whose every free token (`exact`), whose every name token (`tool`) is most probable."""
    device = model.embedding.weight.device
    results = [teacher_forced(model, batch.to(device), torch.bfloat16) for batch in batches]
    return {key: sum(sum(r[key]) for r in results) / sum(len(r[key]) for r in results) for key in ("exact", "tool")}


def _diverged(what: str, step: int) -> FloatingPointError:
    return FloatingPointError(
        f"{what} at step {step}; the last checkpoint is intact: lower the learning rates and resume"
    )


class Progress:
    """Moving averages of the parts of the loss, and the lines that tell of them."""

    def __init__(self) -> None:
        self.shown: dict[str, torch.Tensor] = {}

    def add(self, parts: dict[str, torch.Tensor]) -> None:
        for key, value in parts.items():
            self.shown[key] = torch.lerp(self.shown.get(key, value), value, 0.05)

    def values(self, step: int) -> dict[str, float]:
        """What is shown now, once the device has come so far.

        Raises:
            FloatingPointError: if the loss is no number any more.
        """
        values = {key: value.item() for key, value in self.shown.items()}
        if not math.isfinite(values["loss"]):
            raise _diverged(f"the loss is {values['loss']}", step)
        return values

    def print(self, run: Run) -> None:
        examples = sum(run.examples.values())
        left = (1 / max(run.progress, 1e-9) - 1) * run.seconds / 60
        print(
            f"step {run.step} {100 * run.progress:.1f}% {examples} examples "
            f"{examples / max(run.seconds, 1e-9):.0f}/s {left:.0f} min left | "
            + " ".join(f"{key} {value:.3f}" for key, value in self.values(run.step).items()),
            flush=True,
        )


def train(settings: Settings, config: Config) -> Run:
    """Trains until the budget is spent or `pause_after` minutes have passed; run again, it goes on."""
    torch.set_num_threads(settings.threads)
    with Processes(settings.device) as processes:
        run = Run(settings, config, processes)
        resumed = run.resume()
        if processes.first:
            settings.write(config)
            if resumed:
                print(f"resuming at step {run.step}", flush=True)
        if settings.compiled:
            run.model.compile_parts()
        _learn(run)
    return run


def _learn(run: Run) -> None:
    settings, processes = run.settings, run.processes
    progress, first_step, start = Progress(), run.step, time.monotonic()
    report = _reporter(run) if processes.first else None
    arguments = (settings, run.config, processes.rank)
    with ProcessPoolExecutor(settings.workers, initializer=_start_worker, initargs=arguments) as pool:
        ahead = [pool.submit(_work, run.step + i) for i in range(2 + 2 * settings.workers)]
        tick = time.monotonic()
        while run.progress < 1.0 and not processes.agreed(_paused(settings, start)):
            batch = ahead.pop(0).result().to(processes.device)
            ahead.append(pool.submit(_work, run.step + len(ahead) + 1))
            progress.add(run.train_step(batch))
            run.examples[settings.shard] += processes.sum(batch.labels[..., 0].count_nonzero())
            compiling = settings.compiled and run.step - first_step <= len(TURNS)
            run.seconds = processes.agreed(run.seconds + (0.0 if compiling else time.monotonic() - tick))
            if run.step % 25 == 0 and processes.first:
                progress.print(run)
            if run.step % settings.save_every == 0 and report:
                values = progress.values(run.step)
                run.save()
                report(values)
            tick = time.monotonic()
        for future in ahead:
            future.cancel()
    if processes.first and progress.shown:
        progress.values(run.step)
        run.save()


def _paused(settings: Settings, start: float) -> bool:
    return settings.pause_after is not None and time.monotonic() - start > 60 * settings.pause_after


def _reporter(run: Run):
    """Writes the scores of the averaged weights on the dev splits to `log.jsonl`, and prints them."""
    data = Data(run.settings, run.config)
    dev = {name: data.dev(name, 24) for name in ("dev_phrasings", "dev_tools", "dev_domains")}

    def report(shown: dict[str, float]) -> None:
        model = run.averaged()
        scores = {name: evaluate(model, batches) for name, batches in dev.items()}
        with (run.settings.out / "log.jsonl").open("a") as log:
            log.write(json.dumps({"step": run.step, "seconds": run.seconds, **shown, **scores}) + "\n")
        print(
            "   dev " + "  ".join(f"{n} exact {s['exact']:.3f} tool {s['tool']:.3f}" for n, s in scores.items()),
            flush=True,
        )

    return report
