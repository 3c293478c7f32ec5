"""A run that is interrupted ends like one that is not; rows that measure are never learned from."""

import random

import pytest
import torch

from needle_rs.train import jsonl, rows, templates
from needle_rs.train.duplicates import Evaluation
from needle_rs.train.generate import TemplateSource
from needle_rs.train.model import Config
from needle_rs.train.trainer import Settings, load_average, train

TINY = {"d_model": 32, "num_heads": 2, "num_kv_heads": 1, "num_encoder_layers": 1, "num_decoder_layers": 1}


def run(data, out, pieces, steps: int):
    out.mkdir(exist_ok=True)
    pieces.save(str(out / "tokenizer.json"))
    settings = Settings(
        data, out, steps=steps, groups=2, max_tools=3, save_every=2, bf16=False, compiled=False, threads=1,
        row_weights={"snips": 1.0},
    )  # fmt: skip
    return train(settings, Config(vocab_size=pieces.get_vocab_size(), **TINY))


def test_resumed_run_equals_uninterrupted_run(data, pieces, tmp_path, monkeypatch):
    whole = run(data, tmp_path / "whole", pieces, 6)
    saves = 0

    def interrupted_after_save(self):
        nonlocal saves
        original(self)
        saves += 1
        if saves == 2:
            raise KeyboardInterrupt

    from needle_rs.train.trainer import Run

    original = Run.save
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", interrupted_after_save)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "parts", pieces, 6)
    resumed = run(data, tmp_path / "parts", pieces, 6)
    assert resumed.step == whole.step == 6
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    exported = load_average(tmp_path / "parts/checkpoint.pt").state_dict()
    assert all(torch.equal(value, exported[name]) for name, value in whole.average.items())


def test_other_sizes_do_not_overwrite_a_run(data, pieces, tmp_path):
    run(data, tmp_path, pieces, 2)
    settings = Settings(data, tmp_path, steps=4, compiled=False)
    with pytest.raises(ValueError, match="other sizes"):
        train(settings, Config(vocab_size=pieces.get_vocab_size(), **{**TINY, "d_model": 64}))


def test_splits_share_no_phrasing_and_no_held_out_tool(data):
    split = templates.load(data / "templates", seed=7)

    def tools(side):
        return {r["tool"]["name"] for records in side.tools.values() for r in records}

    def queries(side):
        return {(r["tool"]["name"], q["q"]) for records in side.tools.values() for r in records for q in r["queries"]}

    assert len(split.dev_domains.tools) == 2
    assert not tools(split.train) & (tools(split.dev_tools) | tools(split.dev_domains))
    assert queries(split.dev_phrasings) and not queries(split.train) & queries(split.dev_phrasings)
    assert tools(split.dev_phrasings) <= tools(split.train)


def test_generated_answers_name_shown_tools_and_their_parameters(data):
    split = templates.load(data / "templates", seed=7)
    source, rng = TemplateSource(split.train, split.train, split.lexicons), random.Random(1)
    examples = 0
    for _ in range(20):
        group = source.group(rng, 4, 8)
        shown = {t.name: list(t.parameters["properties"]) for t in group.tools}
        for call in (call for example in group.examples for call in example.calls):
            keys = list(call["arguments"])
            assert keys == sorted(keys, key=shown[call["name"]].index)
            examples += 1
    assert examples > 50


def test_dev_rows_are_the_same_bytes_for_the_same_seed(data, tmp_path):
    split = templates.load(data / "templates", seed=7)
    for folder in ("a", "b"):
        rows.write(split, tmp_path / folder, 5, "dev")
    for name in rows.SPLITS:
        first, second = ((tmp_path / folder / f"{name}.jsonl.gz").read_bytes() for folder in ("a", "b"))
        assert first == second


def test_near_duplicates_of_evaluation_rows_are_found():
    evaluation = Evaluation(["Find me a vegan restaurant in Boston for tonight.", "lights on"])
    assert evaluation.repeats("find me a vegan restaurant in Boston, for tonight")
    assert evaluation.repeats("please find me a vegan restaurant in Boston for tonight")
    assert evaluation.repeats("Lights on!")
    assert not evaluation.repeats("find me a museum in Boston")
    assert not evaluation.repeats("lights off")


def test_a_malformed_row_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"query": "a"}\n{"query": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2: "):
        list(jsonl.read(tmp_path / "a.jsonl"))
