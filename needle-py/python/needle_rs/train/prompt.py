"""Tools and queries to token ids, exactly as the engine's `prompt` module does it (a golden file compares them)."""

import json
import re
from collections.abc import Iterator

PAD, EOS, BOS, UNK, TOOL_CALL, TOOLS, DESC, REQ, OPT = range(9)
SPECIAL_TOKENS = ["<pad>", "</s>", "<s>", "<unk>", "<tool_call>", "<tools>", "<desc>", "<req>", "<opt>"]

TOOL_DESCRIPTION_TOKENS = 64
PARAMETER_DESCRIPTION_TOKENS = 32

# A piece is ("special", id), ("text", text) or ("words", text, limit).
Piece = tuple


def snake_case(name: str) -> str:
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()


def compact_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def tool_pieces(name: str, description: str, parameters: dict) -> list[Piece]:
    """Pieces of one tool segment; `name` is snake_case already."""
    pieces = [("special", TOOLS), ("text", name), ("special", DESC)]
    if description:
        pieces.append(("words", description, TOOL_DESCRIPTION_TOKENS))
    pieces.extend(_params(parameters, parameters, ()))
    return pieces


def _params(schema: dict, root: dict, open_refs: tuple[str, ...]) -> Iterator[Piece]:
    required = schema.get("required") or []
    for key, value in (schema.get("properties") or {}).items():
        yield ("special", REQ if key in required else OPT)
        yield ("text", key)
        yield ("text", " ")
        yield from _type(value, root, open_refs)
        description = value.get("description") if isinstance(value, dict) else None
        if description:
            yield ("special", DESC)
            yield ("words", description, PARAMETER_DESCRIPTION_TOKENS)


def _type(schema: object, root: dict, open_refs: tuple[str, ...]) -> Iterator[Piece]:
    if not isinstance(schema, dict):
        yield ("text", "any")
        return
    ref = schema.get("$ref")
    if isinstance(ref, str):
        target = _resolve(ref, root)
        if target is None or ref in open_refs:
            yield ("text", "any")
        else:
            yield from _type(target, root, (*open_refs, ref))
        return
    if "enum" in schema:
        yield ("text", "|".join(compact_json(v) for v in schema["enum"]))
        return
    if "const" in schema:
        yield ("text", compact_json(schema["const"]))
        return
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            yield from _alternatives(schema[key], root, open_refs)
            return
    kind = schema.get("type")
    if schema.get("allOf") and kind is None:
        if len(schema["allOf"]) == 1:
            yield from _type(schema["allOf"][0], root, open_refs)
        else:
            yield ("text", "any")
        return
    if isinstance(kind, list):
        yield from _alternatives([{**schema, "type": one} for one in kind], root, open_refs)
    elif kind == "string":
        yield ("text", f"string {schema['format']}" if schema.get("format") else "string")
    elif kind in ("number", "integer", "boolean", "null"):
        yield ("text", kind)
    elif kind == "array":
        yield ("text", "[")
        yield from _type(schema.get("items"), root, open_refs)
        yield ("text", "]")
    elif kind == "object" and schema.get("properties"):
        yield ("text", "{")
        yield from _params(schema, root, open_refs)
        yield ("text", "}")
    elif kind == "object":
        yield ("text", "object")
    else:
        yield ("text", "any")


def _alternatives(schemas: list, root: dict, open_refs: tuple[str, ...]) -> Iterator[Piece]:
    for index, schema in enumerate(schemas):
        if index:
            yield ("text", "|")
        yield from _type(schema, root, open_refs)


def _resolve(ref: str, root: dict) -> object | None:
    if not ref.startswith("#"):
        return None
    node: object = root
    for part in ref[1:].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    return node


class Prompter:
    """Encodes pieces and texts with a tokenizer; keeps the ids of texts that come again and again."""

    def __init__(self, tokenizer, max_seq_len: int):
        self.tokenizer = tokenizer
        self.max_seq_len = max_seq_len
        self.space = tokenizer.token_to_id(" ")
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _cached(self, text: str) -> list[int]:
        ids = self._cache.get(text)
        if ids is None:
            ids = self._cache[text] = self.encode(text)
        return ids

    def tool_segment(self, name: str, description: str, parameters: dict) -> list[int]:
        ids: list[int] = []
        for piece in tool_pieces(name, description, parameters):
            if piece[0] == "special":
                ids.append(piece[1])
            elif piece[0] == "text":
                ids.extend(self._cached(piece[1]))
            else:
                ids.extend([i for i in self._cached(piece[1]) if i != self.space][: piece[2]])
        return ids[: self.max_seq_len]

    def query_segment(self, query: str) -> list[int]:
        return [BOS, *self.encode(query)][: self.max_seq_len]
