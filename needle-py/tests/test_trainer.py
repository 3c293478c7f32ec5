"""A run that is interrupted ends like one that is not; rows that measure are never learned from."""

import dataclasses
import json
import random
import re
import shutil
import subprocess
import sys

import pytest
import torch

from needle_rs.train import adversarial, jsonl, rows, static_embedding, templates, values
from needle_rs.train.__main__ import asked_for, parser
from needle_rs.train.attention import Places, packed_attention, padded_attention
from needle_rs.train.duplicates import Evaluation
from needle_rs.train.generate import TemplateSource
from needle_rs.train.grow import grow
from needle_rs.train.merge import merge
from needle_rs.train.model import Config, San
from needle_rs.train.packing import Packing
from needle_rs.train.prompt import PAD
from needle_rs.train.quantise import dequantise, is_quantised, quantise, straight_through
from needle_rs.train.start import dequantised, start
from needle_rs.train.trainer import Settings, load_average, read_checkpoint, train

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


def test_merged_runs_go_on_from_the_mean(data, pieces, tmp_path):
    runs = [tmp_path / name for name in ("first", "second")]
    whole_data(data)
    start = run(data, runs[0], pieces, 2)
    shutil.copytree(*runs)
    for shard, folder in enumerate(runs, 1):
        args = parser().parse_args(
            ["train", f"--data={data}", f"--out={folder}", "--steps=4", "--groups=2", f"--shard={shard}", "--threads=1"]
            + ["--compiled=false", "--bf16=false", f"--vocab_size={pieces.get_vocab_size()}"]
            + [f"--{name}={value}" for name, value in TINY.items()]
        )
        args.run(args)
    apart = [read_checkpoint(folder / "checkpoint.pt") for folder in runs]
    merge(runs)
    first, second = (read_checkpoint(folder / "checkpoint.pt") for folder in runs)
    name = "embedding.weight"
    assert not torch.equal(apart[0]["model"][name], apart[1]["model"][name])
    torch.testing.assert_close(first["model"][name], (apart[0]["model"][name] + apart[1]["model"][name]) / 2)
    assert torch.equal(first["model"][name], second["model"][name])
    assert first["examples"] == start.examples | {1: apart[0]["examples"][1], 2: apart[1]["examples"][2]}
    assert all(first["examples"].values())
    with pytest.raises(ValueError, match="two or more"):
        merge(runs[:1])


def test_a_grown_run_starts_with_what_the_other_computes_and_learns_on(data, pieces, tmp_path):
    def main(*words: str) -> None:
        args = parser().parse_args([*words])
        args.run(args)

    old, new = tmp_path / "old", tmp_path / "new"
    whole_data(data)
    before = run(data, old, pieces, 2)
    main("grow", str(old), f"--out={new}", "--num_encoder_layers=3", "--num_decoder_layers=2")
    grown = read_checkpoint(new / "checkpoint.pt")
    model = San(Config(**grown["config"]))
    model.load_state_dict(grown["model"])
    ids, target = torch.randint(1, 50, (1, 2, 9)), torch.randint(1, 50, (1, 2, 5))
    hidden = [m.decode(target, m.encode_joint(ids, torch.float32)) for m in (before.model, model)]
    torch.testing.assert_close(*hidden)

    sizes = {**TINY, "num_encoder_layers": 3, "num_decoder_layers": 2, "vocab_size": pieces.get_vocab_size()}
    options = [f"--{name}={value}" for name, value in sizes.items()]
    options += ["--steps=6", "--groups=2", "--threads=1", "--compiled=false", "--bf16=false"]
    main("train", f"--data={data}", f"--out={new}", *options)
    trained = read_checkpoint(new / "checkpoint.pt")
    assert trained["step"] == 6
    assert trained["model"]["encoder.layers.2.self_attn.out_proj.weight"].any()
    with pytest.raises(ValueError, match="cannot lose"):
        grow(grown, 1, 1)
    with pytest.raises(ValueError, match="exists"):
        main("grow", str(old), f"--out={new}", "--num_encoder_layers=3", "--num_decoder_layers=2")


