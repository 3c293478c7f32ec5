"""Rows of JSON, one per line."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path


def read(path: Path) -> Iterator[dict]:
    """The rows of a file, unpacked if its name ends in `.gz`.

    Raises:
        ValueError: where a line is no JSON object; it names the file and the line.
    """
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: a row must be a JSON object")
            yield row
