"""Groups of training examples: one catalogue of tools shared by many queries."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from . import adversarial, jsonl
from .prompt import snake_case
from .templates import FOREIGN_DOMAINS, HARD_DOMAINS, Split, fill
from .values import fits

# Between two requests of one sentence.
JOINTS = [" and ", " and ", " and then ", ", then ", ", and ", " and also ", ", also ", " plus ", "; "]
# Requests that are not what they look like (`adversarial.py`), and how often each kind is drawn.
HARD_KINDS = {"about": 2, "order": 1, "taken_back": 6, "corrected": 6, "order_inside": 5}


@dataclass
class Tool:
    """A tool as shown to the model; `key` finds it again in its source."""

    name: str
    description: str
    parameters: dict
    key: object
    renamed: dict[str, str]


@dataclass
class Example:
    query: str
    calls: list[dict]


@dataclass
class Group:
    tools: list[Tool]
    examples: list[Example]


def order_arguments(arguments: dict, parameters: dict) -> dict:
    """Arguments in the order of the schema's properties, the order in which the grammar writes them."""
    properties = list(parameters.get("properties") or {})
    return {k: arguments[k] for k in sorted(arguments, key=properties.index)}


def identity(record: dict) -> tuple[str, str]:
    """Two domains may each have a tool of one name."""
    return record["domain"], record["tool"]["name"]


def show(record: dict, rng: random.Random, vary: bool) -> Tool:
    """A template tool under its own or (with `vary`) a borrowed name, description and parameter names."""
    tool, aliases = record["tool"], record.get("aliases", {})
    name, description, renamed = tool["name"], tool["description"], {}
    properties = dict(tool["parameters"].get("properties") or {})
    if vary:
        if aliases.get("names") and rng.random() < 0.5:
            name = rng.choice(aliases["names"])
        if aliases.get("descriptions") and rng.random() < 0.5:
            description = rng.choice(aliases["descriptions"])
        for key, others in (aliases.get("params") or {}).items():
            if key in properties and others and rng.random() < 0.4:
                other = rng.choice(others)
                if other not in properties and other not in renamed.values():
                    renamed[key] = other
        order = list(properties)
        if rng.random() < 0.5:
            rng.shuffle(order)
        properties = {k: properties[k] for k in order}
        if rng.random() < 0.15:
            properties = {k: {n: x for n, x in v.items() if n != "description"} for k, v in properties.items()}
    parameters = {
        **tool["parameters"],
        "properties": {renamed.get(k, k): v for k, v in properties.items()},
        "required": [renamed.get(k, k) for k in tool["parameters"].get("required") or []],
    }
    return Tool(snake_case(name), description, parameters, identity(record), renamed)


