"""Rows of JSON, one per line."""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path


def read(path: Path, skip_malformed: bool = False) -> Iterator[dict]:
    """The rows of a file, unpacked if its name ends in `.gz`.

    Raises:
        ValueError: where a line is no JSON object; it names the file and the line. With `skip_malformed` the line is
            reported and left out instead.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield _row(line)
            except ValueError as error:
                message = f"{path}, line {number}: {error}"
                if not skip_malformed:
                    raise ValueError(message) from None
                print(f"left out: {message}", file=sys.stderr)


def _row(line: str) -> dict:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("a row must be a JSON object")
    return row
