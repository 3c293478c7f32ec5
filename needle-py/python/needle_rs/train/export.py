"""A trained network as the bundle that the engine opens: config.json, model.safetensors, tokenizer.json."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .model import San

GROUP = 32


def quantise_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric, groups of 32 along the input dimension: (out, in) int8 and (out, in/32) f16 scales."""
    groups = weight.float().unflatten(1, (-1, GROUP))
    scale = (groups.abs().amax(-1) / 127).half()
    divisor = scale.float().clamp(min=torch.finfo(torch.float16).tiny)
    return (groups / divisor[..., None]).round().clamp(-127, 127).to(torch.int8).flatten(1), scale


def tensors(model: San, quantise: bool) -> dict[str, Tensor]:
    """The state dict under the engine's names; with `quantise`, matrices as int8 with their scales."""
    out = {}
    for name, value in model.state_dict().items():
        value = value.detach().float().contiguous()
        if quantise and value.dim() == 2 and value.shape[1] % GROUP == 0 and value.shape[0] > 1:
            out[name], out[f"{name}.scale"] = quantise_int8(value)
        else:
            out[name] = value
    return out


def write_bundle(model: San, tokenizer: Path, out: Path, quantise: bool = True) -> None:
    """Writes the bundle to a temporary folder and renames it; an existing `out` is replaced file by file."""
    temporary = out.with_name(out.name + ".tmp")
    temporary.mkdir(parents=True)
    (temporary / "config.json").write_text(json.dumps(model.config.as_dict(), indent=2) + "\n")
    save_file(tensors(model, quantise), temporary / "model.safetensors")
    shutil.copy(tokenizer, temporary / "tokenizer.json")
    (temporary / "model.safetensors").chmod(0o644)
    out.mkdir(parents=True, exist_ok=True)
    for file in temporary.iterdir():
        file.replace(out / file.name)
    temporary.rmdir()
