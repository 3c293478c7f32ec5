"""Token embeddings from a public sentence-embedding model, so that synonyms are close before training begins."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor


def embeddings(folder: Path, tokenizer: Tokenizer, d_model: int) -> Tensor:
    """(V, d_model) rows of unit length: each piece is the mean of its word pieces' vectors in `folder`
    (all-MiniLM-L6-v2: `model.safetensors`, `tokenizer.json`), projected to its first principal components."""
    words = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"].float()
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.no_padding()
    theirs.no_truncation()
    rows = []
    generator, spread = torch.Generator().manual_seed(0), words.std()
    for i in range(tokenizer.get_vocab_size()):
        piece = tokenizer.id_to_token(i)
        ids = [] if piece.startswith("<0x") else theirs.encode(piece, add_special_tokens=False).ids
        known = torch.tensor([j for j in ids if theirs.id_to_token(j) != "[UNK]"], dtype=torch.long)
        noise = torch.randn(words.shape[1], generator=generator) * spread
        rows.append(words[known].mean(0) + 0.3 * noise if len(known) else noise)
    table = torch.stack(rows)
    table = table - table.mean(0)
    _, _, components = torch.pca_lowrank(table, q=d_model, center=False, niter=4)
    return torch.nn.functional.normalize(table @ components, dim=-1)
