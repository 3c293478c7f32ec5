"""Trains a default model from nothing but the data folder.

python -m needle_rs.train tokenizer --data ../shared/data --out runs/default
python -m needle_rs.train train     --data ../shared/data --out runs/default --own_templates models/templates
python -m needle_rs.train start     models/default --out runs/own
python -m needle_rs.train merge     runs/default runs/second
python -m needle_rs.train grow      runs/default --out runs/deeper --num_encoder_layers 9 --num_decoder_layers 6
python -m needle_rs.train distil    teacher --data ../shared/data --out runs/default --own_templates models/templates
python -m needle_rs.train export    --out runs/default --bundle models/default
python -m needle_rs.train dev-rows  --data ../shared/data --out runs/dev
python -m needle_rs.train duplicates --data ../shared/data
"""

import argparse
import json
import shutil
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin, get_type_hints

from . import corpus, jsonl, rows, static_embedding, templates, tokenizer
from .duplicates import Evaluation
from .export import write_bundle
from .grow import grow
from .merge import merge
from .model import Config
from .start import start
from .trainer import FOLDERS, Data, Settings, load_average, read_checkpoint, train, write_checkpoint


def _add_fields(group, source: type) -> None:
    """One option per field that has a plain default; `None` in the result means not given."""
    for field in fields(source):
        if field.default is MISSING or field.default is None:
            continue
        if isinstance(field.default, bool):
            group.add_argument(f"--{field.name}", type=lambda s: s == "true", metavar="true|false")
        else:
            group.add_argument(f"--{field.name}", type=type(field.default), metavar=str(field.default))


def _given(args: argparse.Namespace, source: type) -> dict:
    return {f.name: getattr(args, f.name) for f in fields(source) if getattr(args, f.name, None) is not None}


