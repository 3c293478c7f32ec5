"""Attention of packed tokens over the keys of their own sequence and over a catalogue that a group of sequences shares.

Axes as in `batch.py`, and N packed tokens, S = G·B sequences, K key/value heads, R query heads to each, E head width.
Queries are (K, N, R, E), keys and values (K, N, E).
"""

from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from .packing import MASKED, Packing, mask, width
from .prompt import PAD

# Sequences of like lengths are padded together, in so many blocks.
BLOCKS = 4


@dataclass(frozen=True)
class Block:
    """Queries that meet the same keys, or sequences of them (S', T) and (S', T') padded to one length."""

    queries: Tensor | slice  # rows of packed queries, the last one where there is padding
    keys: Tensor | slice
    mask: Tensor  # additive, of scores (K, S', T·R, T'), or (K, T·R, T') of one group


@dataclass(frozen=True)
class Places:
    """Who may attend to what: queries to the keys of their sequence, causally or not, and to their group's `shared`."""

    rep: int  # R
    queries: Packing
    keys: Packing
    shared: Packing | None = None
    causal: bool = False

    def own_mask(self, key_ids: Tensor) -> Tensor:
        """Of the scores (K, S, T·R, T') of keys (S, T')."""
        if not self.causal:
            return mask(key_ids)[:, None]
        # What is padding comes after all that is not.
        later = torch.full((key_ids.shape[-1],) * 2, MASKED, device=key_ids.device).triu(1)
        return later.repeat_interleave(self.rep, 0)

    @cached_property
    def blocks(self) -> list[list[Block]]:
        """Of own keys and of shared ones."""
        if self.shared is None:
            return [self._own_blocks()]
        shared_mask = mask(self.shared.tokens)
        groups = zip(self.queries.groups, self.shared.groups, strict=True)
        return [self._own_blocks(), [Block(queries, keys, shared_mask[keys]) for queries, keys in groups]]

    def _own_blocks(self) -> list[Block]:
        lengths, key_lengths = ((rows.ids != PAD).sum(-1).flatten() for rows in (self.queries, self.keys))
        queries, keys, key_ids = self.queries.rows, self.keys.rows, self.keys.ids.flatten(0, 1)
        blocks = []
        for chosen in lengths.argsort().chunk(BLOCKS):
            longest = width(lengths[chosen].max().item()), width(key_lengths[chosen].max().item())
            block_mask = self.own_mask(key_ids[chosen, : longest[1]])
            blocks.append(Block(queries[chosen, : longest[0]], keys[chosen, : longest[1]], block_mask))
        return blocks


def attend(q: Tensor, places: Places, *keys_values: Tensor) -> Tensor:
    """Attention of scaled queries over own keys and values, and over shared keys and values if given: (K, N, R, E)."""
    return (packed_attention if q.device.type == "cpu" else padded_attention)(q, places, *keys_values)


def padded_attention(q: Tensor, places: Places, *keys_values: Tensor) -> Tensor:
    """With padding and all scores built: for devices that have the memory."""
    k, v, *shared = keys_values
    q, k, v = (_padded(x, rows) for x, rows in ((q, places.queries), (k, places.keys), (v, places.keys)))
    scores = [q @ k.mT + places.own_mask(places.keys.ids.flatten(0, 1)).to(q)]
    if places.shared is not None:
        # All queries of a group against its catalogue: (K, G, B·T·R, C)
        groups = len(places.shared.ids)
        shared_k, shared_v = (_padded(x, places.shared) for x in shared)
        of_groups = q.unflatten(1, (groups, -1)).flatten(2, 3) @ shared_k.mT + mask(places.shared.ids).to(q)
        scores.append(of_groups.view(*q.shape[:3], -1))
    weights = torch.cat(scores, -1).float().softmax(-1).to(v).split([s.shape[-1] for s in scores], -1)
    out = weights[0] @ v
    if places.shared is not None:
        of_groups = weights[1].unflatten(1, (groups, -1)).flatten(2, 3) @ shared_v
        out = out + of_groups.view_as(out)
    tokens = out.flatten(1, 2).unflatten(1, (-1, places.rep))
    return tokens.index_select(1, places.queries.index.clamp(max=places.queries.ids.numel() - 1))


def _padded(x: Tensor, rows: Packing) -> Tensor:
    """(K, N, …, E) -> (K, S, T·…, E), zero where there is padding"""
    padded = x.new_zeros(len(x), rows.ids.numel() + 1, *x.shape[2:]).index_copy(1, rows.index, x)
    return padded[:, :-1].unflatten(1, rows.ids.shape).flatten(1, 2).flatten(2, -2)


@torch.compiler.disable
def packed_attention(q: Tensor, places: Places, *keys_values: Tensor) -> Tensor:
    """The same with little padding: for CPUs."""
    return PackedAttention.apply(q, places, *keys_values)


