"""What a run learns from: groups of all sources by weight."""

import random
from pathlib import Path

from .catalogue import CatalogueSource
from .duplicates import Evaluation
from .generate import Group, RowSource, TemplateSource
from .templates import Split


class Mixture:
    """Draws groups from all sources by weight; the same seed and step give the same groups.

    `template_share` of the groups come from the templates, `own_share` from `own` (templates that nothing is held out
    of) and `catalogue_share` from the API operations of `catalogue_files`; the rest from `row_files`, each with its
    weight. Near-duplicates of rows of `evaluation` are left out.
    """

    def __init__(
        self,
        templates: Split,
        own: Split | None,
        lexicons: dict[str, list[str]],
        row_files: dict[Path, float],
        catalogue_files: list[Path],
        template_share: float,
        own_share: float,
        catalogue_share: float,
        evaluation: Evaluation,
        skip_malformed: bool = False,
    ):
        self.evaluation = evaluation
        self.rows = [RowSource(path, skip_malformed) for path in row_files]
        self.row_weights = list(row_files.values())
        sources = [
            (TemplateSource(templates, templates, lexicons), template_share),
            (CatalogueSource(catalogue_files, lexicons), catalogue_share),
        ]
        if own:
            sources.append((TemplateSource(own, own, lexicons, crossing=True), own_share))
        self.sources = [source for source, _ in sources]
        self.shares = [share for _, share in sources]

    def group(self, rng: random.Random, max_tools: int, num_examples: int) -> Group:
        while True:
            group = self._source(rng).group(rng, rng.randint(1, max_tools), num_examples)
            examples = [e for e in group.examples if not self.evaluation.repeats(e.query)]
            if examples:
                return Group(group.tools, examples)

    def _source(self, rng: random.Random) -> TemplateSource | CatalogueSource | RowSource:
        which = rng.random()
        for source, share in zip(self.sources, self.shares, strict=True):
            if which < share:
                return source
            which -= share
        return rng.choices(self.rows, self.row_weights)[0]