@pytest.mark.parametrize("form", [[], ["--float"]])
def test_a_run_goes_on_from_a_bundle(data, pieces, tmp_path, form):
    def main(*words: str) -> None:
        args = parser().parse_args([*words])
        args.run(args)

    old, bundle, new = (tmp_path / name for name in ("old", "bundle", "new"))
    whole_data(data)
    before = run(data, old, pieces, 2)
    static_embedding.save(torch.ones(pieces.get_vocab_size(), 32), old)
    main("export", f"--out={old}", f"--bundle={bundle}", *form)
    main("start", str(bundle), f"--out={new}")
    started = read_checkpoint(new / "checkpoint.pt")
    assert (started["step"], started["config"]) == (0, before.config.as_dict())
    for name, value in before.average.items():
        # Half a step of a group's scale.
        tolerance = 0 if form else value.abs().max().item() / 127 * 0.51
        torch.testing.assert_close(started["model"][name], value, atol=tolerance, rtol=0)
        assert torch.equal(started["average"][name], started["model"][name])
    assert static_embedding.load(new).shape == (pieces.get_vocab_size(), 32)
    beginning = shutil.copytree(new, tmp_path / "beginning")
    # The sizes are the run's own.
    main("train", f"--data={data}", f"--out={new}", "--steps=2", "--groups=2", "--threads=1", "--compiled=false")
    trained = read_checkpoint(new / "checkpoint.pt")
    assert trained["step"] == 2
    main("merge", str(new), str(beginning))
    mean = read_checkpoint(new / "checkpoint.pt")["average"]
    for name, value in mean.items():
        torch.testing.assert_close(value, (trained["average"][name] + started["average"][name]) / 2)
    with pytest.raises(ValueError, match="exists"):
        main("start", str(bundle), f"--out={new}")


def test_weights_that_are_no_start_are_refused(tmp_path):
    with pytest.raises(ValueError, match="int4"):
        dequantised({"embedding.weight.q4": torch.zeros(4, 16, dtype=torch.uint8)})
    for scales in ({}, {"w.scale": torch.ones(4, 1)}):
        with pytest.raises(ValueError, match="without a scale"):
            dequantised({"w": torch.ones(4, 64, dtype=torch.int8), **scales})
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="damaged"):
        start(tmp_path, tmp_path / "run")


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


def test_requests_for_a_tool_that_is_not_shown_are_refused_beside_its_siblings_in_training():
    tools = {
        "d": [
            {"domain": "d", "tool": {"name": name, "description": "", "parameters": {}}, "queries": [{"q": name}]}
            for name in ("open", "close")
        ]
    }
    split, lexicons = (
        templates.Split(tools=tools),
        {"chatter": ["hello"], "filler_prefix": ["hey"], "filler_suffix": ["now"]},
    )

    def refused(vary):
        rng, source = random.Random(1), TemplateSource(split, split, lexicons, vary=vary)
        groups = [source.group(rng, 1, 8) for _ in range(30)]
        return {
            (group.tools[0].name, word)
            for group in groups
            for example in group.examples
            for word in ("open", "close")
            if not example.calls and word in example.query.lower()
        }

    assert refused(vary=True) >= {("open", "close"), ("close", "open")}
    assert not refused(vary=False)


def test_requests_that_are_not_what_they_look_like():
    rng = random.Random(1)
    assert {adversarial.taken_back("Open the gate.", rng) for _ in range(99)} > {
        "don't open the gate",
        "Open the gate, no, forget it",
    }
    assert not any(adversarial.taken_back("is the gate open", rng).startswith("don't") for _ in range(99))
    assert "open_gate" in {
        word.strip("?,.") for _ in range(99) for word in adversarial.about(["open_gate"], rng).split()
    }
    assert adversarial.about(["open_gate", "web_search"], rng) is None

    inside = adversarial.with_order_inside(
        "tell Ann: I am late", {"to": "Ann", "message": "I am late"}, "Open it!", rng
    )
    assert inside[1]["message"].endswith("open it") and inside[1]["message"] in inside[0]
    assert adversarial.with_order_inside("call Ann", {"to": "Ann"}, "Open it!", rng) is None

    def corrected(text, arguments, others):
        return adversarial.corrected(text, arguments, others, {"properties": {"unit": {"enum": ["s"]}}}, rng)

    for _ in range(20):
        text, arguments = corrected("wait 5 s", {"n": 5, "unit": "s"}, {"n": 15})
        assert arguments == {"n": 15, "unit": "s"} and text.index("5") < text.index("15")
    assert corrected("from Rome to Oslo", {"from": "Rome", "to": "Oslo"}, {"from": "Bonn", "to": "Bonn"}) is None
    assert corrected("wait 5 of 5 s", {"n": 5}, {"n": 15}) is None
    assert corrected("wait 5 s", {"n": 5}, {"n": 5}) is None


