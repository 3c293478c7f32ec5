"""Runs that went on from one checkpoint, averaged into one: with different data (local SGD), or one of them and the
weights that it began with, which keeps more of what these knew.

Sources: Stich, "Local SGD Converges Fast and Communicates Little" (2019); Wortsman et al., "Robust fine-tuning of
zero-shot models" (2022).
"""

from pathlib import Path

import torch
from torch import Tensor

from .trainer import read_checkpoint, write_checkpoint


def merge(runs: list[Path]) -> dict:
    """Replaces the checkpoint of every run by the mean of all: weights, averaged weights and optimisers' states.

    Raises:
        ValueError: if the runs are fewer than two, or differ in their sizes.
    """
    states = [read_checkpoint(run / "checkpoint.pt") for run in runs]
    if len(states) < 2 or any(state["config"] != states[0]["config"] for state in states):
        raise ValueError("merging needs two or more runs of the same sizes")
    merged = _mean(states)
    for key in ("step", "seconds"):
        merged[key] = max(state[key] for state in states)
    # A run counts the examples of its own shard; what it has of another shard is as old as their common start.
    shards = {shard for state in states for shard in state["examples"]}
    merged["examples"] = {shard: max(state["examples"].get(shard, 0) for state in states) for shard in shards}
    for run in runs:
        write_checkpoint(merged, run / "checkpoint.pt")
    return merged


def _mean(values: list):
    """The mean of equal structures' floating-point tensors; of all else the first.

    A run that has just begun has optimisers without a state, which the mean does not have then either.
    """
    first = values[0]
    if isinstance(first, dict):
        return {key: _mean([value[key] for value in values]) for key in first if all(key in value for value in values)}
    if isinstance(first, list):
        return [_mean(list(items)) for items in zip(*values, strict=True)]
    if isinstance(first, Tensor) and first.is_floating_point():
        return torch.stack(values).mean(0)
    return first
