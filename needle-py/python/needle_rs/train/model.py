"""Simple Attention Network in PyTorch: an encoder-decoder of gated attention without feed-forward layers.

Tensor names and orientation are the engine's (`needle-core`), so a state dict is a checkpoint. In the isolated
layout a group of queries shares one catalogue; attention over it is one product of all the group's queries with
the catalogue's keys and one softmax over catalogue and own keys together. Layers work on packed tokens.
Axes: see `batch.py` and `attention.py`; D width, H query heads.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import attention
from .attention import Places, attend
from .packing import Packing, mask
from .prompt import PAD


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

    @property
    def rep(self) -> int:
        """Query heads to a key/value head"""
        return self.num_heads // self.num_kv_heads

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


def rope_angles(x: Tensor, position: Tensor, config: Config) -> Tensor:
    """Cosines and sines (2, N, 1, E/2) of RoPE's angles for tokens (N, D) at `position` (N,).

    Made outside of the layers: a compiled layer would compute them anew for every number that it rotates.
    """
    half = config.head_dim // 2
    frequencies = config.rope_theta ** (-torch.arange(half, device=x.device) / half)
    angles = torch.outer(position, frequencies)[:, None]
    return torch.stack([angles.cos(), angles.sin()]).to(x)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """RoPE with half-split pairs over (N, H, E)."""
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
        """(N, D) -> (K, N, R, E), rotated and scaled by 1/sqrt(E)."""
        c = self.config
        q = self.q_norm(self.q_proj(x).unflatten(-1, (c.num_heads, c.head_dim)))
        q = (q if rotation is None else rotate(q, rotation)) * c.head_dim**-0.5
        return q.unflatten(1, (c.num_kv_heads, -1)).transpose(0, 1).contiguous()

    def keys_values(self, x: Tensor, rotation: Tensor | None) -> tuple[Tensor, Tensor]:
        """(N, D) -> two of (K, N, E)."""
        c = self.config
        k = self.k_norm(self.k_proj(x).unflatten(-1, (c.num_kv_heads, c.head_dim)))
        v = self.v_proj(x).unflatten(-1, (c.num_kv_heads, c.head_dim))
        k = k if rotation is None else rotate(k, rotation)
        return k.transpose(0, 1).contiguous(), v.transpose(0, 1).contiguous()

    def forward(self, q: Tensor, own: tuple[Tensor, Tensor], places: Places, shared=()) -> Tensor:
        """Attention of `queries` over own and shared `keys_values`: (N, D)."""
        return self.out_proj(attend(q, places, *own, *shared).transpose(0, 1).flatten(1))


class EncoderLayer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.attn_norm = Norm(config.d_model)
        self.attn_gate = nn.Parameter(torch.zeros(1))
        self.self_attn = Attention(config)

    def forward(self, x: Tensor, rotation: Tensor, places: Places, shared=()):
        """One layer; also returns the keys and values that others may attend to."""
        y = self.attn_norm(x)
        own = self.self_attn.keys_values(y, rotation)
        gate = self.attn_gate.sigmoid().to(x.dtype)
        return x + gate * self.self_attn(self.self_attn.queries(y, rotation), own, places, shared), own


class DecoderLayer(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.self_attn_norm, self.cross_attn_norm = Norm(config.d_model), Norm(config.d_model)
        self.self_attn_gate = nn.Parameter(torch.zeros(1))
        self.cross_attn_gate = nn.Parameter(torch.zeros(1))
        self.self_attn, self.cross_attn = Attention(config), Attention(config)

    def forward(self, x: Tensor, rotation: Tensor, before: Places, source: Tensor, cross: Places, shared=None):
        y = self.self_attn_norm(x)
        own = self.self_attn.keys_values(y, rotation)
        gate = self.self_attn_gate.sigmoid().to(x.dtype)
        x = x + gate * self.self_attn(self.self_attn.queries(y, rotation), own, before)
        y = self.cross_attn_norm(x)
        keys = self.cross_attn.keys_values(source, None)
        shared_keys = () if shared is None else self.cross_attn.keys_values(shared, None)
        gate = self.cross_attn_gate.sigmoid().to(x.dtype)
        return x + gate * self.cross_attn(self.cross_attn.queries(y, None), keys, cross, shared_keys)


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
    """Final-normed encoder outputs; `shared` is the packed catalogue of the isolated layout."""

    own: Tensor  # (G, B, T, D)
    own_ids: Tensor  # (G, B, T)
    shared: Tensor | None = None  # (G, C, D)
    shared_ids: Tensor | None = None  # (G, C)


def log_partition(logits: Tensor) -> Tensor:
    """Logarithm of what softmax divides by, f32"""
    return logits.float().logsumexp(-1)


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

    def compile_parts(self) -> None:
        """Lets PyTorch compile the parts: the first steps take minutes, the others less time."""
        global log_partition
        attention.compile_parts()
        log_partition = torch.compile(log_partition, dynamic=True)
        for layer in [*self.encoder.layers, *self.decoder.layers]:
            layer.compile(dynamic=True)

    def embed(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        return F.embedding(ids, self.embedding.weight).to(dtype) * math.sqrt(self.config.d_model)

    def encode_joint(self, ids: Tensor, dtype: torch.dtype) -> Encoded:
        """(G, B, T) whole prompts, everything attends to everything."""
        return Encoded(self.encode_queries(ids, None, None, dtype), ids)

    def encode_tools(self, tool_ids: Tensor, catalogue_ids: Tensor, dtype: torch.dtype):
        """Every tool alone. Returns its outputs (G, N, S, D), packed (G, C, D), and per layer packed keys, values."""
        rows = Packing.of(tool_ids)
        x, caches = self._encode(rows, dtype)
        return rows.pad(x), Packing.of(catalogue_ids[:, None]).pad(x)[:, 0], caches

    def encode_queries(self, query_ids: Tensor, caches, catalogue_ids: Tensor | None, dtype: torch.dtype) -> Tensor:
        """(G, B, T) -> (G, B, T, D), zero where there is padding."""
        rows = Packing.of(query_ids)
        shared = None if catalogue_ids is None else Packing.of(catalogue_ids[:, None])
        x, _ = self._encode(rows, dtype, shared, caches)
        return rows.pad(x)

    def _encode(self, rows: Packing, dtype: torch.dtype, shared: Packing | None = None, caches=None):
        """(N, D), and per layer keys and values"""
        x, own = self.embed(rows.tokens, dtype), []
        rotation, places = rope_angles(x, rows.positions, self.config), Places(self.config.rep, rows, rows, shared)
        for i, layer in enumerate(self.encoder.layers):
            x, keys_values = layer(x, rotation, places, caches[i] if caches else ())
            own.append(keys_values)
        return self.encoder.final_norm(x), own

    def decode(self, target_ids: Tensor, source: Encoded) -> Tensor:
        """(G, B, U) -> final-normed hidden (G, B, U, D), zero where there is padding."""
        rep, rows, own = self.config.rep, Packing.of(target_ids), Packing.of(source.own_ids)
        shared = None if source.shared is None else Packing.of(source.shared_ids[:, None])
        before, cross = Places(rep, rows, rows, causal=True), Places(rep, rows, own, shared)
        own_source = own.pack(source.own)
        shared_source = None if source.shared is None else shared.pack(source.shared[:, None])
        x = self.embed(rows.tokens, source.own.dtype)
        rotation = rope_angles(x, rows.positions, self.config)
        for layer in self.decoder.layers:
            x = layer(x, rotation, before, own_source, cross, shared_source)
        return rows.pad(self.decoder.final_norm(x))

    def log_probabilities(
        self, hidden: Tensor, source: Encoded, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """For hidden (G, B, F, D) and labels (G, B, F): log p of each label and log of the vocabulary's partition,
        both f32 and flat over the labels that are not PAD, and the copy head's weights (G, B, F, C+T)."""
        used = labels != PAD
        logits = F.linear(hidden[used], self.embedding.weight.to(hidden.dtype))
        partition = log_partition(logits)
        wanted = F.embedding(labels[used], self.embedding.weight).to(hidden.dtype)
        generated = (hidden[used].float() * wanted.float()).sum(-1) - partition
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
        groups, batch = hidden.shape[:2]
        q = self.copy.q_proj(hidden) * self.config.d_model**-0.5
        scores = q @ self.copy.k_proj(source.own).transpose(-1, -2) + mask(source.own_ids)[:, :, None]
        ids = source.own_ids[:, :, None]
        if source.shared is not None:
            shared = (q.flatten(1, 2) @ self.copy.k_proj(source.shared).transpose(-1, -2)).unflatten(1, (batch, -1))
            shared = shared + mask(source.shared_ids)[:, None, None]
            scores = torch.cat([shared, scores], -1)
            ids = torch.cat([source.shared_ids[:, None, None].expand(groups, batch, 1, -1), ids], -1)
        return scores.float().softmax(-1), ids

    def contrast(self, x: Tensor, ids: Tensor) -> Tensor:
        """Retrieval embedding (..., contrastive_dim) of encoder outputs (..., T, D): mean over non-pad, two layers."""
        keep = (ids != PAD)[..., None].to(x.dtype)
        mean = ((x * keep).sum(-2) / keep.sum(-2).clamp(min=1)).float()
        y = self.contrastive["proj"](F.relu(self.contrastive["hidden"](mean)))
        return y / (y.square().sum(-1, keepdim=True) + 1e-12).sqrt()
