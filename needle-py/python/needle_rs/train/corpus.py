"""The text on which the tokenizer learns its pieces: requests, tools and answers, as the network will see them."""

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from . import jsonl
from .generate import TemplateSource
from .prompt import compact_json
from .templates import Templates

TEMPLATE_GROUPS = 2500
# File under the data folder, and which of its lines are read (one in so many), so that no source drowns the others.
CATALOGUES = {"openapi_jentic_tools": 3, "mcp_tools": 1, "seal_tools_tools": 1}
TEXTS = {"tldr": 3, "topical_chat_valid": 1}
TRAIN_STEP, TRAIN_TOOLS_STEP = 3, 15


def texts(data: Path, templates: Templates) -> Iterator[str]:
    yield from _template_texts(templates)
    for values in templates.lexicons.values():
        yield from map(str, values)
    for path in sorted((data / "train").glob("*.jsonl.gz")):
        yield from _row_texts(path)
    for name, step in CATALOGUES.items():
        for tool in _lines(data / f"catalogue/{name}.jsonl.gz", step):
            yield tool["name"]
            yield tool.get("description") or ""
    for name, step in TEXTS.items():
        for line in _lines(data / f"text/{name}.jsonl.gz", step):
            yield line["text"]


def _template_texts(templates: Templates) -> Iterator[str]:
    source, rng = TemplateSource(templates.train, templates.train, templates.lexicons), random.Random(3)
    for _ in range(TEMPLATE_GROUPS):
        group = source.group(rng, 4, 16)
        for tool in group.tools:
            yield from (tool.name, tool.description, json.dumps(tool.parameters, ensure_ascii=False))
        for example in group.examples:
            yield example.query
        for example in group.examples[:2]:
            yield compact_json(example.calls)


def _row_texts(path: Path) -> Iterator[str]:
    for index, row in enumerate(_lines(path, TRAIN_STEP)):
        yield row["query"]
        yield compact_json(row["answers"])
        if index % (TRAIN_TOOLS_STEP // TRAIN_STEP) == 0:
            for tool in row["tools"]:
                yield from (tool["name"], tool["description"])


def _lines(path: Path, step: int) -> Iterator[dict]:
    yield from islice(jsonl.read(path), 0, None, step)
