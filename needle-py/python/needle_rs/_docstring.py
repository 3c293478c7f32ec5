"""What a docstring says of a function and of its parameters, in the styles of Google, NumPy and Sphinx."""

import re
from collections.abc import Iterator
from itertools import takewhile

# The beginning of what is said of one parameter; the rest is indented deeper.
_BEGINNINGS = (
    re.compile(r"\s+\*{0,2}(?P<names>\w+)\s*(?:\(.*?\))?:(?P<text>.*)"),  # Google: `name (int): …`
    re.compile(r":param\s+(?:[^:]*\s)?\*{0,2}(?P<names>\w+):(?P<text>.*)"),  # Sphinx: `:param int name: …`
    re.compile(r"(?P<names>\w+(?:, \w+)*) : .+(?P<text>)"),  # NumPy: `name : int`, what is said is below
)


def parse(docstring: str) -> tuple[str, dict[str, str]]:
    """The first paragraph, and what is said of names. Some names may be no parameters: look up those you know."""
    lines = docstring.splitlines()
    summary = takewhile(lambda line: line.strip() and not line.startswith(":param"), lines)
    described: dict[str, str] = {}
    for index, line in enumerate(lines):
        match = next(filter(None, (beginning.match(line) for beginning in _BEGINNINGS)), None)
        if match is not None:
            text = " ".join([match["text"], *_below(lines[index:])]).split()
            for name in match["names"].split(", "):
                described.setdefault(name, " ".join(text))
    return " ".join(" ".join(summary).split()), described


def _below(lines: list[str]) -> Iterator[str]:
    """The lines that belong to the first one: those indented deeper."""
    depth = _indent(lines[0])
    return takewhile(lambda line: line.strip() and _indent(line) > depth, lines[1:])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
