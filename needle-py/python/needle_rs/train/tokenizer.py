"""The tokenizer: BPE with byte fallback, spaces and digits apart, words without a space marker.

A word has one id wherever it stands (after a space, after a quote, in a tool's name), so that copying a value
from the query is copying ids, and a word of a description is the same token as in a request.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .prompt import SPECIAL_TOKENS

SPLIT = r" |\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|[\p{L}\p{M}]+|\p{N}|[^\s\p{L}\p{M}\p{N}]+|\s"


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Trains pieces on `texts`; the 256 byte tokens that make every string reachable are part of `vocab_size`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS) - 256,
        limit_alphabet=200,
        initial_alphabet=[chr(c) for c in range(32, 127)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_bytes(tokenizer)


def _with_bytes(trained: Tokenizer) -> Tokenizer:
    """Puts the special and the byte tokens in front of the trained pieces."""
    data = json.loads(trained.to_str())
    pieces = sorted(data["model"]["vocab"], key=data["model"]["vocab"].get)
    all_pieces = SPECIAL_TOKENS + [f"<0x{b:02X}>" for b in range(256)] + pieces
    data["model"].update(
        vocab={piece: i for i, piece in enumerate(all_pieces)}, byte_fallback=True, unk_token="<unk>", fuse_unk=False
    )
    data["added_tokens"] = [
        {
            "id": i,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, token in enumerate(SPECIAL_TOKENS)
    ]
    tokenizer = Tokenizer.from_str(json.dumps(data, ensure_ascii=False))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def load(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    return tokenizer
