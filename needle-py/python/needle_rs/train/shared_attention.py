"""Attention over own keys and a catalogue that a group of queries shares.

On a CPU the scores are not built. Each part runs through PyTorch's fused CPU kernel, which also returns the logarithm
of its softmax denominator; the parts are joined with those (Milakov and Gimelshein, 2018). The backward pass gives each
part the joint output and denominator, from which the kernel recomputes its share of the one softmax (Liu et al., "Ring
Attention", 2023).
"""

import torch
from torch import Tensor

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class SharedAttention(torch.autograd.Function):
    """Scaled queries (G, B, K, M, E) over own (G, B, K, S, E) and shared (G, K, C, E) keys and values.

    M holds the R heads of a group times the T positions. Masks are additive, (G, B, S) and (G, C).
    """

    @staticmethod
    def forward(
        ctx, q: Tensor, k: Tensor, v: Tensor, shared_k: Tensor, shared_v: Tensor, mask: Tensor, shared_mask: Tensor
    ):
        groups, batch = q.shape[:2]
        q_own, k, v = (t.flatten(0, 1).contiguous() for t in (q, k, v))
        q_shared = _to_shared(q)
        shared_k, shared_v = shared_k.contiguous(), shared_v.contiguous()
        mask = mask.flatten(0, 1)[:, None, None]
        shared_mask = shared_mask[:, None, None]
        own, own_lse = _forward(q_own, k, v, 0.0, False, attn_mask=mask, scale=1.0)
        shared, shared_lse = _forward(q_shared, shared_k, shared_v, 0.0, False, attn_mask=shared_mask, scale=1.0)
        own, own_lse = own.unflatten(0, (groups, batch)), own_lse.unflatten(0, (groups, batch))
        shared, shared_lse = _from_shared(shared, batch), _from_shared(shared_lse[..., None], batch)[..., 0]
        lse = torch.logaddexp(own_lse, shared_lse)
        out = own * (own_lse - lse).exp()[..., None].to(own) + shared * (shared_lse - lse).exp()[..., None].to(own)
        ctx.save_for_backward(q_own, q_shared, k, v, shared_k, shared_v, mask, shared_mask, out, lse)
        return out

    @staticmethod
    def backward(ctx, grad: Tensor):
        q_own, q_shared, k, v, shared_k, shared_v, mask, shared_mask, out, lse = ctx.saved_tensors
        groups, batch = grad.shape[:2]
        dq_shared, dk_shared, dv_shared = _backward(
            _to_shared(grad), q_shared, shared_k, shared_v, _to_shared(out), _to_shared(lse[..., None])[..., 0],
            0.0, False, attn_mask=shared_mask, scale=1.0,
        )  # fmt: skip
        # The own part is small: its scores are built outright.
        grad_own = grad.flatten(0, 1)
        p = ((q_own @ k.mT).float() + mask - lse.flatten(0, 1)[..., None]).exp()
        delta = (grad_own * out.flatten(0, 1)).float().sum(-1, keepdim=True)
        d_scores = (p * ((grad_own @ v.mT).float() - delta)).to(k)
        dv = p.to(v).mT @ grad_own
        dq = (d_scores @ k).unflatten(0, (groups, batch)) + _from_shared(dq_shared, batch)
        dk = d_scores.mT @ q_own
        return dq, dk.unflatten(0, (groups, batch)), dv.unflatten(0, (groups, batch)), dk_shared, dv_shared, None, None


def shared_attention(
    q: Tensor, k: Tensor, v: Tensor, shared_k: Tensor, shared_v: Tensor, mask: Tensor, shared_mask: Tensor
) -> Tensor:
    """The same as `SharedAttention`, with all scores built: for devices that have the memory."""
    batch = q.shape[1]
    shared = _from_shared(_to_shared(q) @ shared_k.mT + shared_mask[:, None, None], batch)
    own = q @ k.mT + mask[:, :, None, None]
    weights = torch.cat([shared, own], -1).float().softmax(-1).to(v)
    from_shared, from_own = weights.split([shared.shape[-1], own.shape[-1]], -1)
    return _from_shared(_to_shared(from_shared) @ shared_v, batch) + from_own @ v


def _to_shared(x: Tensor) -> Tensor:
    """(G, B, K, M, …) -> (G, K, B·M, …)"""
    return x.transpose(1, 2).flatten(2, 3).contiguous()


def _from_shared(x: Tensor, batch: int) -> Tensor:
    """(G, K, B·M, …) -> (G, B, K, M, …)"""
    return x.unflatten(2, (batch, -1)).transpose(1, 2)