def test_further_phrasings_join_their_tool_unless_they_repeat_a_held_out_one(data, tmp_path):
    split = templates.load(data / "templates", seed=7)
    domain, (record, *_) = next(iter(split.dev_phrasings.tools.items()))
    name, held_out = record["tool"]["name"], record["queries"][0]["q"]
    new = {"q": "a wording of {thing} that nobody has used", "args": {}}
    more = {"kind": "phrasings", "domain": domain, "tool": name, "slots": {"thing": ["soup"]}}
    (tmp_path / "more.jsonl").write_text(json.dumps({**more, "queries": [{"q": held_out, "args": {}}, new]}))
    train = templates.with_phrasings(split, tmp_path)
    before, after = (
        next(r["queries"] for r in side.tools[domain] if r["tool"]["name"] == name) for side in (split.train, train)
    )
    assert [row["q"] for row in after[len(before) :]] == [new["q"]]
    source = TemplateSource(train, train, split.lexicons)
    assert "a wording of soup that nobody has used" in {
        source._request({**record, "queries": after[-1:], "slots": {"thing": ["stew"]}}, random.Random(1))[0]
    }
    assert not templates.load_whole(tmp_path).tools


def test_other_values_are_said_as_they_are_meant():
    rng = random.Random(1)
    prices = [{"say": "$1,500", "value": 1500}, {"say": "$40", "value": 40}, {"say": "cheap", "value": 10}]
    lists = [{"say": "soap, tea and rice", "value": ["soap", "tea", "rice"]}, {"say": "milk", "value": ["milk"]}]
    for _ in range(50):
        price = values.another(prices[0], prices, rng)
        assert 10 <= price["value"] <= 1500 and price["say"] == f"${price['value']:,}"
        items = values.another(lists[0], lists, rng)
        assert set(items["value"]) <= {"soap", "tea", "rice", "milk"}
        assert re.findall(r"soap|tea|rice|milk", items["say"]) == items["value"]
        assert 3 <= values.another(5, [3, 5, 9], rng) <= 9
    for said in ({"say": "half an hour", "value": 30}, {"say": "both soap and tea", "value": ["soap", "tea"]}, "noon"):
        assert values.another(said, [said, *lists], rng) == said
    schema = {"properties": {"n": {"type": "integer", "maximum": 9}, "of": {"items": {"enum": ["a"]}, "minItems": 1}}}
    assert values.fits(schema, {"n": 9, "of": ["a"]})
    assert not any(values.fits(schema, wrong) for wrong in ({"n": 10}, {"of": []}, {"of": ["b"]}))


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


def test_malformed_rows_are_left_out_only_on_request(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"query": "a"}\n[]\n{"query": "b"}\n')
    rows = list(jsonl.read(tmp_path / "a.jsonl", skip_malformed=True))
    assert [row["query"] for row in rows] == ["a", "b"]
    assert "a.jsonl, line 2: a row must be a JSON object" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_checkpoint(data, pieces, tmp_path):
    run(data, tmp_path, pieces, 2)
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    config = Config(vocab_size=pieces.get_vocab_size(), **TINY)
    plain = {"compiled": False, "threads": 1, "row_weights": {"snips": 1.0}, "save_every": 1}
    with pytest.raises(FloatingPointError, match="the last checkpoint is intact"):
        train(Settings(data, tmp_path, steps=20, groups=2, muon_lr=float("nan"), **plain), config)
    assert (tmp_path / "checkpoint.pt").read_bytes() == checkpoint