class PackedAttention(torch.autograd.Function):
    """The softmax over own and shared keys is put together from the maximum and the sum of either part.

    Source: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018).
    """

    @staticmethod
    def forward(ctx, q: Tensor, places: Places, *keys_values: Tensor) -> Tensor:
        parts, kept = [], []
        for blocks, k, v in zip(places.blocks, keys_values[::2], keys_values[1::2], strict=True):
            sums, top = torch.zeros_like(q), q.new_zeros(*q.shape[:3], 1, dtype=torch.float32)
            part = sums, top, torch.ones_like(top)
            for block in blocks:
                heads = _take(q, block.queries), _take(k, block.keys), _take(v, block.keys)
                p, *tops_totals = _exponentials(heads[0] @ heads[1].mT, block.mask)
                for whole, piece in zip(part, (p @ heads[2], *tops_totals), strict=True):
                    _put(whole, block.queries, piece)
                kept += *heads, p
            parts.append(part)
        out, *factors = _joined(*map(list, zip(*parts, strict=True)))
        ctx.save_for_backward(out, *factors, *kept)
        ctx.places = places
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):
        places: Places = ctx.places
        out, *saved = ctx.saved_tensors
        factors, kept = saved[: len(places.blocks)], iter(saved[len(places.blocks) :])
        grad = grad.contiguous()
        delta = (grad * out).sum(-1, keepdim=True, dtype=torch.float32)
        d_q, d_keys_values = torch.zeros_like(grad), []
        for factor, blocks, keys in zip(factors, places.blocks, (places.keys, places.shared), strict=False):
            d_k = grad.new_zeros(len(grad), len(keys.index), grad.shape[-1])
            wholes = torch.zeros_like(grad), d_k, torch.zeros_like(d_k)
            for block in blocks:
                rows = (_take(x, block.queries) for x in (grad, delta, factor))
                pieces = _gradients(*(next(kept) for _ in range(4)), *rows)
                for whole, at, piece in zip(wholes, (block.queries, block.keys, block.keys), pieces, strict=True):
                    _put(whole, at, piece)
            for whole in wholes:
                whole[:, -1] = 0
            d_q += wholes[0]
            d_keys_values += wholes[1:]
        return d_q, None, *d_keys_values


def compile_parts() -> None:
    """Lets PyTorch compile what is done number by number."""
    global _exponentials, _joined, _softmax_gradient
    _exponentials, _joined, _softmax_gradient = (
        torch.compile(f, dynamic=True) for f in (_exponentials, _joined, _softmax_gradient)
    )


def _exponentials(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(…, M, T) less each row's maximum, raised to e; the maxima and the sums (…, M, 1)"""
    masked = scores.float() + mask
    top = masked.amax(-1, keepdim=True)
    p = (masked - top).exp()
    return p.to(scores), top, p.sum(-1, keepdim=True)


def _joined(sums: list[Tensor], tops: list[Tensor], totals: list[Tensor]) -> tuple[Tensor, ...]:
    """The parts' sums over the joint denominator, and by how much the exponentials of each were multiplied"""
    joint = reduce(torch.maximum, tops)
    factors = [(top - joint).exp() for top in tops]
    denominator = sum(factor * total for factor, total in zip(factors, totals, strict=True))
    factors = [factor / denominator for factor in factors]
    return sum(x * factor for x, factor in zip(sums, factors, strict=True)).to(sums[0]), *factors


def _gradients(
    q: Tensor, k: Tensor, v: Tensor, p: Tensor, grad: Tensor, delta: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries (…, M, E), keys and values (…, T, E) whose weights are `p * factor`"""
    d_scores, weighted = _softmax_gradient(p, grad @ v.mT, grad, delta, factor)
    return d_scores @ k, d_scores.mT @ q, p.mT @ weighted


def _softmax_gradient(
    p: Tensor, products: Tensor, grad: Tensor, delta: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor]:
    return (p * ((products - delta) * factor)).to(p), (grad * factor).to(p)


def _take(x: Tensor, rows: Tensor | slice) -> Tensor:
    """(K, N, …, E) -> (K, S', T·…, E), or (K, T·…, E) of a slice"""
    if isinstance(rows, slice):
        return x[:, rows].flatten(1, -2)
    return x.index_select(1, rows.flatten()).view(len(x), len(rows), -1, x.shape[-1])


def _put(x: Tensor, rows: Tensor | slice, piece: Tensor) -> None:
    """The reverse; what belongs to padding ends in the last row of `x`."""
    if isinstance(rows, slice):
        x[:, rows] = piece.view_as(x[:, rows])
    else:
        x.index_copy_(1, rows.flatten(), piece.view(len(x), rows.numel(), *x.shape[2:]))
