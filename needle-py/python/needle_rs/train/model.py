"""Simple Attention Network in PyTorch: an encoder-decoder of gated attention without feed-forward layers.

Tensor names and orientation are the engine's (`needle-core`), so a state dict is a checkpoint. In the isolated
layout a group of queries shares one catalogue; attention over it is one product of all the group's queries with
the catalogue's keys and one softmax over catalogue and own keys together.
Axes: see `batch.py`; D width, H query heads, K key/value heads, R = H/K, E head width.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .prompt import PAD
from .shared_attention import SharedAttention, shared_attention

MASKED = -1e4


@dataclass
class Config:
    vocab_size: int = 8192
    d_model: int = 256
    num_heads: int = 4
    num_kv_heads: int = 2
    num_encoder_layers: int = 6
    num_decoder_layers: int = 4
    rope_theta: float = 10_000.0
    contrastive_dim: int = 64
    max_seq_len: int = 256
    pad_token_id: int = PAD
    layout: str = "isolated"
    copy_head: bool = True

    @property
    def head_dim(self) -> int:
        return self.d_model // self.num_heads

    def as_dict(self) -> dict:
        return asdict(self)


class Norm(nn.Module):
    """Zero-centred RMS norm: `(1 + scale) * x / sqrt(mean(x²) + 1e-6)`."""

    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), (1 + self.scale).to(x.dtype), 1e-6)


class Linear(nn.Module):
    """Weights stay f32 for the optimiser and are used in the activations' type."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False, scale: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * scale / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