@pytest.mark.parametrize("case", ["tools", "queries", "causal", "cross"])
def test_both_forms_of_attention_are_the_same_function(case):
    generator = torch.Generator().manual_seed(1)

    def rows(lengths: list[list[int]]) -> Packing:
        longest = max(length for group in lengths for length in group)
        ids = [[[7] * length + [PAD] * (longest - length) for length in group] for group in lengths]
        return Packing.of(torch.tensor(ids))

    own, others, shared = rows([[3, 5, 0], [1, 9, 2]]), rows([[4, 2, 1], [8, 1, 1]]), rows([[70], [6]])
    places = {
        "tools": Places(2, own, own),
        "queries": Places(2, own, own, shared),
        "causal": Places(2, own, own, causal=True),
        "cross": Places(2, own, others, shared),
    }[case]
    shapes = [(2, len(places.queries.index), 2, 8)]
    shapes += [(2, len(keys.index), 8) for keys in (places.keys, places.shared) if keys for _ in "kv"]
    results = []
    for attend in (packed_attention, padded_attention):
        inputs = [torch.randn(s, generator=generator.manual_seed(n), requires_grad=True) for n, s in enumerate(shapes)]
        out = attend(inputs[0], places, *inputs[1:])
        out = places.queries.pad(out.movedim(0, 1))
        out.square().sum().backward()
        results.append([out, *(x.grad for x in inputs)])
    for a, b in zip(*results, strict=True):
        assert a.any()
        torch.testing.assert_close(a, b, atol=5e-5, rtol=1e-4)


def whole_data(data) -> None:
    """Gives the toy data every public set that a run wants by default."""
    for name in Settings(data, data).row_weights:
        path = data / f"train/{name}.jsonl.gz"
        if not path.exists():
            path.symlink_to(data / "train/snips.jsonl.gz")


def torchrun(processes: int, data, out, pieces, groups: int) -> list[dict]:
    """Three steps of a toy run by so many processes; what its log says."""
    out.mkdir()
    pieces.save(str(out / "tokenizer.json"))
    whole_data(data)
    toy = {
        "data": data, "out": out, "steps": 3, "groups": groups, "max_tools": 3, "save_every": 1, "threads": 1,
        "retrieval_every": 9, "bf16": "false", "compiled": "false", "device": "cpu",
        "vocab_size": pieces.get_vocab_size(), **TINY,
    }  # fmt: skip
    command = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m", "needle_rs.train"]
    arguments = ["train", *(f"--{name}={value}" for name, value in toy.items())]
    subprocess.run([sys.executable, "-m", *command, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=300)
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_two_processes_learn_as_one_with_the_doubled_batch(data, pieces, tmp_path):
    one = torchrun(1, data, tmp_path / "one", pieces, groups=4)
    two = torchrun(2, data, tmp_path / "two", pieces, groups=2)
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2, 3]
    for alone, shared in zip(one, two, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-4)


def test_a_run_pauses_and_goes_on(data, pieces, tmp_path):
    pieces.save(str(tmp_path / "tokenizer.json"))
    config = Config(vocab_size=pieces.get_vocab_size(), **TINY)
    plain = {"compiled": False, "threads": 1, "row_weights": {"snips": 1.0}}
    settings = Settings(data, tmp_path, steps=3, groups=2, pause_after=0.0, **plain)
    assert train(settings, config).step == 0
    assert train(dataclasses.replace(settings, pause_after=None), config).step == 3


def test_fake_quantisation_learns_from_what_a_bundle_would_hold_and_keeps_the_exact_weights():
    model = San(Config(vocab_size=64, **TINY))
    exact = {name: value.clone() for name, value in model.state_dict().items()}
    with straight_through(model, 4):
        stored = dict(model.state_dict())
        for name, value in exact.items():
            wanted = dequantise(*quantise(value, 4)) if is_quantised(value) else value
            assert torch.equal(stored[name], wanted)
        hidden = model.decode(torch.tensor([[[1, 2]]]), model.encode_joint(torch.tensor([[[3, 4]]]), torch.float32))
        assert not torch.equal(stored["embedding.weight"], exact["embedding.weight"])
        hidden.sum().backward()
    assert all(torch.equal(value, exact[name]) for name, value in model.state_dict().items())
    assert model.embedding.weight.grad.any()
    with straight_through(model, 0):
        assert torch.equal(model.embedding.weight, exact["embedding.weight"])


