"""A deeper network from a trained one that at first computes the same: copies of layers that add nothing yet.

Source: Wu et al., "LLaMA Pro: Progressive LLaMA with Block Expansion" (2024): copies whose output projection is zero.
"""

import re
from dataclasses import replace

import torch
from torch import Tensor

from . import optim
from .model import Config, San

LAYER = re.compile(r"^(encoder|decoder)\.layers\.(\d+)\.")


def grow(state: dict, encoder_layers: int, decoder_layers: int) -> dict:
    """The checkpoint `state` with as many layers; its optimisers know the old layers and start afresh on the new ones.

    Raises:
        ValueError: if there would be fewer layers than now.
    """
    old = Config(**state["config"])
    new = replace(old, num_encoder_layers=encoder_layers, num_decoder_layers=decoder_layers)
    depths = {
        "encoder": (old.num_encoder_layers, new.num_encoder_layers),
        "decoder": (old.num_decoder_layers, new.num_decoder_layers),
    }
    if any(after < before for before, after in depths.values()):
        raise ValueError(f"a run of {old.num_encoder_layers} and {old.num_decoder_layers} layers cannot lose any")
    with torch.device("meta"):
        before, after = San(old), San(new)
    origins = {name: _origin(name, depths) for name in after.state_dict()}
    weights = {key: _expand(state[key], origins) for key in ("model", "average")}
    optimisers = [
        _expand_optimiser(saved, *groups, origins)
        for saved, *groups in zip(state["optimisers"], _groups(before), _groups(after), strict=True)
    ]
    return state | weights | {"config": new.as_dict(), "optimisers": optimisers}


def _origin(name: str, depths: dict[str, tuple[int, int]]) -> tuple[str, bool]:
    """The name that a parameter of the grown network has in the old one, and whether its layer is a copy."""
    match = LAYER.match(name)
    if not match:
        return name, False
    stack, index = match[1], int(match[2])
    before, after = depths[stack]
    source = index * before // after
    copy = index > 0 and (index - 1) * before // after == source
    return f"{stack}.layers.{source}.{name[match.end() :]}", copy


def _expand(weights: dict[str, Tensor], origins: dict[str, tuple[str, bool]]) -> dict[str, Tensor]:
    return {
        name: torch.zeros_like(weights[source]) if copy and ".out_proj." in name else weights[source].clone()
        for name, (source, copy) in origins.items()
    }


def _groups(model: San) -> list[list[str]]:
    """The names of each optimiser's parameters, in its order."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [[names[id(p)] for p in o.param_groups[0]["params"]] for o in optim.build(model, 0.0, 0.0, 0.0)]


def _expand_optimiser(saved: dict, before: list[str], after: list[str], origins: dict[str, tuple[str, bool]]) -> dict:
    index = {name: i for i, name in enumerate(before)}
    state = {}
    for i, name in enumerate(after):
        source, copy = origins[name]
        if not copy and index[source] in saved["state"]:
            state[i] = saved["state"][index[source]]
    group = saved["param_groups"][0] | {"params": list(range(len(after)))}
    return {"state": state, "param_groups": [group]}
