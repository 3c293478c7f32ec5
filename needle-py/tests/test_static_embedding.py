"""A static embedding learns what its teacher thinks of texts, and the engine uses it."""

import gzip
import json

import pytest
import torch
import torch.nn.functional as F

import needle_rs
from needle_rs.train import static_embedding
from needle_rs.train.export import write_bundle
from needle_rs.train.model import Config, San
from needle_rs.train.trainer import Data, Settings

SIZES = {"d_model": 32, "num_heads": 2, "num_kv_heads": 1, "num_encoder_layers": 1, "num_decoder_layers": 1}
DIM = 8


def teacher(texts: list[str]) -> torch.Tensor:
    """The mean of a random vector for each word."""
    vectors = {}

    def vector(word: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(sum(map(ord, word)))
        return vectors.setdefault(word, torch.randn(24, generator=generator))

    return F.normalize(torch.stack([sum(map(vector, text.split()), torch.zeros(24)) for text in texts]), dim=-1)


@pytest.fixture(scope="module")
def run(data, pieces, tmp_path_factory):
    """The folder of a run with a table."""
    folder = tmp_path_factory.mktemp("run")
    pieces.save(str(folder / "tokenizer.json"))
    for name in static_embedding.SENTENCES:
        row = {"text": f"Text of {name} about the weather. Too short."}
        with gzip.open(data / f"text/{name}.jsonl.gz", "wt") as file:
            file.write(json.dumps(row) + "\n")
    source = Data(Settings(data, folder, row_weights={"snips": 1.0}), Config())
    static_embedding.save(static_embedding.distil(source, teacher, groups=10, epochs=400, dim=DIM), folder)
    return folder


def test_means_point_where_the_teachers_embeddings_do(run, data):
    table = static_embedding.load(run)
    source = Data(Settings(data, run, row_weights={"snips": 1.0}), Config())
    ids, words = zip(*static_embedding.texts(source, 10), strict=True)
    assert "Text of tldr about the weather." in words and "Too short." not in words
    assert any(text.startswith("lights start: Does lights_start".replace("_", " ")) for text in words)
    means = F.normalize(torch.stack([table[tokens].mean(0) for tokens in ids]), dim=-1)
    wanted = teacher(list(words))
    upper = torch.ones(len(ids), len(ids)).triu(1).bool()
    found = torch.corrcoef(torch.stack([(means @ means.T)[upper], (wanted @ wanted.T)[upper]]))[0, 1]
    assert found > 0.7


def test_a_teacher_that_is_not_there_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(ValueError, match="give one that holds a sentence-embedding model"):
        static_embedding.sentence_transformer(tmp_path / "none")


def test_the_engine_reads_it_from_the_bundle(run, pieces, tmp_path):
    config = Config(vocab_size=pieces.get_vocab_size(), **SIZES)
    write_bundle(San(config), run, tmp_path / "with")
    assert json.loads((tmp_path / "with/config.json").read_text())["static_embedding"]["dim"] == DIM
    tool = {"name": "lights_start", "description": "Starts the lights.", "parameters": {"type": "object"}}
    toolset = needle_rs.Model.open(tmp_path / "with").compile([tool])
    assert len(toolset.embed("start the lights")) == config.contrastive_dim + DIM
