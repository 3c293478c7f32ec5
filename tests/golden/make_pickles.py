"""Writes `pickles/*.pkl`: one small checkpoint in every form that numpy and pickle give it; and two more.

python tests/golden/make_pickles.py   (needs numpy and ml_dtypes)
"""

import pickle
from pathlib import Path

import ml_dtypes
import numpy as np

CONFIG = {
    "vocab_size": 8, "d_model": 8, "num_heads": 2, "num_kv_heads": 1, "num_encoder_layers": 2,
    "num_decoder_layers": 1, "contrastive_dim": 4, "max_seq_len": 16, "pad_token_id": 0, "rope_theta": 10000.0,
    "no_feedforward": True, "dtype": "float32", "dropout_rate": 0.0,
}  # fmt: skip


def checkpoint(dtype, order: str, config: dict = CONFIG) -> dict:
    count, vocab_size = 0, config["vocab_size"]

    def array(*shape: int) -> np.ndarray:
        """Multiples of 1/8 that every type holds exactly, different for every tensor."""
        nonlocal count
        count += 1
        values = ((np.arange(np.prod(shape)) * 7 + count * 5) % 31 - 15) / 8
        return np.array(values.reshape(shape), dtype=dtype, order=order)

    def attention(n: int) -> dict:
        kernels = {"q_proj": (8, 8), "k_proj": (8, 4), "v_proj": (8, 4), "out_proj": (8, 8)}
        norms = {"q_norm": {"scale": array(n, 4)}, "k_norm": {"scale": array(n, 4)}}
        return {name: {"kernel": array(n, *shape)} for name, shape in kernels.items()} | norms

    def norm(n: int) -> dict:
        return {"scale": array(n, 8)}

    encoder = {"ZCRMSNorm_0": norm(2), "attn_gate": array(2), "self_attn": attention(2)}
    decoder = {
        "ZCRMSNorm_0": norm(1), "ZCRMSNorm_1": norm(1), "self_attn_gate": array(1), "cross_attn_gate": array(1),
        "self_attn": attention(1), "cross_attn": attention(1),
    }  # fmt: skip
    params = {
        "embedding": {"embedding": array(vocab_size, 8)},
        "encoder": {"layers": {"EncoderBlock_0": encoder}, "final_norm": {"scale": array(8)}},
        "decoder": {"layers": {"DecoderBlock_0": decoder}, "ZCRMSNorm_0": {"scale": array(8)}},
        "contrastive_hidden": {"kernel": array(8, 2), "bias": array(2)},
        "contrastive_proj": {"kernel": array(2, 4)},
        "log_temp": array(),
    }
    return {"params": params, "config": config}


def main() -> None:
    out = Path(__file__).parent / "pickles"
    out.mkdir(exist_ok=True)
    types = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "bf16": ml_dtypes.bfloat16}
    for name, dtype in types.items():
        for protocol in (2, 3, 4, 5):
            order = "F" if protocol % 2 else "C"
            for order in ("C", "F") if name == "f16" else (order,):
                data = pickle.dumps(checkpoint(dtype, order), protocol=protocol)
                (out / f"{name}_{order}_protocol{protocol}.pkl").write_bytes(data)
    # One that goes with the tokenizer sp.model.
    paired = checkpoint(np.float16, "C", CONFIG | {"vocab_size": 2048, "max_seq_len": 512})
    (out.parent / "paired.pkl").write_bytes(pickle.dumps(paired, protocol=4))
    # Each dict holds the one before it twice: 2^30 paths in a few hundred bytes.
    bomb: dict = {}
    for _ in range(30):
        bomb = {"a": bomb, "b": bomb}
    (out.parent / "bomb.pkl").write_bytes(pickle.dumps({"params": bomb, "config": CONFIG}, protocol=4))


if __name__ == "__main__":
    main()
