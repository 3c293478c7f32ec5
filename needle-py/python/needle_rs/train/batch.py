"""Groups of examples to padded arrays.

Axes: G groups, N tools a group, S tokens a tool, C tokens of a packed catalogue, B queries a group, T tokens a
query, U decoder positions, F free positions.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from .generate import Group
from .packing import width
from .prompt import PAD, Prompter
from .target import FORCED, answer_tokens


@dataclass
class Batch:
    tool_ids: torch.Tensor  # (G, N, S)
    pack: torch.Tensor  # (G, C) index into N*S of each packed catalogue token
    catalogue_ids: torch.Tensor  # (G, C)
    query_ids: torch.Tensor  # (G, B, T)
    target_ids: torch.Tensor  # (G, B, U) decoder input
    free: torch.Tensor  # (G, B, F) decoder positions that predict a free token
    labels: torch.Tensor  # (G, B, F) that token; PAD where unused
    classes: torch.Tensor  # (G, B, F) its class
    answer_tool: torch.Tensor  # (G, B) index of the first called tool, -1 for a refusal

    def to(self, device: torch.device) -> "Batch":
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


@dataclass(frozen=True)
class Limits:
    """Largest counts of a batch; longer examples are left out, so that padding stays small."""

    queries: int
    query_tokens: int
    target_tokens: int


UNLIMITED = Limits(1 << 30, 1 << 30, 1 << 30)


def collate(groups: list[Group], prompter: Prompter, limits: Limits = UNLIMITED) -> Batch | None:
    """None if no example is within the limits."""
    tools = [[prompter.tool_segment(t.name, t.description, t.parameters) for t in group.tools] for group in groups]
    catalogues = [[i for segment in segments for i in segment] for segments in tools]
    examples = []
    for group in groups:
        schemas = {t.name: t.parameters for t in group.tools}
        rows = []
        for example in group.examples:
            ids, classes = answer_tokens(prompter.tokenizer, example.calls, schemas)
            query = prompter.query_segment(example.query)
            if len(ids) > limits.target_tokens + 1 or len(query) > limits.query_tokens or len(rows) == limits.queries:
                continue
            first = next(
                (i for i, t in enumerate(group.tools) if example.calls and t.name == example.calls[0]["name"]), -1
            )
            rows.append((query, ids, classes, first))
        examples.append(rows)
    if not any(examples):
        return None

    num_groups, num_tools = len(groups), max(len(t) for t in tools)
    segment = width(max(len(s) for t in tools for s in t))
    num_queries = max(len(rows) for rows in examples)
    query = width(max(len(r[0]) for rows in examples for r in rows))
    target = width(max(len(r[1]) for rows in examples for r in rows) - 1)
    num_free = max(sum(c != FORCED for c in r[2]) for rows in examples for r in rows)
    out = {
        "tool_ids": np.full((num_groups, num_tools, segment), PAD, np.int64),
        "pack": np.zeros((num_groups, max(map(len, catalogues))), np.int64),
        "catalogue_ids": np.full((num_groups, max(map(len, catalogues))), PAD, np.int64),
        "query_ids": np.full((num_groups, num_queries, query), PAD, np.int64),
        "target_ids": np.full((num_groups, num_queries, target), PAD, np.int64),
        "free": np.zeros((num_groups, num_queries, num_free), np.int64),
        "labels": np.full((num_groups, num_queries, num_free), PAD, np.int64),
        "classes": np.zeros((num_groups, num_queries, num_free), np.int64),
        "answer_tool": np.full((num_groups, num_queries), -1, np.int64),
    }
    for g, (segments, rows) in enumerate(zip(tools, examples, strict=True)):
        position = 0
        for n, ids in enumerate(segments):
            out["tool_ids"][g, n, : len(ids)] = ids
            out["pack"][g, position : position + len(ids)] = n * segment + np.arange(len(ids))
            position += len(ids)
        out["catalogue_ids"][g, :position] = catalogues[g]
        for b, (query_ids, ids, classes, first) in enumerate(rows):
            out["query_ids"][g, b, : len(query_ids)] = query_ids
            out["target_ids"][g, b, : len(ids) - 1] = ids[:-1]
            places = [i for i, c in enumerate(classes) if c != FORCED]
            out["free"][g, b, : len(places)] = [i - 1 for i in places]
            out["labels"][g, b, : len(places)] = [ids[i] for i in places]
            out["classes"][g, b, : len(places)] = [classes[i] for i in places]
            out["answer_tool"][g, b] = first
    return Batch(**{k: torch.from_numpy(v) for k, v in out.items()})
