"""A trained network as the bundle that the engine opens: config.json, model.safetensors, tokenizer.json."""

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from . import static_embedding
from .model import San
from .quantise import is_quantised, quantise

# Answers that the engine tries beside the greedy one.
MAX_ALTERNATIVES = 4


def tensors(weights: dict[str, Tensor], int8: bool) -> dict[str, Tensor]:
    """The weights under the engine's names; with `int8`, matrices in int8 with their scales."""
    out = {}
    for name, value in weights.items():
        value = value.detach().float().contiguous()
        if int8 and is_quantised(value):
            out[name], out[f"{name}.scale"] = quantise(value, 8)
        else:
            out[name] = value
    return out


def write_bundle(model: San, run: Path, out: Path, int8: bool = True) -> None:
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
    save_file(tensors(weights, int8), temporary / "model.safetensors")
    shutil.copy(run / "tokenizer.json", temporary)
    (temporary / "model.safetensors").chmod(0o644)
    out.mkdir(parents=True, exist_ok=True)
    for file in temporary.iterdir():
        file.replace(out / file.name)
    temporary.rmdir()
