"""Other values than those that a slot lists, so that numbers and lists are read instead of remembered."""

import random
import re

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
# What may stand between the items of a spoken list.
BETWEEN = re.compile(r"[\s,;&+\[\]]|\band\b|\bplus\b")


def another(value: object, values: list, rng: random.Random) -> object:
    """A value in the manner of `value`, one of a slot's `values`: numbers between the slot's least and greatest, or
    lists of the items that its lists hold. Other kinds of values stay as they are."""
    if _is_number(value):
        return _number(value, [v for v in values if _is_number(v)], rng)
    if not isinstance(value, dict) or set(value) != {"say", "value"}:
        return value
    spoken, meant = str(value["say"]), value["value"]
    others = [v["value"] for v in values if isinstance(v, dict) and "value" in v]
    if _is_number(meant):
        return _spoken_number(spoken, meant, [v for v in others if _is_number(v)], rng) or value
    if isinstance(meant, list) and meant:
        items = list(dict.fromkeys(item for v in others if isinstance(v, list) for item in v if not _is_nested(item)))
        return _spoken_list(spoken, meant, items, max(len(v) for v in others if isinstance(v, list)), rng) or value
    return value


def fits(schema: dict, value: object) -> bool:
    """Whether a value keeps the bounds of its schema that a change of numbers and items can break."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if _is_number(value):
        in_bounds = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        return in_bounds and ("multipleOf" not in schema or value % schema["multipleOf"] == 0)
    if isinstance(value, list):
        counts = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return counts and all(fits(schema.get("items") or {}, item) for item in value)
    if isinstance(value, dict):
        return all(fits((schema.get("properties") or {}).get(key, {}), item) for key, item in value.items())
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def _number(like: int | float, among: list, rng: random.Random) -> int | float:
    """A number between the least and the greatest, as whole or as long as `like`."""
    low, high = min(among), max(among)
    if isinstance(like, float):
        return round(rng.uniform(low, high), len(str(like).partition(".")[2]))
    if low > 0 and high > 50 * low:
        # Over several magnitudes people say round numbers.
        drawn = low * (high / low) ** rng.random()
        return int(float(f"{drawn:.2g}"))
    return rng.randint(int(low), int(high))


def _spoken_number(spoken: str, meant: int | float, among: list, rng: random.Random) -> dict | None:
    """The same words with another number, where the number is in them as it is meant."""
    found = NUMBER.findall(spoken)
    if len(found) != 1 or float(found[0].rstrip(",").replace(",", "")) != meant:
        return None
    literal = found[0].rstrip(",")
    number = _number(meant, among, rng)
    return {"say": spoken.replace(literal, f"{number:,}" if "," in literal else str(number)), "value": number}


def _spoken_list(spoken: str, meant: list, items: list, longest: int, rng: random.Random) -> dict | None:
    """Another list, where nothing but its items is said."""
    rest = spoken
    for item in sorted(map(str, meant), key=len, reverse=True):
        if item not in rest:
            return None
        rest = rest.replace(item, " ", 1)
    if BETWEEN.sub("", rest) or not items:
        return None
    count = rng.randint(1 if rng.random() < 0.15 else 2, longest + 1)
    if all(map(_is_number, items)):
        chosen = [_number(rng.choice(items), items, rng) for _ in range(count)]
    else:
        chosen = rng.sample(items, min(count, len(items)))
    words = [str(item) for item in chosen]
    commas = ", ".join(words)
    joined = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else commas
    styles = [joined, joined, joined, commas, " and ".join(words)]
    if all(map(_is_number, items)):
        styles += [f"[{commas}]", f"[{commas}]", " ".join(words)]
    return {"say": rng.choice(styles), "value": chosen}
