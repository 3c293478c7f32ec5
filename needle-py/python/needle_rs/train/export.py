"""A trained network as the bundle that the engine opens: config.json, model.safetensors, tokenizer.json."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from . import static_embedding
from .model import San

GROUP = 32

# Answers that the engine tries beside the greedy one.
MAX_ALTERNATIVES = 4


def quantise_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric, groups of 32 along the input dimension: (out, in) int8 and (out, in/32) f16 scales."""
    groups = weight.float().unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(-1) / 127).half()
    divisor = scale.float().clamp(min=torch.finfo(torch.float16).tiny)
    return (groups / divisor[..., None]).round().clamp(-127, 127).to(torch.int8).flatten(1), scale


def tensors(weights: dict[str, Tensor], quantise: bool) -> dict[str, Tensor]:
    """The weights under the engine's names; with `quantise`, matrices as int8 with their scales."""
    out = {}
    for name, value in weights.items():
        value = value.detach().float().contiguous()
        if quantise and value.dim() == 2 and value.shape[1] % GROUP == 0 and value.shape[0] > 1:
            out[name], out[f"{name}.scale"] = quantise_int8(value)
        else:
            out[name] = value
    return out


def write_bundle(model: San, run: Path, out: Path, quantise: bool = True) -> None:
    """Writes the network with the tokenizer and the static embedding, if there is one, of its run's folder.

    The bundle is written to a temporary folder that is renamed; an existing `out` is replaced file by file.
    """
    config, weights = model.config.as_dict() | {"max_alternatives": MAX_ALTERNATIVES}, dict(model.state_dict())
    table = static_embedding.load(run)
    if table is not None:
        config["static_embedding"] = {"dim": table.shape[1], **static_embedding.ODDS}
        weights["static_embedding.weight"] = table
    temporary = out.with_name(out.name + ".tmp")
    temporary.mkdir(parents=True)
    (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors(weights, quantise), temporary / "model.safetensors")
    shutil.copy(run / "tokenizer.json", temporary)
    (temporary / "model.safetensors").chmod(0o644)
    out.mkdir(parents=True, exist_ok=True)
    for file in temporary.iterdir():
        file.replace(out / file.name)
    temporary.rmdir()
