"""Groups from real API operations: a request for each is derived from its description and its parameters.

The requests are plainer than people's, but the tools are thousands that no template knows: the model learns to find
a tool by the words of its description and to fill keys it has never seen.
"""

import random
import re
from collections import defaultdict
from pathlib import Path

from . import jsonl
from .generate import Example, Group, Tool, order_arguments
from .prompt import snake_case

MAX_PARAMETERS = 5
# Of programs, not of people: paging, credentials, output format.
PLUMBING = re.compile(
    r"page|limit|offset|cursor|token|api_?key|per_page|opt_|fields|include|expand|callback|format|pretty|sort|etag|"
    r"version|password|secret|accept|header",
    re.IGNORECASE,
)
THIRD_PERSON = re.compile(
    r"^(Return|Get|List|Create|Update|Delete|Retrieve|Remove|Add|Set|Fetch|Search|Send|Upload|Generate|Check|Cancel|"
    r"Insert|Change|Provide|Start|Stop|Calculate|Convert|Find|Show|Mark|Move|Enable|Disable|Validate)(e?s)\b"
)
SAME_VERBS = {
    "get": ["get", "fetch", "show me", "give me", "look up", "find", "i need", "pull up", "tell me", "bring up"],
    "retrieve": ["get", "fetch", "show me", "give me", "look up", "find", "i want", "pull up", "i'd like to see"],
    "return": ["get", "fetch", "show me", "give me", "i need", "what is"],
    "fetch": ["get", "show me", "give me", "grab"],
    "list": ["list", "show me", "what are", "show all", "give me a list of", "let me see"],
    "create": ["create", "make", "add", "set up", "i want to create", "start"],
    "add": ["add", "put in", "insert", "include", "attach"],
    "update": ["update", "change", "modify", "edit", "adjust"],
    "delete": ["delete", "remove", "get rid of", "drop", "erase"],
    "remove": ["remove", "delete", "take away", "get rid of", "take out"],
    "check": ["check", "see", "find out", "verify", "tell me"],
    "calculate": ["calculate", "work out", "compute", "find", "what is", "figure out", "determine"],
    "compute": ["compute", "calculate", "work out", "what is"],
    "search": ["search", "look", "find me"],
    "find": ["find", "look for", "search for", "locate"],
    "send": ["send", "shoot", "fire off"],
    "generate": ["generate", "make", "produce", "create"],
    "set": ["set", "make", "change"],
    "cancel": ["cancel", "call off", "scrap"],
    "start": ["start", "begin", "kick off", "launch"],
    "estimate": ["estimate", "work out", "what is"],
    "analyze": ["analyze", "look at", "examine"],
    "translate": ["translate", "put", "turn"],
    "show": ["show", "show me", "display", "let me see"],
    "view": ["view", "show me", "open", "let me see"],
}
OPENINGS = ["can you ", "could you ", "please ", "i want to ", "i need to ", "i'd like to ", "help me ", "hey, ", "ok "]
DETAIL = re.compile(
    r",? (?:given|based on|using|for (?:a|the|an) (?:specific|specified|given)|by|from|according to) .*$"
)
EXAMPLES = re.compile(r"(?:e\.g\.,?|such as|for example,?|examples?:)\s*([^().;]+)", re.IGNORECASE)
# The lexicon that fits a parameter whose name holds one of the words; the first hit counts.
BY_NAME = [
    (("email",), "email"),
    (("phone",), "phone"),
    (("url", "link", "website"), "url"),
    (("file", "path", "image"), "file"),
    (("country", "nation"), "country"),
    (("city", "location", "place", "destination", "origin", "region", "town"), "city"),
    (("address", "street"), "street"),
    (("date", "day", "since", "until"), "date"),
    (("duration", "period"), "duration"),
    (("time",), "time"),
    (("language", "locale"), "language"),
    (("currency",), "currency"),
    (("company", "organization", "vendor", "brand"), "company"),
    (("restaurant",), "restaurant"),
    (("song", "track"), "song"),
    (("artist", "singer", "band"), "artist"),
    (("movie", "film", "show"), "movie"),
    (("book",), "book"),
    (("team", "club"), "team"),
    (("stock", "ticker"), "stock"),
    (("product", "item", "ingredient"), "product"),
    (("message", "text", "content", "body", "comment", "description"), "message"),
    (("note",), "note"),
    (("app", "platform"), "app"),
    (("query", "search", "keyword", "topic", "subject", "category", "type", "title"), "topic"),
    (("name", "user", "person", "player", "author", "owner"), "person"),
]
FOR_PLACE, FOR_TIME = ("in {v}", "for {v}", "at {v}"), ("on {v}", "for {v}", "{v}")
FLAG_VERB = re.compile(r"^(?:include|show|with|return|is|has|enable|use|want|get|allow|do) ")
FLAG_ON = ("with {k}", "{k} on", "including {k}", "including the {k}", "and also {k}", "and its {k}", "with {k} too")
FLAG_OFF = ("without {k}", "no {k}", "{k} off", "excluding {k}", "but leave out the {k}")
MENTIONS = (
    "with {k} {v}",
    "with {a} {k} of {v}",
    "with the {k} {v}",
    "{k} {v}",
    "{k}: {v}",
    "{k} is {v}",
    "for {k} {v}",
    "where the {k} is {v}",
    "using {v} as the {k}",
    "and the {k} should be {v}",
)


