"""Labelled rows for `needle eval` from the splits that training never sees."""

import gzip
import json
import random
from pathlib import Path

from .generate import TemplateSource
from .templates import Templates

SPLITS = ("dev_phrasings", "dev_tools", "dev_domains")


def rows(templates: Templates, split: str, count: int, seed: str, num_tools: int | None = None) -> list[dict]:
    """`{id, query, tools, answers, source}` with `num_tools` or 2 to 8 tools under their own names; 16 % refusals."""
    rng = random.Random(f"{seed}/{split}")
    side = getattr(templates, split)
    pool = side if split == "dev_domains" else templates.train
    source = TemplateSource(side, pool, templates.lexicons, vary=False)
    out = []
    for index in range(count):
        group = source.group(rng, num_tools or rng.randint(2, 8), 1)
        example = group.examples[0]
        tools = [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in group.tools]
        answers = [{"name": c["name"], "arguments": c["arguments"]} for c in example.calls]
        row = {"id": f"{split}-{index:04}", "query": example.query, "tools": tools, "answers": answers}
        out.append({**row, "source": f"templates/{split}"})
    return out


def write(templates: Templates, out: Path, count: int, seed: str, num_tools: int | None = None) -> None:
    """One gzip file per split; the same seed writes the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows(templates, split, count, seed, num_tools))
        (out / f"{split}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
