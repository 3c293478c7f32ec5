"""Command line of the trainer: `python -m needle_rs.train --help`."""

import argparse
from dataclasses import fields
from pathlib import Path

from .model import Config
from .trainer import Settings, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="needle_rs.train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("train", help="train or resume a model in --out")
    for name, source in (("settings", Settings), ("config", Config)):
        group = run.add_argument_group(name)
        for field in fields(source):
            if isinstance(field.default, bool):
                group.add_argument(f"--{field.name}", type=lambda s: s == "true", metavar="true|false")
            elif isinstance(field.default, int | float | str):
                group.add_argument(f"--{field.name}", type=type(field.default))
    for name in ("data", "out", "warm_start"):
        run.add_argument(f"--{name}", type=Path)
    run.add_argument("--minutes", type=float, help="stop after this much training time; the schedule fits it")
    given = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    settings = Settings(**{k: v for k, v in given.items() if k in {f.name for f in fields(Settings)}})
    config = Config(**{k: v for k, v in given.items() if k in {f.name for f in fields(Config)}})
    train(settings, config)


if __name__ == "__main__":
    main()