def test_only_the_decay_is_fake_quantised(data, pieces, tmp_path, monkeypatch):
    bits = []

    def watched(model, chosen):
        bits.append(chosen)
        return straight_through(model, chosen)

    monkeypatch.setattr("needle_rs.train.trainer.straight_through", watched)
    pieces.save(str(tmp_path / "tokenizer.json"))
    plain = {"compiled": False, "threads": 1, "row_weights": {"snips": 1.0}}
    settings = Settings(data, tmp_path, steps=10, groups=2, fake_quantise=8, **plain)
    train(settings, Config(vocab_size=pieces.get_vocab_size(), **TINY))
    # At the eighth step the rate has not begun to fall yet.
    assert bits == [0] * 8 + [8] * 2
    with pytest.raises(ValueError, match="8 or 4"):
        dataclasses.replace(settings, fake_quantise=3)


def test_a_run_without_muon_learns_too(data, pieces, tmp_path):
    pieces.save(str(tmp_path / "tokenizer.json"))
    plain = {"compiled": False, "threads": 1, "row_weights": {"snips": 1.0}}
    settings = Settings(data, tmp_path, steps=2, groups=2, muon=False, **plain)
    config = Config(vocab_size=pieces.get_vocab_size(), **TINY)
    done = train(settings, config)
    assert [type(o) for o in done.optimisers] == [torch.optim.AdamW] * 2
    torch.manual_seed(settings.seed)
    fresh, name = San(config), "decoder.layers.0.self_attn.v_proj.weight"
    assert not torch.equal(done.model.state_dict()[name], fresh.state_dict()[name])


def test_the_settings_of_a_run_make_another_one(data, pieces, tmp_path):
    first = run(data, tmp_path / "first", pieces, 1)
    written = tmp_path / "first/settings.json"

    def asked(*options: str) -> tuple[Settings, Config]:
        return asked_for(parser().parse_args(["train", f"--data={data}", f"--out={tmp_path / 'second'}", *options]))

    settings, config = asked(f"--config={written}")
    assert settings == dataclasses.replace(first.settings, out=tmp_path / "second")
    assert config == first.config
    settings, _ = asked(f"--config={written}", "--steps=9", "--preset=base")
    assert (settings.steps, settings.groups, settings.row_weights) == (9, 2, {"snips": 1.0})
    written.write_text('{"minutes": null, "muon_lr": 1}')
    assert asked(f"--config={written}")[0].minutes is None
    for text, message in {
        '{"stepz": 1}': "no setting is called stepz",
        '{"data": "here"}': "no setting is called data",
        '{"steps": "many"}': "steps must be int",
        '{"steps": 1.5}': "steps must be int",
        '{"muon": 1}': "muon must be bool",
        '{"muon_lr": true}': "muon_lr must be float",
        '{"minutes": "ten"}': "minutes must be",
        '{"row_weights": {"snips": "much"}}': "row_weights must be",
        "[1]": "object",
        "{": "not JSON",
    }.items():
        written.write_text(text)
        with pytest.raises(ValueError, match=message):
            asked(f"--config={written}")


def test_the_preset_of_a_gpu_runs_at_a_toy_size(data, pieces, tmp_path):
    pieces.save(str(tmp_path / "tokenizer.json"))
    whole_data(data)
    toy = {**TINY, "steps": 1, "groups": 2, "workers": 1, "vocab_size": pieces.get_vocab_size()}
    command = ["train", "--preset=base", f"--data={data}", f"--out={tmp_path}", *(f"--{k}={v}" for k, v in toy.items())]
    args = parser().parse_args([*command, "--compiled=false", "--device=cpu"])
    args.run(args)
    model = load_average(tmp_path / "checkpoint.pt")
    assert (model.config.d_model, model.config.contrastive_dim) == (TINY["d_model"], 128)
