"""A run that goes on from a bundle, such as the shipped model: its weights, and optimisers that start afresh."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from . import static_embedding
from .export import GROUP
from .model import Config
from .processes import Processes
from .trainer import Run, Settings

TABLE = "static_embedding.weight"


def start(bundle: Path, out: Path) -> None:
    """Writes the checkpoint, tokenizer and static embedding of a new run into the folder `out`.

    Raises:
        ValueError: if `out` holds a checkpoint, or the bundle's network is not one that is trained here.
    """
    target = out / "checkpoint.pt"
    if target.exists():
        raise ValueError(f"{target} exists; choose another --out")
    stored = json.loads((bundle / "config.json").read_text())
    config = Config(**{f.name: stored[f.name] for f in fields(Config) if f.name in stored})
    weights = dequantised(load_file(bundle / "model.safetensors"))
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
        ValueError: for weights in int4, whose rounding is too coarse to go on from.
    """
    weights = {}
    for name, value in stored.items():
        if name.endswith(".scale") and name.removesuffix(".scale") in stored:
            continue
        scale = stored.get(f"{name}.scale")
        if name.endswith(".q4"):
            raise ValueError(f"{name} is stored in int4; start from the same weights in int8 or f32")
        if value.dtype == torch.int8 and scale is not None:
            value = (value.float().unflatten(1, (-1, GROUP)) * scale.float()[..., None]).flatten(1)
        weights[name] = value.float()
    return weights
