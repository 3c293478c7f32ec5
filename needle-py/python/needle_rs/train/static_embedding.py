"""A vector for each token whose mean tells what a text is about, distilled from a sentence-embedding model.

The idea is Model2Vec's (Tulkens and van Dongen, 2024); here the table is fitted to the teacher's embeddings of whole
requests, tools and sentences, without labels, so that it knows what the network's examples do not teach.
"""

import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import jsonl
from .prompt import Prompter
from .trainer import Data

FILE = "static_embedding.safetensors"
DIM = 128
# How much the cosines count in the engine (`StaticEmbeddingConfig`); the model card says on which rows this was chosen.
ODDS = {"name_weight": 20.0, "opening_weight": 10.0, "opening_cosine": 0.4}
GROUPS, MAX_TOOLS, EXAMPLES = 7_000, 7, 20
SENTENCES = {"tldr": 10_000, "topical_chat_valid": 5_000, "standard_ebooks": 5_000, "taskmaster4_dialogues": 3_000}
TEACHER_TOKENS = 128
EPOCHS, BATCH, LEARNING_RATE = 10, 512, 2e-3

# Texts to embeddings (N, width) of length 1.
Teacher = Callable[[list[str]], Tensor]


def sentence_transformer(folder: Path) -> Teacher:
    """A teacher from a folder that the sentence-transformers package can open.

    Raises:
        ValueError: if there is no such folder, or the package is not installed.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; give one that holds a sentence-embedding model")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ValueError(f"distil needs sentence-transformers (pip install sentence-transformers): {error}") from None

    model = SentenceTransformer(str(folder), model_kwargs={"dtype": torch.bfloat16})
    model.max_seq_length = TEACHER_TOKENS

    def teacher(texts: list[str]) -> Tensor:
        found = model.encode(texts, batch_size=128, convert_to_tensor=True, show_progress_bar=True)
        return F.normalize(found.float().cpu(), dim=-1)

    return teacher


def texts(data: Data, groups: int = GROUPS) -> Iterator[tuple[list[int], str]]:
    """What the engine will see as tokens, and the same in words for the teacher; each once."""
    prompter = data.prompter
    rng, queries, tools = random.Random(data.settings.seed), {}, {}
    for _ in range(groups):
        group = data.mixture.group(rng, MAX_TOOLS, EXAMPLES)
        queries |= dict.fromkeys(example.query for example in group.examples)
        tools |= {_words(t.name, t.description, t.parameters): t for t in group.tools}
    for query in queries:
        yield prompter.query_segment(query), query
    for words, tool in tools.items():
        yield prompter.tool_segment(tool.name, tool.description, tool.parameters), words
    for name, count in SENTENCES.items():
        for sentence in islice(_sentences(data.settings.data / f"text/{name}.jsonl.gz"), count):
            yield prompter.query_segment(sentence), sentence


def _words(name: str, description: str, parameters: dict) -> str:
    keys = ", ".join(parameters.get("properties") or {})
    return f"{name}: {description} {keys}".replace("_", " ")


def _sentences(path: Path) -> Iterator[str]:
    for row in jsonl.read(path):
        for sentence in re.split(r"(?<=[.!?])\s+|\n", row["text"]):
            if 15 < len(sentence) < 160:
                yield sentence.strip()


def distil(data: Data, teacher: Teacher, groups: int = GROUPS, epochs: int = EPOCHS, dim: int = DIM) -> Tensor:
    """The table (V, dim) whose means point where the teacher's embeddings do, in their first principal components."""
    torch.manual_seed(data.settings.seed)
    ids, words = zip(*texts(data, groups), strict=True)
    wanted = teacher(list(words)).float()
    _, _, components = torch.pca_lowrank(wanted - wanted.mean(0), q=dim, center=False, niter=4)
    return fit(ids, F.normalize(wanted @ components, dim=-1), teacher(_pieces(data.prompter)) @ components, epochs)


def fit(ids: tuple[list[int], ...], wanted: Tensor, first: Tensor, epochs: int) -> Tensor:
    """Adam on 1 - cosine, from the table `first` (V, dim); `wanted` (N, dim) has rows of length 1."""
    table = torch.nn.Parameter(first.float().clone())
    optimiser = torch.optim.Adam([table], lr=LEARNING_RATE)
    flat = [torch.tensor(tokens) for tokens in ids]
    order = [batch for _ in range(epochs) for batch in torch.randperm(len(ids)).split(BATCH)]
    for step, batch in enumerate(order):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / len(order))
        tokens = [flat[i] for i in batch.tolist()]
        offsets = torch.tensor([0] + [len(t) for t in tokens[:-1]]).cumsum(0)
        means = F.embedding_bag(torch.cat(tokens), table, offsets, mode="mean")
        loss = 1 - F.cosine_similarity(means, wanted[batch]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0 or step + 1 == len(order):
            print(f"step {step + 1} of {len(order)} | cosine {1 - loss.item():.3f}", flush=True)
    return table.detach()


def _pieces(prompter: Prompter) -> list[str]:
    """The tokens as texts."""
    tokenizer = prompter.tokenizer
    return [tokenizer.id_to_token(i).strip() or "." for i in range(tokenizer.get_vocab_size())]


def save(table: Tensor, run: Path) -> None:
    """Puts a table into the folder of a run, whose exports then have it."""
    temporary = run / f"{FILE}.tmp"
    save_file({"weight": table.contiguous()}, temporary)
    temporary.replace(run / FILE)


def load(run: Path) -> Tensor | None:
    """The table of a run, if it has one."""
    path = run / FILE
    return load_file(path)["weight"] if path.exists() else None