class TemplateSource:
    """Groups from the hand-written templates of one split; the tools around come from `pool`.

    Where domains cross, so that one's tools may serve another's requests, refusals are its own and chatter.
    """

    def __init__(self, split: Split, pool: Split, lexicons: dict, vary: bool = True, crossing: bool = False):
        self.split, self.pool, self.lexicons, self.vary = split, pool, lexicons, vary
        self.lenders = [] if crossing else [d for d in pool.tools if d not in HARD_DOMAINS and pool.tools[d]]
        self.domains = [d for d in split.tools if split.tools[d]]
        self.weights = [len(split.tools[d]) ** 0.5 for d in self.domains]

    def group(self, rng: random.Random, num_tools: int, num_examples: int) -> Group:
        domain = rng.choices(self.domains, self.weights)[0]
        own = self.split.tools[domain]
        multi = list(self.split.multi.get(domain, [])) if rng.random() < 0.5 and num_tools > 1 else []
        rng.shuffle(multi)
        multi = multi[:3]
        needed = {c["name"] for m in multi for c in m["calls"]}
        pool = {r["tool"]["name"]: r for r in self.pool.tools.get(domain, [])} | {r["tool"]["name"]: r for r in own}
        if not needed <= set(pool):
            multi, needed = [], set()
        chosen = [pool[n] for n in sorted(needed)]
        others = [r for r in own if r["tool"]["name"] not in needed]
        mixed = rng.random() < 0.4
        take = max(1 if not chosen else 0, (num_tools + 1) // 2 - len(chosen) if mixed else num_tools - len(chosen))
        chosen += rng.sample(others, min(take, len(others)))
        near = [r for r in self.pool.tools.get(domain, []) if r not in chosen]
        far = [r for d, records in self.pool.tools.items() if d != domain for r in records]
        while len(chosen) < num_tools and (near or far):
            here = near and (not far or (not mixed and rng.random() < 0.7))
            records = near if here else far
            chosen.append(records.pop(rng.randrange(len(records))))
        rng.shuffle(chosen)
        tools = self._distinct([show(r, rng, self.vary) for r in chosen])
        by_key = {t.key: t for t in tools}
        askable = [r for r in own if identity(r) in by_key]
        multi = [m for m in multi if all((domain, c["name"]) in by_key for c in m["calls"])]
        domains = {domain for domain, _ in by_key}
        examples = []
        while len(examples) < num_examples:
            kind = rng.random()
            if kind < 0.1 and multi:
                examples.append(self._multi(rng.choice(multi), by_key, rng))
            elif self.vary and kind < 0.14 and askable and num_tools > 1:
                examples.append(self._pair([rng.choice(askable) for _ in range(2)], by_key, rng))
            elif kind < 0.26:
                examples.append(self._none(domain, domains, by_key, rng))
            elif askable:
                record = rng.choice(askable)
                tool, hard = by_key[identity(record)], None
                if self.vary and rng.random() < 0.15 and domain not in FOREIGN_DOMAINS:
                    hard = self._hard(record, tool, tools, rng)
                examples.append(hard or self._single(record, tool, rng))
        return Group(tools, examples)

    @staticmethod
    def _distinct(tools: list[Tool]) -> list[Tool]:
        seen: dict[str, Tool] = {}
        for tool in tools:
            seen.setdefault(tool.name, tool)
        return list(seen.values())

    def _single(self, record: dict, tool: Tool, rng: random.Random) -> Example:
        text, arguments = self._request(record, rng)
        return self._say(text, [self._call(tool, arguments)], [tool], rng)

    def _hard(self, record: dict, tool: Tool, tools: list[Tool], rng: random.Random) -> Example | None:
        """A request that is not what it looks like; None if the record lends itself to none."""
        kind = rng.choices(list(HARD_KINDS), list(HARD_KINDS.values()))[0]
        if kind == "about":
            text = adversarial.about([t.name for t in tools], rng)
            return Example(text, []) if text else None
        if kind == "order":
            return Example(adversarial.order(tool.name, rng), []) if tool.parameters.get("required") else None
        text, arguments = self._request(record, rng)
        if kind == "taken_back":
            return Example(adversarial.taken_back(text, rng), [])
        if kind == "corrected":
            _, others = self._request(record, rng)
            changed = adversarial.corrected(text, arguments, others, record["tool"]["parameters"], rng)
        else:
            other, _ = self._request(rng.choice(self.split.tools[record["domain"]]), rng)
            changed = adversarial.with_order_inside(text, arguments, other, rng)
        return changed and self._say(changed[0], [self._call(tool, changed[1])], [tool], rng)

    def _pair(self, records: list[dict], by_key: dict, rng: random.Random) -> Example:
        """Two requests in one sentence."""
        tools = [by_key[identity(record)] for record in records]
        (first, a), (second, b) = (self._request(record, rng) for record in records)
        text = first.rstrip(".?! ") + rng.choice(JOINTS) + second[:1].lower() + second[1:]
        return self._say(text, [self._call(t, x) for t, x in zip(tools, (a, b), strict=True)], tools, rng)

    def _request(self, record: dict, rng: random.Random) -> tuple[str, dict]:
        """One phrasing of a tool, filled in, and its arguments."""
        row = rng.choice(record["queries"])
        slots = {**record.get("slots", {}), **row.get("slots", {})}
        filling = row["q"], row.get("args", {}), slots, self.lexicons, rng
        text, arguments = fill(*filling, vary=self.vary)
        return (text, arguments) if fits(record["tool"]["parameters"], arguments) else fill(*filling)

    def _multi(self, record: dict, by_key: dict, rng: random.Random) -> Example:
        calls = record["calls"]
        text, arguments = fill(record["q"], [c["args"] for c in calls], record.get("slots", {}), self.lexicons, rng)
        tools = [by_key[record["domain"], c["name"]] for c in calls]
        return self._say(text, [self._call(t, a) for t, a in zip(tools, arguments, strict=True)], tools, rng)

    def _none(self, domain: str, domains: set[str], by_key: dict, rng: random.Random) -> Example:
        """A request that no shown tool serves: a record of the only domain shown, a request for a tool of that domain
        that is not shown (in training), or a request of another domain."""
        records = self.split.none.get(domain) or []
        if domains == {domain} and records and rng.random() < 0.6:
            record = rng.choice(records)
            text, _ = fill(record["q"], {}, record.get("slots", {}), self.lexicons, rng)
            return self._say(text, [], [], rng)
        near = [r for r in self.pool.tools.get(domain, []) if identity(r) not in by_key]
        if self.vary and domains == {domain} and domain not in HARD_DOMAINS and near and rng.random() < 0.7:
            text, _ = self._request(rng.choice(near), rng)
            return self._say(text, [], [], rng)
        elsewhere = [d for d in self.lenders if d not in domains]
        if not elsewhere:
            return self._say(rng.choice(self.lexicons["chatter"]), [], [], rng)
        text, _ = self._request(rng.choice(self.pool.tools[rng.choice(elsewhere)]), rng)
        return self._say(text, [], [], rng)

    @staticmethod
    def _call(tool: Tool, arguments: dict) -> dict:
        arguments = {tool.renamed.get(k, k): v for k, v in arguments.items()}
        return {"name": tool.name, "arguments": order_arguments(arguments, tool.parameters)}

    def _say(self, text: str, calls: list[dict], tools: list[Tool], rng: random.Random) -> Example:
        """The request in one of the ways people write: lower case, a greeting, a thank you, a full stop."""
        if not self.vary:
            return Example(text, calls)
        if rng.random() < 0.35:
            text = text.lower()
            calls = [
                {**c, "arguments": _lower_copies(c["arguments"], t.parameters, text)}
                for c, t in zip(calls, tools, strict=True)
            ]
        elif rng.random() < 0.3:
            text = text[:1].upper() + text[1:]
        if rng.random() < 0.1:
            text = f"{rng.choice(self.lexicons['filler_prefix'])} {text}"
        if rng.random() < 0.1:
            text = f"{text} {rng.choice(self.lexicons['filler_suffix'])}"
        elif rng.random() < 0.2 and text[-1:].isalnum():
            text += (
                "?" if text.split(" ", 1)[0].lower() in ("what", "how", "can", "could", "is", "who", "when") else "."
            )
        return Example(text, calls)


def _lower_copies(arguments: dict, parameters: dict, text: str) -> dict:
    """Lower-cases the strings that were copied from a request that is now lower case."""

    def lower(value: object, schema: dict) -> object:
        if isinstance(value, str) and "enum" not in schema and value.lower() in text:
            return value.lower()
        if isinstance(value, list):
            return [lower(v, schema.get("items") or {}) for v in value]
        if isinstance(value, dict):
            properties = schema.get("properties") or {}
            return {k: lower(v, properties.get(k, {})) for k, v in value.items()}
        return value

    return lower(arguments, parameters)


class RowSource:
    """Groups from public rows: the catalogue of one row, with other rows of the same tools around it."""

    def __init__(self, path: Path, skip_malformed: bool = False):
        self.rows = list(jsonl.read(path, skip_malformed))
        self.by_tool: dict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(self.rows):
            for call in row["answers"]:
                tool = next((t for t in row["tools"] if t["name"] == call["name"]), None)
                if tool is not None:
                    self.by_tool[json.dumps(tool, sort_keys=True)].append(index)

    def group(self, rng: random.Random, num_tools: int, num_examples: int) -> Group:
        anchor = rng.choice(self.rows)
        answered = {c["name"] for c in anchor["answers"]}
        raw = [t for t in anchor["tools"] if t["name"] in answered]
        rest = [t for t in anchor["tools"] if t["name"] not in answered]
        raw += rng.sample(rest, min(len(rest), max(0, num_tools - len(raw))))
        rng.shuffle(raw)
        tools, shown = [], {}
        for tool in raw:
            name = snake_case(tool["name"]) or "tool"
            if name not in shown:
                shown[name] = json.dumps(tool, sort_keys=True)
                tools.append(Tool(name, tool["description"], tool["parameters"], tool["name"], {}))
        by_key = {t.key: t for t in tools}
        candidates = [i for text in shown.values() for i in self.by_tool.get(text, ())]
        examples = [e for e in [self._example(anchor, by_key)] if e]
        for _ in range(num_examples * 2):
            if len(examples) >= num_examples or not candidates:
                break
            if rng.random() < 0.12:
                row = rng.choice(self.rows)
                if row["answers"] and not any(t["name"] in by_key for t in row["tools"]):
                    examples.append(Example(row["query"], []))
                continue
            example = self._example(self.rows[rng.choice(candidates)], by_key)
            if example:
                examples.append(example)
        return Group(tools, examples)

    @staticmethod
    def _example(row: dict, by_key: dict[str, Tool]) -> Example | None:
        calls = []
        for call in row["answers"]:
            tool = by_key.get(call["name"])
            known = tool and set(call["arguments"]) <= set(tool.parameters.get("properties") or {})
            if not known:
                return None
            arguments = order_arguments(call["arguments"], tool.parameters)
            calls.append({"name": tool.name, "arguments": arguments})
        return Example(row["query"], calls)