def run_tokenizer(args: argparse.Namespace) -> None:
    split = templates.load(args.data / "templates", args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    temporary = args.out / "tokenizer.tmp"
    tokenizer.train(corpus.texts(args.data, split), args.vocab_size).save(str(temporary))
    temporary.replace(args.out / "tokenizer.json")


# `base` is the published network's size; its settings are for one GPU with 16 CPU cores, not run on one yet.
PRESETS: dict[str, dict] = {
    "mini": {},
    "base": {
        "d_model": 512, "num_heads": 8, "num_kv_heads": 4, "num_encoder_layers": 12, "num_decoder_layers": 8,
        "contrastive_dim": 128, "groups": 32, "workers": 14, "muon_lr": 0.01, "adam_lr": 1e-3, "steps": 100_000,
        "minutes": 25.0,
    },
}  # fmt: skip


def run_train(args: argparse.Namespace) -> None:
    train(*asked_for(args))


def asked_for(args: argparse.Namespace) -> tuple[Settings, Config]:
    """Options before the file, the file before the preset, and the preset before what the run has.

    Raises:
        OSError: if a file cannot be read.
        ValueError: if the file is no object of settings.
    """
    checkpoint = args.out / "checkpoint.pt"
    # A run that goes on keeps its sizes unless others are asked for, which `train` refuses.
    sizes = read_checkpoint(checkpoint)["config"] if checkpoint.exists() and not args.preset else {}
    chosen = sizes | PRESETS[args.preset or "mini"] | (_settings_of(args.config) if args.config else {})

    def build(source: type):
        names = {f.name for f in fields(source)}
        return source(**{k: v for k, v in chosen.items() if k in names} | _given(args, source))

    return build(Settings), build(Config)


def _settings_of(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object of settings")
    known = {k: v for k, v in (get_type_hints(Settings) | get_type_hints(Config)).items() if k not in FOLDERS}
    for name, value in found.items():
        if name not in known:
            raise ValueError(f"{path}: no setting is called {name}; known are {', '.join(sorted(known))}")
        if not _is_a(value, known[name]):
            kind = getattr(known[name], "__name__", known[name])
            raise ValueError(f"{path}: {name} must be {kind}, not {json.dumps(value)}")
    return found


def _is_a(value: object, kind) -> bool:
    """Whether a JSON value is of a setting's type; a whole number is a float too, and true is no number."""
    if isinstance(kind, UnionType):
        return any(_is_a(value, each) for each in get_args(kind))
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_is_a(each, get_args(kind)[1]) for each in value.values())
    return type(value) is kind or (kind is float and type(value) is int)


def run_start(args: argparse.Namespace) -> None:
    start(args.from_bundle, args.out)


def run_export(args: argparse.Namespace) -> None:
    model = load_average(args.out / "checkpoint.pt")
    write_bundle(model, args.out, args.bundle, int8=not args.float)


def run_distil(args: argparse.Namespace) -> None:
    data = Data(Settings(args.data, args.out, own_templates=args.own_templates), Config())
    static_embedding.save(static_embedding.distil(data, static_embedding.sentence_transformer(args.teacher)), args.out)


def run_merge(args: argparse.Namespace) -> None:
    merged = merge(args.runs)
    print(f"{len(args.runs)} runs at step {merged['step']}, {sum(merged['examples'].values())} examples")


def run_grow(args: argparse.Namespace) -> None:
    state = read_checkpoint(args.run_folder / "checkpoint.pt")
    grown = grow(state, args.num_encoder_layers, args.num_decoder_layers)
    target = args.out / "checkpoint.pt"
    if target.exists():
        raise ValueError(f"{target} exists; choose another --out")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", static_embedding.FILE):
        if (args.run_folder / name).exists():
            shutil.copy(args.run_folder / name, args.out)
    write_checkpoint(grown, target)


def run_dev_rows(args: argparse.Namespace) -> None:
    rows.write(templates.load(args.data / "templates", args.seed), args.out, args.count, args.name, args.num_tools)


def run_duplicates(args: argparse.Namespace) -> None:
    evaluation = Evaluation.read(args.data / "eval")
    for path in sorted((args.data / "train").glob("*.jsonl.gz")):
        queries = [row["query"] for row in jsonl.read(path)]
        print(f"{path.name}: {sum(map(evaluation.repeats, queries))} of {len(queries)}", flush=True)


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="python -m needle_rs.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = main.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str, out: bool = True, data: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if out:
            sub.add_argument("--out", type=Path, required=True, help="folder of the run")
        if data:
            sub.add_argument(
                "--data", type=Path, required=True, help="folder with templates/, train/, catalogue/, text/, eval/"
            )
        return sub

    sub = command("tokenizer", run_tokenizer, "learn tokenizer.json")
    sub.add_argument("--vocab_size", type=int, default=Config.vocab_size)
    sub.add_argument("--seed", type=int, default=Settings.seed, help="of the split that keeps dev rows out")
    sub = command("train", run_train, "train, or resume the run that --out holds")
    sub.add_argument("--preset", choices=PRESETS, help="sizes and settings that are not given; mini for a new run")
    sub.add_argument("--config", type=Path, metavar="FILE", help="settings in JSON, such as the settings.json of a run")
    sub.add_argument("--warm_start", type=Path, help="folder of a sentence-embedding model for the first embedding")
    sub.add_argument("--own_templates", type=Path, help="folder of more templates, all of them for training")
    sub.add_argument("--device", help="such as cuda; by default a GPU if there is one")
    sub.add_argument("--pause_after", type=float, metavar="MINUTES", help="save and stop then; run again to go on")
    sub.add_argument("--minutes", type=float, help="budget of training time; the learning rate's schedule fits it")
    _add_fields(sub.add_argument_group("settings"), Settings)
    _add_fields(sub.add_argument_group("sizes"), Config)
    sub = command("start", run_start, "a run that goes on from a bundle, such as the shipped model", data=False)
    sub.add_argument("from_bundle", type=Path, metavar="BUNDLE", help="folder of the bundle, in int8 or f32")
    sub = command("export", run_export, "write the averaged weights as a bundle that the engine opens", data=False)
    sub.add_argument("--bundle", type=Path, required=True)
    sub.add_argument("--float", action="store_true", help="keep f32 instead of int8")
    sub = command(
        "distil", run_distil, "learn a static embedding from a sentence-embedding model; exports then have it"
    )
    sub.add_argument("teacher", type=Path, help="folder that the sentence-transformers package can open")
    sub.add_argument("--own_templates", type=Path, help="folder of more templates")
    sub = command("merge", run_merge, "average runs that went on from one checkpoint", out=False, data=False)
    sub.add_argument("runs", type=Path, nargs="+", help="folders of the runs; each gets the mean as its checkpoint")
    sub = command("grow", run_grow, "a deeper run that goes on from another and at first computes the same", data=False)
    sub.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run to go on from")
    sub.add_argument("--num_encoder_layers", type=int, required=True)
    sub.add_argument("--num_decoder_layers", type=int, required=True)
    command("duplicates", run_duplicates, "count the training rows that nearly repeat an evaluation row", out=False)
    sub = command("dev-rows", run_dev_rows, "write labelled rows of the held-out splits for `needle eval`")
    sub.add_argument("--count", type=int, default=400, help="rows per split")
    sub.add_argument("--num_tools", type=int, help="tools of a row, by default 2 to 8")
    sub.add_argument("--name", default="dev", help="names another draw from the same splits")
    sub.add_argument("--seed", type=int, default=Settings.seed, help="of the split; the trainer's")
    return main


def main() -> int:
    args = parser().parse_args()
    try:
        args.run(args)
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
