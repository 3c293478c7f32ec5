"""Muon for the projection matrices (momentum, orthogonalised by Newton-Schulz), AdamW for everything else.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024), for the quintic
iteration and its coefficients.
"""

from collections import defaultdict
from functools import partial

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
# Share of a run over which the learning rate falls.
DECAY = 0.3


def orthogonalise(update: Tensor, steps: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices of a stack (M, rows, columns)."""
    a, b, c = QUINTIC
    x = update.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for shape, params in shapes.items():
                updates = []
                for p in params:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for p, update in zip(params, orthogonalise(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * scale)


def build(model: nn.Module, muon_lr: float, adam_lr: float, weight_decay: float, muon: bool = True):
    """The two optimisers over the model's parameters; without `muon` both are AdamW."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        is_projection = p.dim() == 2 and "_proj." in name
        (matrices if is_projection else others).append(p)
    adam = partial(torch.optim.AdamW, betas=(0.9, 0.98))
    return [
        (Muon if muon else adam)(matrices, lr=muon_lr, weight_decay=weight_decay),
        adam(others, lr=adam_lr, weight_decay=0.0),
    ]


def decaying(progress: float) -> bool:
    """Whether a run has come so far that its learning rate falls."""
    return progress > 1 - DECAY


def warmup_stable_decay(progress: float, warmup: float = 0.02) -> float:
    """Factor of the learning rate at a share of the budget: linear up, flat, linear down to 2 % over `DECAY`."""
    if progress < warmup:
        return progress / warmup
    return min(1.0, max(0.02, (1 - progress) / DECAY))
