"""A run that goes on from a bundle, such as the shipped model: its weights, and optimisers that start afresh."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from . import static_embedding
from .model import Config
from .processes import Processes
from .quantise import GROUP, dequantise
from .trainer import Run, Settings

TABLE = "static_embedding.weight"


def start(bundle: Path, out: Path) -> None:
    """Writes the checkpoint, tokenizer and static embedding of a new run into the folder `out`.

    Raises:
        OSError: if a file of the bundle is missing.
        ValueError: if `out` holds a checkpoint, or the bundle is damaged or no network that is trained here.
    """
    target = out / "checkpoint.pt"
    if target.exists():
        raise ValueError(f"{target} exists; choose another --out")
    stored = json.loads((bundle / "config.json").read_text())
    config = Config(**{f.name: stored[f.name] for f in fields(Config) if f.name in stored})
    try:
        weights = dequantised(load_file(bundle / "model.safetensors"))
    except SafetensorError as error:
        raise ValueError(f"{bundle / 'model.safetensors'} is damaged: {error}") from None
    table = weights.pop(TABLE, None)
    out.mkdir(parents=True, exist_ok=True)
    with Processes("cpu") as processes:
        run = Run(Settings(bundle, out), config, processes)
        try:
            run.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{bundle} holds another network than its config.json says: {error}") from None
        run.average = {name: value.clone() for name, value in run.model.state_dict().items()}
        shutil.copy(bundle / "tokenizer.json", out)
        if table is not None:
            static_embedding.save(table, out)
        run.save()


def dequantised(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a bundle in f32.

    Raises:
        ValueError: for int4, whose rounding is too coarse to go on from, and for int8 without fitting scales.
    """
    weights = {}
    for name, value in stored.items():
        if name.endswith(".scale") and name.removesuffix(".scale") in stored:
            continue
        scale = stored.get(f"{name}.scale")
        if name.endswith(".q4"):
            raise ValueError(f"{name} is stored in int4; start from the same weights in int8 or f32")
        if value.dtype == torch.int8:
            if scale is None or (*scale.shape[:1], GROUP * scale.shape[-1]) != value.shape:
                raise ValueError(f"{name} is int8 without a scale for each row and group of {GROUP}; convert it again")
            value = dequantise(value, scale)
        weights[name] = value.float()
    return weights
