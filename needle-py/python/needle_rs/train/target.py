"""The answer text of a row, and which of its characters the decoding grammar leaves to the model.

Only free characters carry loss: the engine writes the forced ones without asking the model.
"""

from .prompt import EOS, TOOL_CALL, compact_json

FORCED, ENVELOPE, NAME, KEY, VALUE = range(5)
CLASS_NAMES = ("forced", "envelope", "name", "key", "value")


class AnswerText:
    """Answer text under construction with one class per character."""

    def __init__(self) -> None:
        self.text = ""
        self.classes: list[int] = []
        self._open_end = False

    def forced(self, text: str) -> None:
        self.choose(text, [text], FORCED)

    def free(self, text: str, cls: int) -> None:
        self.text += text
        self.classes.extend([cls] * len(text))
        self._open_end = False

    def choose(self, chosen: str, candidates: list[str], cls: int) -> None:
        """Appends `chosen`; a character is free where the candidates that agree so far differ."""
        alive = candidates
        for i, char in enumerate(chosen):
            following = {c[i : i + 1] for c in alive}
            is_free = len(following) > 1 or (i == 0 and self._open_end)
            self.classes.append((cls or VALUE) if is_free else FORCED)
            alive = [c for c in alive if c[i : i + 1] == char]
        self.text += chosen
        self._open_end = False

    def number(self, text: str) -> None:
        """A number ends only where the model says so: the character after it is a choice as well."""
        self.free(text, VALUE)
        self._open_end = True


def answer_text(calls: list[dict], schemas: dict[str, dict]) -> AnswerText:
    """`calls` are `{name, arguments}` with prompt names; `schemas` maps each shown name to its parameters."""
    out = AnswerText()
    if not calls:
        out.choose("[]", ["[]", '[{"name":"'], ENVELOPE)
        return out
    out.choose('[{"name":"', ["[]", '[{"name":"'], ENVELOPE)
    names = [f'{name}"' for name in schemas]
    for index, call in enumerate(calls):
        if index:
            out.choose(',{"name":"', ["]", ',{"name":"'], ENVELOPE)
        out.choose(f'{call["name"]}"', names, NAME)
        out.forced(',"arguments":')
        _object(out, schemas[call["name"]], call["arguments"])
        out.forced("}")
    out.choose("]", ["]", ',{"name":"'], ENVELOPE)
    return out


def _object(out: AnswerText, schema: dict, value: dict) -> None:
    properties = list(schema.get("properties") or {})
    required = set(schema.get("required") or [])
    out.forced("{")
    position, separator = 0, ""

    def candidates() -> list[str]:
        found = []
        for key in properties[position:]:
            found.append(f"{separator}{compact_json(key)}:")
            if key in required:
                return found
        return [*found, "}"]

    for key in sorted(value, key=properties.index):
        out.choose(f"{separator}{compact_json(key)}:", candidates(), KEY)
        _value(out, schema["properties"][key], value[key])
        position, separator = properties.index(key) + 1, ","
    out.choose("}", candidates(), KEY)


def _value(out: AnswerText, schema: dict, value: object) -> None:
    if "enum" in schema:
        # The closing comma or brace tells 1 from 12, so a bare value ends like a number does.
        out.choose(compact_json(value), [compact_json(v) for v in schema["enum"]], VALUE)
    elif isinstance(value, bool):
        out.choose(compact_json(value), ["true", "false"], VALUE)
    elif isinstance(value, int | float):
        out.number(compact_json(value))
    elif isinstance(value, str):
        text = compact_json(value)
        out.forced('"')
        out.free(text[1:], VALUE)
    elif isinstance(value, list):
        out.forced("[")
        for index, item in enumerate(value):
            if index:
                out.choose(",", [",", "]"], VALUE)
            _value(out, schema.get("items") or {}, item)
        out.choose("]", [",", "]"], VALUE)
    elif isinstance(value, dict) and schema.get("properties"):
        _object(out, schema, value)
    else:
        out.free(compact_json(value), VALUE)


def answer_tokens(tokenizer, calls: list[dict], schemas: dict[str, dict]) -> tuple[list[int], list[int]]:
    """Decoder ids `[1, 4, text…, 1]` and, per id, the class of its first free character (FORCED if none)."""
    answer = answer_text(calls, schemas)
    encoding = tokenizer.encode(answer.text, add_special_tokens=False)
    classes = [next((c for c in answer.classes[start:end] if c != FORCED), FORCED) for start, end in encoding.offsets]
    return [EOS, TOOL_CALL, *encoding.ids, EOS], [FORCED, FORCED, *classes, FORCED]