def words(name: str) -> str:
    """`resourceGroupName` as people say it: resource group name."""
    return snake_case(name).replace("_", " ")


def imperative(description: str) -> str:
    """The first sentence of a description as a request: without its full stop, verb in the base form."""
    sentence = re.split(r"(?<=[a-z)])\.(?:\s|$)|\n", description.strip(), maxsplit=1)[0].strip(" .")
    return THIRD_PERSON.sub(r"\1", sentence)


def article(noun: str) -> str:
    return "an" if noun[:1] in "aeiou" else "a"


class CatalogueSource:
    """Groups of tools of one API and of others, each asked for in its own words."""

    def __init__(self, paths: list[Path], lexicons: dict[str, list[str]]):
        self.lexicons = lexicons
        self.by_api: dict[str, list[dict]] = defaultdict(list)
        for path in paths:
            for record in jsonl.read(path):
                tool = self._usable(record)
                if tool:
                    self.by_api[record["source"]].append(tool)
        self.apis = sorted(self.by_api)
        self.weights = [len(self.by_api[a]) ** 0.7 for a in self.apis]

    @staticmethod
    def _usable(record: dict) -> dict | None:
        """The operation without its plumbing; none if people could not ask for it in a sentence."""
        ask = imperative(record["description"])
        first = ask.split(" ")[0].lower()
        if not (2 <= len(ask.split()) <= 16 and ask.isascii() and first.isalpha() and first != "this"):
            return None
        required = record["parameters"].get("required") or []
        properties = {}
        for key, schema in (record["parameters"].get("properties") or {}).items():
            simple = schema.get("type") in ("string", "integer", "number", "boolean") or (
                schema.get("type") == "array" and (schema.get("items") or {}).get("type") in ("string", "number")
            )
            if simple and not PLUMBING.search(key) and len(key) < 30:
                description = schema.get("description", "")[:120]
                properties[key] = {**schema, "description": description} if description else dict(schema)
            elif key in required:
                return None
        if len(properties) > MAX_PARAMETERS:
            properties = {k: v for i, (k, v) in enumerate(properties.items()) if k in required or i < 2}
        if len(properties) > MAX_PARAMETERS:
            return None
        parameters = {"type": "object", "properties": properties, "required": required}
        return {**record, "ask": ask, "parameters": parameters}

    def group(self, rng: random.Random, num_tools: int, num_examples: int) -> Group:
        api = rng.choices(self.apis, self.weights)[0]
        near = rng.sample(self.by_api[api], min(len(self.by_api[api]), max(1, num_tools - rng.randint(0, num_tools))))
        far = [rng.choice(self.by_api[rng.choices(self.apis, self.weights)[0]]) for _ in range(num_tools - len(near))]
        tools: dict[str, tuple[Tool, dict]] = {}
        asked = set()
        for record in near + far:
            name = snake_case(record["name"]) or "tool"
            # Two tools of one description could both be meant.
            if record["ask"].lower() not in asked and name not in tools:
                asked.add(record["ask"].lower())
                description = record["description"] if rng.random() < 0.7 else record["ask"]
                tools[name] = Tool(name, description[:160], record["parameters"], name, {}), record
        shown = list(tools.values())
        rng.shuffle(shown)
        examples = [self._example(rng, shown, asked) for _ in range(num_examples)]
        return Group([tool for tool, _ in shown], [e for e in examples if e])

    def _example(self, rng: random.Random, shown: list[tuple[Tool, dict]], asked: set[str]) -> Example | None:
        kind = rng.random()
        if kind < 0.12:
            other = rng.choice(self.by_api[rng.choices(self.apis, self.weights)[0]])
            alike = any(set(other["ask"].lower().split()[1:]) & set(a.split()[1:]) - {"a", "the", "of"} for a in asked)
            return None if alike else Example(self._request(rng, other)[0], [])
        tool, record = rng.choice(shown)
        text, arguments = self._request(rng, record)
        missing = [k for k in record["parameters"]["required"] if k not in arguments]
        if missing:
            return Example(text, [])
        return Example(text, [{"name": tool.name, "arguments": order_arguments(arguments, tool.parameters)}])

    def _request(self, rng: random.Random, record: dict) -> tuple[str, dict]:
        """The request and its arguments; now and then a required one is left unsaid."""
        parameters = record["parameters"]
        required = parameters["required"]
        forget = rng.choice(required) if required and rng.random() < 0.06 else None
        keys = [k for k in parameters["properties"] if k != forget and (k in required or rng.random() < 0.3)]
        if rng.random() < 0.3:
            rng.shuffle(keys)
        values = {k: self._value(rng, k, parameters["properties"][k]) for k in keys}
        ask = self._ask(rng, record["ask"], bool(keys))
        parts = [self._mention(rng, k, v, len(keys) == 1) for k, v in values.items()]
        glue = rng.choice([" ", ", ", " and "])
        text = " ".join(p for p in (ask, glue.join(parts)) if p)
        if parts and rng.random() < 0.12:
            text = f"{glue.join(parts)}, {ask}"
        if rng.random() < 0.3:
            text = text[:1].upper() + text[1:]
        if rng.random() < 0.25:
            text += rng.choice([".", ".", "?", " please", " thanks"])
        return text, {k: v[1] for k, v in values.items()}

    @staticmethod
    def _ask(rng: random.Random, ask: str, short: bool) -> str:
        verb, _, rest = ask.partition(" ")
        verb = verb.lower()
        if short and rng.random() < 0.5:
            rest = DETAIL.sub("", rest) or rest
        if rng.random() < 0.5:
            rest = re.sub(r"\b(?:information|details) (?:about|on|of|for) ", "", rest)
        if rng.random() < 0.3:
            rest = re.sub(r"\b(?:a specific|the specified|a|an|the) ", "", rest)
        if rng.random() < 0.6:
            verb = rng.choice(SAME_VERBS.get(verb, [verb]))
        opening = rng.choice(OPENINGS) if rng.random() < 0.25 and verb.split()[0] not in ("what", "i", "i'd") else ""
        return f"{opening}{verb} {rest}"

    def _mention(self, rng: random.Random, key: str, value: tuple[str, object], alone: bool) -> str:
        said, typed = value
        name = words(key)
        if isinstance(typed, bool):
            what = FLAG_VERB.sub("", name) or name
            said = FLAG_ON if typed else FLAG_OFF
            return rng.choice(said).format(k=what)
        tail = name.split(" ")[-1]
        forms: tuple[str, ...] = MENTIONS
        if tail in ("city", "country", "location", "region", "place") and rng.random() < 0.7:
            forms = FOR_PLACE
        elif tail in ("date", "day", "time") and rng.random() < 0.6:
            forms = FOR_TIME
        elif name.split(" ")[0] in ("from", "start", "origin", "source") and rng.random() < 0.6:
            forms = ("from {v}",)
        elif name.split(" ")[0] in ("to", "end", "destination", "target") and rng.random() < 0.6:
            forms = ("to {v}",)
        elif alone and rng.random() < 0.4:
            forms = ("for {v}", "{v}", "of {v}")
        return rng.choice(forms).format(k=name, v=said, a=article(name))

    def _value(self, rng: random.Random, key: str, schema: dict) -> tuple[str, object]:
        """What is said, and the argument it stands for."""
        if schema.get("enum"):
            value = rng.choice(schema["enum"])
            return str(value).replace("_", " ") if rng.random() < 0.7 else str(value), value
        kind = schema.get("type")
        if kind == "boolean":
            value = rng.random() < 0.7
            return "", value
        if kind == "integer":
            low, high = rng.choice([(1, 10), (1, 100), (1, 100), (100, 5000), (1950, 2026)])
            value = rng.randint(low, high)
            return str(value), value
        if kind == "number":
            value = rng.choice([rng.randint(1, 500), round(rng.uniform(0, 100), rng.choice([1, 2]))])
            return str(value), value
        if kind == "array":
            numbers = (schema.get("items") or {}).get("type") == "number"
            count = rng.randint(1, 3)
            values = [rng.randint(1, 100) if numbers else self._string(rng, key, schema) for _ in range(count)]
            said = [str(v) for v in values]
            return said[0] if count == 1 else ", ".join(said[:-1]) + " and " + said[-1], values
        value = self._string(rng, key, schema)
        return f'"{value}"' if rng.random() < 0.08 else value, value

    def _string(self, rng: random.Random, key: str, schema: dict) -> str:
        examples = EXAMPLES.search(schema.get("description", ""))
        if examples and rng.random() < 0.6:
            options = [o.strip(" '\"") for o in examples[1].replace(" etc", "").split(",")]
            options = [o for o in options if 1 < len(o) < 30]
            if options:
                return rng.choice(options)
        name = words(key).split(" ")
        if name[-1] in ("id", "ids", "sid", "guid", "code", "number", "key", "reference", "slug"):
            letters = rng.choice(["", "", rng.choice("abcdxyz"), "ORD-", "INV", "usr_", "AC", "p-", "T"])
            return letters + str(rng.randint(10, 99999))
        for hints, lexicon in BY_NAME:
            if any(h in name for h in hints):
                return rng.choice(self.lexicons[lexicon])
        return rng.choice(self.lexicons[rng.choice(("topic", "item", "product", "person", "company"))])
