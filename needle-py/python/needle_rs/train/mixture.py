"""What a run learns from: groups of all sources by weight."""

import random
from pathlib import Path

from .catalogue import CatalogueSource
from .generate import Group, RowSource, TemplateSource
from .templates import Templates


class Mixture:
    """Draws groups from all sources by weight; the same seed and step give the same groups.

    `template_share` of the groups come from the templates and `catalogue_share` from the API operations of
    `catalogue_files`; the rest from `row_files`, each with its weight.
    """

    def __init__(
        self,
        templates: Templates,
        row_files: dict[Path, float],
        catalogue_files: list[Path],
        template_share: float,
        catalogue_share: float,
    ):
        self.templates = TemplateSource(templates.train, templates.train, templates.lexicons)
        self.catalogue = CatalogueSource(catalogue_files, templates.lexicons)
        self.rows = [RowSource(path) for path in row_files]
        self.row_weights = list(row_files.values())
        self.template_share, self.catalogue_share = template_share, catalogue_share

    def group(self, rng: random.Random, max_tools: int, num_examples: int) -> Group:
        num_tools = rng.randint(1, max_tools)
        which = rng.random()
        if which < self.template_share:
            return self.templates.group(rng, num_tools, num_examples)
        if which < self.template_share + self.catalogue_share:
            return self.catalogue.group(rng, num_tools, num_examples)
        source = rng.choices(self.rows, self.row_weights)[0]
        return source.group(rng, num_tools, num_examples)
