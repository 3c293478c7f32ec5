"""Weights as the integers that a bundle stores: symmetric, a scale for each group along the input dimension.

The form is the engine's (`needle-core/src/checkpoint/quantize.rs`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

GROUP = 32
# Largest integer by bits of storage.
LIMITS = {8: 127, 4: 7}


def is_quantised(weight: Tensor) -> bool:
    """Whether a bundle stores this tensor in integers: matrices whose input dimension holds whole groups."""
    return weight.dim() == 2 and weight.shape[0] > 1 and weight.shape[1] % GROUP == 0


def quantise(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """(out, in) f32 as (out, in) int8 and (out, in/32) f16 scales."""
    limit = LIMITS[bits]
    groups = weight.float().unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(-1) / limit).half()
    divisor = scale.float().clamp(min=torch.finfo(torch.float16).tiny)
    return (groups / divisor[..., None]).round().clamp(-limit, limit).to(torch.int8).flatten(1), scale


def dequantise(integers: Tensor, scale: Tensor) -> Tensor:
    """What `quantise` stored, (out, in) f32."""
    return (integers.float().unflatten(1, (-1, GROUP)) * scale.float()[..., None]).flatten(1)


@contextmanager
def straight_through(model: nn.Module, bits: int) -> Iterator[None]:
    """Inside, the matrices hold what a bundle would; gradients found there are for the exact ones, which come back.

    The straight-through estimator: Bengio, Léonard and Courville (2013). With 0 bits nothing changes.
    """
    exact = {p: p.detach().clone() for p in model.parameters() if bits and is_quantised(p)}
    try:
        for parameter, weight in exact.items():
            parameter.data.copy_(dequantise(*quantise(weight, bits)))
        yield
    finally:
        for parameter, weight in exact.items():
            parameter.data.copy_(weight)
