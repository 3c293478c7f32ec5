"""Keeps what measures out of what is learned: texts that nearly repeat the request of an evaluation row."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from . import jsonl

WORD = re.compile(r"[^\W_]+")
ALIKE = 0.6


def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(text.lower()))


def _trigrams(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {words[i : i + 3] for i in range(len(words) - 2)}


class Evaluation:
    """The requests of the evaluation rows.

    A text is a near-duplicate of one if their words are the same, or if the word trigrams that they share are at least
    0.6 of all that either has (Jaccard index).
    """

    def __init__(self, queries: Iterable[str]):
        self.sizes: list[int] = []
        self.exact: set[tuple[str, ...]] = set()
        self.by_trigram: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for words in {_words(query) for query in queries}:
            trigrams = _trigrams(words)
            for trigram in trigrams:
                self.by_trigram[trigram].append(len(self.sizes))
            self.sizes.append(len(trigrams))
            self.exact.add(words)

    @classmethod
    def read(cls, folder: Path) -> "Evaluation":
        """All rows of `*.jsonl` and `*.jsonl.gz` under a folder; none if there is no such folder."""
        return cls(row["query"] for path in sorted(folder.rglob("*.jsonl*")) for row in jsonl.read(path))

    def repeats(self, text: str) -> bool:
        """Whether a text is a near-duplicate of an evaluation row's."""
        words = _words(text)
        if words in self.exact:
            return True
        trigrams = _trigrams(words)
        shared = Counter(row for trigram in trigrams for row in self.by_trigram.get(trigram, ()))
        return any(n >= ALIKE * (len(trigrams) + self.sizes[row] - n) for row, n in shared.items())