def rope_angles(x: Tensor, config: Config) -> Tensor:
    """Cosines and sines (2, T, E/2) of RoPE's angles for (..., T, D), positions from 0.

    Made outside of the layers: a compiled layer would compute them anew for every number that it rotates.
    """
    half = config.head_dim // 2
    frequencies = config.rope_theta ** (-torch.arange(half, device=x.device) / half)
    angles = torch.outer(torch.arange(x.shape[-2], device=x.device), frequencies)
    return torch.stack([angles.cos(), angles.sin()]).to(x)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """RoPE with half-split pairs over (..., T, E)."""
    cos, sin = rotation
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        c, kv = config, config.num_kv_heads * config.head_dim
        self.config = config
        self.q_proj, self.out_proj = Linear(c.d_model, c.d_model), Linear(c.d_model, c.d_model)
        self.k_proj, self.v_proj = Linear(c.d_model, kv), Linear(c.d_model, kv)
        self.q_norm, self.k_norm = Norm(c.head_dim), Norm(c.head_dim)

    def queries(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        """(..., T, D) -> (..., K, R, T, E), rotated and scaled by 1/sqrt(E)."""
        c = self.config
        q = self.q_proj(x).unflatten(-1, (c.num_kv_heads, c.num_heads // c.num_kv_heads, c.head_dim))
        q = self.q_norm(q).movedim(-4, -2)
        return (q if rotation is None else rotate(q, rotation)) * c.head_dim**-0.5

    def keys_values(self, x: Tensor, rotation: Tensor | None) -> tuple[Tensor, Tensor]:
        """(..., T, D) -> two of (..., K, T, E)."""
        c = self.config
        k = self.k_norm(self.k_proj(x).unflatten(-1, (c.num_kv_heads, c.head_dim))).transpose(-3, -2)
        v = self.v_proj(x).unflatten(-1, (c.num_kv_heads, c.head_dim)).transpose(-3, -2)
        return (k if rotation is None else rotate(k, rotation)), v

    def forward(self, q: Tensor, own: tuple[Tensor, Tensor], mask: Tensor, shared=None, shared_mask=None) -> Tensor:
        """Attention of (G, B, K, R, T, E) over own keys (G, B, K, S, E) and the group's shared keys (G, K, C, E).

        Masks are additive: `mask` (G, B, S) of own keys, or (T, S) where there are no shared ones; (G, C).
        """
        k, v = own
        rep, length = q.shape[3:5]
        if shared is not None:
            attend = SharedAttention.apply if q.device.type == "cpu" else shared_attention
            out = attend(q.flatten(3, 4), k, v, *shared, mask, shared_mask)
        else:
            mask = mask if mask.dim() == 2 else mask[:, :, None, None, None]
            scores = (q.flatten(3, 4) @ k.transpose(-1, -2)).unflatten(3, (rep, length)) + mask
            out = scores.softmax(-1).flatten(3, 4) @ v
        out = out.unflatten(3, (rep, length)).movedim(-2, 2).flatten(3)
        return self.out_proj(out)


class EncoderLayer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.attn_norm = Norm(config.d_model)
        self.attn_gate = nn.Parameter(torch.zeros(1))
        self.self_attn = Attention(config)

    def forward(self, x: Tensor, rotation: Tensor, mask: Tensor, shared=None, shared_mask=None):
        """One layer; also returns the keys and values that others may attend to."""
        y = self.attn_norm(x)
        own = self.self_attn.keys_values(y, rotation)
        gate = self.attn_gate.sigmoid().to(x.dtype)
        x = x + gate * self.self_attn(self.self_attn.queries(y, rotation), own, mask, shared, shared_mask)
        return x, own


class DecoderLayer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.self_attn_norm, self.cross_attn_norm = Norm(config.d_model), Norm(config.d_model)
        self.self_attn_gate = nn.Parameter(torch.zeros(1))
        self.cross_attn_gate = nn.Parameter(torch.zeros(1))
        self.self_attn, self.cross_attn = Attention(config), Attention(config)

    def forward(
        self,
        x: Tensor,
        rotation: Tensor,
        causal: Tensor,
        source: Tensor,
        source_mask: Tensor,
        shared=None,
        shared_mask=None,
    ):
        y = self.self_attn_norm(x)
        own = self.self_attn.keys_values(y, rotation)
        gate = self.self_attn_gate.sigmoid().to(x.dtype)
        x = x + gate * self.self_attn(self.self_attn.queries(y, rotation), own, causal)
        y = self.cross_attn_norm(x)
        keys = self.cross_attn.keys_values(source, None)
        if shared is not None:
            shared = self.cross_attn.keys_values(shared, None)
        gate = self.cross_attn_gate.sigmoid().to(x.dtype)
        return x + gate * self.cross_attn(self.cross_attn.queries(y, None), keys, source_mask, shared, shared_mask)


class Stack(nn.Module):
    def __init__(self, layers: list[nn.Module], d_model: int):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.final_norm = Norm(d_model)


class CopyHead(nn.Module):
    """Pointer over the source tokens (See et al., 2017)."""

    def __init__(self, config: Config):
        super().__init__()
        self.q_proj, self.k_proj = Linear(config.d_model, config.d_model), Linear(config.d_model, config.d_model)
        self.gate = Linear(config.d_model, 1, bias=True)


@dataclass
class Encoded:
    """Final-normed encoder outputs with additive masks; `shared` is the packed catalogue of the isolated layout."""

    own: Tensor  # (G, B, T, D)
    own_ids: Tensor  # (G, B, T)
    shared: Tensor | None = None  # (G, C, D)
    shared_ids: Tensor | None = None  # (G, C)


def padding_mask(ids: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(ids.shape, dtype=dtype, device=ids.device).masked_fill(ids == PAD, MASKED)


class San(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)
        self.encoder = Stack([EncoderLayer(config) for _ in range(config.num_encoder_layers)], config.d_model)
        self.decoder = Stack([DecoderLayer(config) for _ in range(config.num_decoder_layers)], config.d_model)
        self.contrastive = nn.ModuleDict(
            {
                "hidden": Linear(config.d_model, config.d_model // 4, bias=True),
                "proj": Linear(config.d_model // 4, config.contrastive_dim),
            }
        )
        self.copy = CopyHead(config) if config.copy_head else None

    def embed(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        return F.embedding(ids, self.embedding.weight).to(dtype) * math.sqrt(self.config.d_model)

    def encode_joint(self, ids: Tensor, dtype: torch.dtype) -> Encoded:
        """(G, B, T) whole prompts, everything attends to everything."""
        mask = padding_mask(ids, dtype)
        x = self.embed(ids, dtype)
        rotation = rope_angles(x, self.config)
        for layer in self.encoder.layers:
            x, _ = layer(x, rotation, mask)
        return Encoded(self.encoder.final_norm(x), ids)

    def encode_tools(self, tool_ids: Tensor, pack: Tensor, dtype: torch.dtype):
        """Every tool alone. Returns its outputs (G, N, S, D), packed (G, C, D), and per layer packed keys, values."""
        mask = padding_mask(tool_ids, dtype)
        x, caches = self.embed(tool_ids, dtype), []
        rotation = rope_angles(x, self.config)
        for layer in self.encoder.layers:
            x, (k, v) = layer(x, rotation, mask)
            caches.append(
                (packed(k.transpose(2, 3), pack).transpose(1, 2), packed(v.transpose(2, 3), pack).transpose(1, 2))
            )
        x = self.encoder.final_norm(x)
        return x, packed(x, pack), caches

    def encode_queries(self, query_ids: Tensor, caches, catalogue_ids: Tensor, dtype: torch.dtype) -> Tensor:
        mask = padding_mask(query_ids, dtype)
        shared_mask = padding_mask(catalogue_ids, dtype) if caches else None
        x = self.embed(query_ids, dtype)
        rotation = rope_angles(x, self.config)
        for i, layer in enumerate(self.encoder.layers):
            x, _ = layer(x, rotation, mask, caches[i] if caches else None, shared_mask)
        return self.encoder.final_norm(x)

    def decode(self, target_ids: Tensor, source: Encoded) -> Tensor:
        """(G, B, U) -> final-normed hidden (G, B, U, D)."""
        dtype = source.own.dtype
        length = target_ids.shape[-1]
        causal = torch.full((length, length), MASKED, dtype=dtype, device=target_ids.device).triu(1)
        source_mask = padding_mask(source.own_ids, dtype)
        shared_mask = None if source.shared is None else padding_mask(source.shared_ids, dtype)
        x = self.embed(target_ids, dtype)
        rotation = rope_angles(x, self.config)
        for layer in self.decoder.layers:
            x = layer(x, rotation, causal, source.own, source_mask, source.shared, shared_mask)
        return self.decoder.final_norm(x)

    def log_probabilities(
        self, hidden: Tensor, source: Encoded, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """For hidden (G, B, F, D) and labels (G, B, F): log p of each label and log of the vocabulary's partition,
        both f32 and flat over the labels that are not PAD, and the copy head's weights (G, B, F, C+T)."""
        used = labels != PAD
        wanted = labels[used]
        logits = F.linear(hidden[used], self.embedding.weight.to(hidden.dtype)).float()
        partition = logits.logsumexp(-1)
        generated = logits.gather(-1, wanted[:, None])[:, 0] - partition
        if self.copy is None:
            return generated, partition, None
        gate = self.copy.gate(hidden[used])[:, 0].float()
        weights, ids = self.copy_attention(hidden, source)
        copied = (weights * (ids == labels[..., None])).sum(-1)[used]
        log_p = torch.logaddexp(F.logsigmoid(-gate) + generated, F.logsigmoid(gate) + (copied + 1e-9).log())
        return log_p, partition, weights

    @torch.no_grad()
    def predictions(self, hidden: Tensor, source: Encoded, labels: Tensor) -> Tensor:
        """Most probable token for each label that is not PAD, flat."""
        used = labels != PAD
        p = F.linear(hidden[used], self.embedding.weight.to(hidden.dtype)).float().softmax(-1)
        if self.copy is not None:
            gate = self.copy.gate(hidden[used]).float().sigmoid()
            weights, ids = self.copy_attention(hidden, source)
            p = (p * (1 - gate)).scatter_add_(-1, ids.expand(weights.shape)[used], weights[used] * gate)
        return p.argmax(-1)

    def copy_attention(self, hidden: Tensor, source: Encoded) -> tuple[Tensor, Tensor]:
        """Weights (G, B, F, C+T) over catalogue and query tokens, and the ids there, broadcast to (G, B, 1, C+T)."""
        dtype, groups, batch = hidden.dtype, hidden.shape[0], hidden.shape[1]
        q = self.copy.q_proj(hidden) * self.config.d_model**-0.5
        scores = q @ self.copy.k_proj(source.own).transpose(-1, -2) + padding_mask(source.own_ids, dtype)[:, :, None]
        ids = source.own_ids[:, :, None]
        if source.shared is not None:
            shared = (q.flatten(1, 2) @ self.copy.k_proj(source.shared).transpose(-1, -2)).unflatten(1, (batch, -1))
            shared = shared + padding_mask(source.shared_ids, dtype)[:, None, None]
            scores = torch.cat([shared, scores], -1)
            ids = torch.cat([source.shared_ids[:, None, None].expand(groups, batch, 1, -1), ids], -1)
        return scores.float().softmax(-1), ids

    def contrast(self, x: Tensor, ids: Tensor) -> Tensor:
        """Retrieval embedding (..., contrastive_dim) of encoder outputs (..., T, D): mean over non-pad, two layers."""
        keep = (ids != PAD)[..., None].to(x.dtype)
        mean = ((x * keep).sum(-2) / keep.sum(-2).clamp(min=1)).float()
        y = self.contrastive["proj"](F.relu(self.contrastive["hidden"](mean)))
        return y / (y.square().sum(-1, keepdim=True) + 1e-12).sqrt()


def packed(x: Tensor, pack: Tensor) -> Tensor:
    """(G, N, S, ...) -> (G, C, ...): the tokens of all tools of a group in one row, without padding."""
    flat = x.flatten(1, 2)
    index = pack.reshape(*pack.shape, *[1] * (flat.dim() - 2)).expand(-1, -1, *flat.shape[2:])
    return flat.gather(1, index)
