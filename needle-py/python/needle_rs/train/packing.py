"""Padded sequences as one row of tokens, so that little work is done on padding."""

from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from .prompt import PAD

MASKED = -1e4
# A group's tokens are filled up to a multiple, for products of new shapes have to be prepared.
MULTIPLE = 64


@dataclass(frozen=True)
class Packing:
    """The tokens of sequences (G, B, T) without padding: N, those of a group after one another and then its fillers.

    The last of all is a filler.
    """

    ids: Tensor  # (G, B, T)
    index: Tensor  # (N,) into the padded G·B·T, which itself stands for a filler
    groups: list[slice]  # of N, one for each group

    @classmethod
    def of(cls, ids: Tensor) -> "Packing":
        real = ids != PAD
        counts = real.flatten(1).sum(1).tolist()
        filled = [-(-count // MULTIPLE) * MULTIPLE for count in counts]
        filled[-1] += MULTIPLE * (filled[-1] == counts[-1])
        pieces = zip(real.flatten().nonzero()[:, 0].split(counts), counts, filled, strict=True)
        index = torch.cat([F.pad(piece, (0, full - count), value=ids.numel()) for piece, count, full in pieces])
        ends = list(accumulate(filled, initial=0))
        return cls(ids, index, [slice(*ends[i : i + 2]) for i in range(len(ids))])

    @property
    def tokens(self) -> Tensor:
        """(N,)"""
        return F.pad(self.ids.flatten(), (0, 1), value=PAD)[self.index]

    @property
    def positions(self) -> Tensor:
        """(N,) within the sequences"""
        return self.index % self.ids.shape[-1]

    @property
    def rows(self) -> Tensor:
        """(G·B, T) of N, the last one where there is padding"""
        rows = torch.full((self.ids.numel() + 1,), len(self.index) - 1, device=self.index.device)
        rows[self.index] = torch.arange(len(self.index), device=self.index.device)
        return rows[:-1].view(-1, self.ids.shape[-1])

    def pack(self, x: Tensor) -> Tensor:
        """(G, B, T, …) -> (N, …), anything where there is a filler"""
        return x.flatten(0, 2).index_select(0, self.index.clamp(max=self.ids.numel() - 1))

    def pad(self, x: Tensor) -> Tensor:
        """(N, …) -> (G, B, T, …), zero where there is padding"""
        padded = x.new_zeros(self.ids.numel() + 1, *x.shape[1:])
        return padded.index_copy(0, self.index, x)[:-1].unflatten(0, self.ids.shape)


def mask(ids: Tensor) -> Tensor:
    """To be added to scores of keys, f32"""
    return torch.zeros(ids.shape, device=ids.device).masked_fill(ids == PAD, MASKED)


def width(longest: int) -> int:
    """Few widths, for products of new shapes have to be prepared."""
    return max(8, -(-longest // 8) * 8)
