"""Random networks of both layouts with all their outputs, as the golden files `tests/golden/parity_*.safetensors`.

The engine's tests read the same files, so that trainer and engine compute the same function of the same weights.
`python needle-py/tests/parity.py` writes them anew after a wanted change of the network.
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from needle_rs.train.export import tensors
from needle_rs.train.model import Config, Encoded, San

GOLDEN = Path(__file__).parents[2] / "tests/golden"
SIZES = {
    "vocab_size": 96,
    "d_model": 64,
    "num_heads": 4,
    "num_kv_heads": 2,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "contrastive_dim": 16,
}
CONFIGS = {
    "isolated": Config(**SIZES, layout="isolated", copy_head=True),
    "joint": Config(**SIZES, layout="joint", copy_head=False),
}
TOOL_LENGTHS = (7, 3, 5)


def random_model(config: Config) -> San:
    """Every parameter random, also those that a fresh network sets to zero."""
    torch.manual_seed(11)
    model = San(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.normal_(std=0.3)
    return model


def random_inputs(config: Config) -> dict[str, Tensor]:
    def ids(*shape: int) -> Tensor:
        return torch.randint(1, config.vocab_size, shape)

    torch.manual_seed(12)
    inputs = {"query": ids(9), "target": ids(6)}
    if config.layout == "isolated":
        inputs |= {f"tool{i}": ids(length) for i, length in enumerate(TOOL_LENGTHS)}
    return inputs


@torch.no_grad()
def outputs(model: San, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Encoder rows (T, D), retrieval embeddings (C), decoder rows (U, D), logits (U, V); with tools their packed
    rows (S, D) and embeddings (N, C), and with a copy head its gate (U) and weights (U, S+T)."""
    query, target = inputs["query"][None, None], inputs["target"][None, None]
    tools = [inputs[k] for k in sorted(inputs) if k.startswith("tool")]
    out = {}
    if tools:
        tool_ids = torch.nn.utils.rnn.pad_sequence(tools, batch_first=True)[None]
        catalogue_ids = torch.cat(tools)[None]
        rows, shared, caches = model.encode_tools(tool_ids, catalogue_ids, torch.float32)
        own = model.encode_queries(query, caches, catalogue_ids, torch.float32)
        source = Encoded(own, query, shared, catalogue_ids)
        out |= {"tools": shared[0], "tools_contrastive": model.contrast(rows, tool_ids)[0]}
        alone = model.encode_queries(query, None, None, torch.float32)
    else:
        source = model.encode_joint(query, torch.float32)
        own = alone = source.own
    hidden = model.decode(target, source)
    out |= {
        "encoder": own[0, 0],
        "contrastive": model.contrast(alone, query)[0, 0],
        "hidden": hidden[0, 0],
        "logits": hidden[0, 0] @ model.embedding.weight.T,
    }
    if model.copy is not None:
        weights, _ = model.copy_attention(hidden, source)
        out |= {"copy_weights": weights[0, 0], "copy_gate": model.copy.gate(hidden)[0, 0, :, 0].sigmoid()}
    return out


def write(layout: str) -> None:
    config = CONFIGS[layout]
    model, inputs = random_model(config), random_inputs(config)
    ids = {f"input.{k}": v.to(torch.int32) for k, v in inputs.items()}
    expected = {f"expected.{k}": v.contiguous() for k, v in outputs(model, inputs).items()}
    path = GOLDEN / f"parity_{layout}.safetensors"
    save_file(tensors(model.state_dict(), int8=False) | ids | expected, path, {"config": json.dumps(config.as_dict())})


def read(layout: str) -> tuple[San, dict[str, Tensor], dict[str, Tensor]]:
    """The stored network, its inputs, and the outputs that were stored with it."""
    with safe_open(GOLDEN / f"parity_{layout}.safetensors", "pt") as file:
        config = Config(**json.loads(file.metadata()["config"]))
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}

    model = San(config)
    model.load_state_dict({k: v for k, v in stored.items() if not k.startswith(("input.", "expected."))})
    return model, {k: v.long() for k, v in part("input.").items()}, part("expected.")


if __name__ == "__main__":
    for name in CONFIGS:
        write(name)
