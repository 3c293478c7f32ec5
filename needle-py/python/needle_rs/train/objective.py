"""The training loss and the teacher-forced measure that goes with it."""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from .batch import Batch
from .model import Encoded, San
from .prompt import PAD
from .target import CLASS_NAMES, NAME

# Loss weight of a free token by class: a wrong call costs more than a wrong word inside a long value.
CLASS_WEIGHTS = (0.0, 2.0, 2.0, 1.5, 1.0)
Z_LOSS = 1e-4
CONTRASTIVE = 0.2
POINTER = 0.5
TEMPERATURE = 0.07


@dataclass
class Forward:
    hidden: Tensor  # (G, B, F, D)
    source: Encoded
    tool_embedding: Tensor  # (G, N, contrastive_dim)
    query_embedding: Tensor | None  # (G, B, contrastive_dim), of the query without tools


def forward(model: San, batch: Batch, dtype: torch.dtype, retrieval: bool) -> Forward:
    tools, catalogue, caches = model.encode_tools(batch.tool_ids, batch.catalogue_ids, dtype)
    own = model.encode_queries(batch.query_ids, caches, batch.catalogue_ids, dtype)
    source = Encoded(own, batch.query_ids, catalogue, batch.catalogue_ids)
    hidden = model.decode(batch.target_ids, source)
    hidden = hidden.gather(2, batch.free[..., None].expand(-1, -1, -1, hidden.shape[-1]))
    alone = None
    if retrieval:
        alone = model.contrast(model.encode_queries(batch.query_ids, None, None, dtype), batch.query_ids)
    return Forward(hidden, source, model.contrast(tools, batch.tool_ids), alone)


class Objective(nn.Module):
    """The training loss as a module, so that `DistributedDataParallel` sees its forward pass."""

    def __init__(self, model: San, dtype: torch.dtype):
        super().__init__()
        self.model, self.dtype = model, dtype
        self.register_buffer("class_weights", torch.tensor(CLASS_WEIGHTS), persistent=False)

    def forward(self, batch: Batch, retrieval: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted cross-entropy of the free tokens, z-loss, and (with `retrieval`) the contrastive loss; its parts."""
        out = forward(self.model, batch, self.dtype, retrieval)
        log_p, partition, pointer = self.model.log_probabilities(out.hidden, out.source, batch.labels)
        used = batch.labels != PAD
        classes = batch.classes[used]
        weights = self.class_weights[classes]
        total = -mean((log_p * weights).sum(), weights.sum())
        total = total + Z_LOSS * mean(partition.square().sum(), used.sum())
        parts = {}
        for i, name in enumerate(CLASS_NAMES[1:], 1):
            of_class = classes == i
            parts[name] = -(log_p.detach() * of_class).sum() / of_class.sum().clamp(min=1)
        if pointer is not None:
            parts["pointer"] = pointer_loss(pointer, batch)
            total = total + POINTER * parts["pointer"]
        if retrieval:
            parts["contrastive"] = contrastive_loss(out, batch)
            total = total + CONTRASTIVE * parts["contrastive"]
        return total, {"loss": total.detach()} | {name: part.detach() for name, part in parts.items()}


def mean(total: Tensor, count: Tensor) -> Tensor:
    """`total / count`; of several processes, whose gradients are averaged, all counts together weigh each total."""
    if dist.is_initialized():
        count = count.clone()
        dist.all_reduce(count)
        total = total * dist.get_world_size()
    return total / count.clamp(min=1)


def pointer_loss(pointer: Tensor, batch: Batch) -> Tensor:
    """-log of the copy head's weight (G, B, F, C+T) on all tokens of the called tool, where its name is first chosen.

    Which tool is meant is the hardest thing to learn; this rewards finding the tool before finding its name in it.
    """
    num_tools, segment = batch.tool_ids.shape[1:]
    tool_of = F.one_hot(batch.pack // segment, num_tools) * (batch.catalogue_ids != PAD)[..., None]  # (G, C, N)
    names = batch.classes == NAME
    example = names.any(-1) & (batch.answer_tool >= 0)  # (G, B)
    first = names.int().argmax(-1)
    weights = pointer.gather(2, first[..., None, None].expand(-1, -1, 1, pointer.shape[-1]))[:, :, 0]  # (G, B, C+T)
    mass = weights[..., : tool_of.shape[1]] @ tool_of.to(weights.dtype)  # (G, B, N)
    wanted = mass.gather(-1, batch.answer_tool.clamp(min=0)[..., None])[..., 0]
    return mean(-(wanted[example] + 1e-6).log().sum(), example.sum())


def contrastive_loss(out: Forward, batch: Batch) -> Tensor:
    """Cross-entropy of the called tool among all tools of the batch by cosine similarity."""
    tools = out.tool_embedding.flatten(0, 1)
    present = (batch.tool_ids != PAD).any(-1).flatten()
    scores = out.query_embedding.flatten(0, 1) @ tools.T / TEMPERATURE
    scores = scores.masked_fill(~present, -1e4)
    groups, num_tools = out.tool_embedding.shape[:2]
    wanted = batch.answer_tool + (torch.arange(groups, device=tools.device) * num_tools)[:, None]
    called = (batch.answer_tool >= 0).flatten()
    return F.cross_entropy(scores[called], wanted.flatten()[called])


@torch.no_grad()
def teacher_forced(model: San, batch: Batch, dtype: torch.dtype) -> dict[str, list[bool]]:
    """Per example: is every free token the most probable one given the right ones before it, and is the name.

    Greedy decoding under the grammar is right at least where `exact` is.
    """
    out = forward(model, batch, dtype, retrieval=False)
    used = batch.labels != PAD
    right = torch.ones_like(used)
    right[used] = model.predictions(out.hidden, out.source, batch.labels) == batch.labels[used]
    named = right | (batch.classes > 2)
    present = used.any(-1)
    return {"exact": right.all(-1)[present].tolist(), "tool": named.all(-1)[present].tolist()}
