"""The hand-written templates: reading, seeded splits, and filling of slots."""

import json
import random
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import jsonl, values
from .duplicates import Evaluation

SLOT = re.compile(r"\{([A-Za-z0-9_]+)\}")
WHOLE_SLOT = re.compile(r"^\{([A-Za-z0-9_]+)(?:\.([A-Za-z0-9_]+))?\}$")
# Domains that exist to be hard (look-alike tools, meaningless names): a request for a tool of theirs may be
# served by another tool, so they lend no refusals and are never held out as a whole.
HARD_DOMAINS = {"lookalikes", "opaque_names", "typed_arguments"}
# Domains whose requests are not in English.
FOREIGN_DOMAINS = {"spanish", "french", "german"}


@dataclass
class Split:
    """One side of the split: tools with their phrasings, and the records of whole domains."""

    tools: dict[str, list[dict]] = field(default_factory=dict)
    multi: dict[str, list[dict]] = field(default_factory=dict)
    none: dict[str, list[dict]] = field(default_factory=dict)


@dataclass
class Templates:
    """`train` may be learned from; the others only measure."""

    train: Split
    dev_phrasings: Split
    dev_tools: Split
    dev_domains: Split
    lexicons: dict[str, list[str]]


def load(folder: Path, seed: int, held_out_domains: int = 2, tool_share: float = 0.08, phrasing_share: float = 0.1):
    """Reads `folder` and splits it by `seed`: two whole domains, 8 % of the tools, a tenth of the phrasings."""
    records = _records(folder)
    lexicons = json.loads((folder / "lexicons.json").read_text("utf-8"))
    rng = random.Random(seed)
    domains = sorted({r["domain"] for r in records} - HARD_DOMAINS)
    out_domains = set(rng.sample(domains, held_out_domains))
    splits = {name: Split() for name in ("train", "dev_phrasings", "dev_tools", "dev_domains")}
    for domain in sorted({r["domain"] for r in records}):
        tools = [r for r in records if r["domain"] == domain and r["kind"] == "tool"]
        rng.shuffle(tools)
        if domain in out_domains:
            splits["dev_domains"].tools[domain] = tools
            known = set()
        else:
            held = max(1, round(len(tools) * tool_share))
            splits["dev_tools"].tools[domain] = tools[:held]
            known = {t["tool"]["name"] for t in tools[held:]}
            for tool in tools[held:]:
                queries = tool["queries"][:]
                rng.shuffle(queries)
                cut = max(1, round(len(queries) * phrasing_share))
                splits["dev_phrasings"].tools.setdefault(domain, []).append({**tool, "queries": queries[:cut]})
                splits["train"].tools.setdefault(domain, []).append({**tool, "queries": queries[cut:]})
        for kind in ("multi", "none"):
            rows = [r for r in records if r["domain"] == domain and r["kind"] == kind]
            rng.shuffle(rows)
            if domain in out_domains:
                getattr(splits["dev_domains"], kind)[domain] = rows
                continue
            if kind == "multi":
                rows = [r for r in rows if all(c["name"] in known for c in r["calls"])]
            cut = max(1, len(rows) // 10)
            getattr(splits["dev_phrasings"], kind)[domain] = rows[:cut]
            getattr(splits["train"], kind)[domain] = rows[cut:]
    return Templates(**splits, lexicons=lexicons)


def load_whole(folder: Path) -> Split:
    """Reads the tools of `folder`, and the records of its domains, with nothing held out."""
    split = Split()
    for record in _records(folder):
        if record["kind"] != "phrasings":
            kind = {"tool": split.tools, "multi": split.multi, "none": split.none}[record["kind"]]
            kind.setdefault(record["domain"], []).append(record)
    return split


def with_phrasings(templates: Templates, folder: Path) -> Split:
    """The training split with the further phrasings that `folder` has for its tools.

    Those that nearly repeat a held-out phrasing are left out, and so are those of tools that are held out.
    """
    held_out = Evaluation(
        row["q"] for records in templates.dev_phrasings.tools.values() for r in records for row in r["queries"]
    )
    more: dict[tuple[str, str], list[dict]] = {}
    for record in _records(folder):
        if record["kind"] == "phrasings":
            queries = [{**row, "slots": record["slots"]} for row in record["queries"] if not held_out.repeats(row["q"])]
            more.setdefault((record["domain"], record["tool"]), []).extend(queries)
    tools = {
        domain: [{**r, "queries": r["queries"] + more.get((domain, r["tool"]["name"]), [])} for r in records]
        for domain, records in templates.train.tools.items()
    }
    return replace(templates.train, tools=tools)


def _records(folder: Path) -> list[dict]:
    return [record for path in sorted(folder.glob("*.jsonl")) for record in jsonl.read(path)]


def fill(query: str, arguments: object, slots: dict, lexicons: dict, rng: random.Random, vary: bool = False):
    """Draws a value for each slot; returns the text and the arguments with typed values.

    A value is a scalar, `{"say", "value"}`, or `{"say", field: …}` for a phrase that sets several arguments. With
    `vary` it may be one that the slot does not list but might.
    """
    drawn: dict[str, object] = {}

    def draw(name: str) -> object:
        if name not in drawn:
            if name in slots:
                drawn[name] = rng.choice(slots[name])
                if vary and rng.random() < 0.6:
                    drawn[name] = values.another(drawn[name], slots[name], rng)
            elif name == "number":
                drawn[name] = rng.randint(1, 100)
            elif name == "amount":
                drawn[name] = rng.choice([rng.randint(1, 500), round(rng.uniform(1, 100), 2)])
            else:
                drawn[name] = rng.choice(lexicons[name.rstrip("0123456789")])
        return drawn[name]

    def say(value: object) -> str:
        if isinstance(value, dict):
            return str(value["say"])
        return json.dumps(value) if isinstance(value, bool) else str(value)

    def value_of(template: object) -> object:
        if isinstance(template, dict):
            return {k: value_of(v) for k, v in template.items()}
        if isinstance(template, list):
            return [value_of(v) for v in template]
        match = WHOLE_SLOT.match(template) if isinstance(template, str) else None
        if not match:
            return template
        value = draw(match[1])
        if match[2]:
            return value[match[2]]
        return value.get("value", value["say"]) if isinstance(value, dict) else value

    text = SLOT.sub(lambda m: say(draw(m[1])), query)
    return text, value_of(arguments)
