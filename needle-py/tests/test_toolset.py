"""Decisions from Python: objects, streams and pickles."""

import pickle

import pytest

import needle_rs
from decisions import CALL, QUERY, ROOT, TOOLS
from needle_rs import Done, Reason, Text, ToolNamed


@pytest.fixture(scope="module")
def tools(model) -> needle_rs.Toolset:
    return model.compile(TOOLS)


def test_a_call(tools):
    decision = tools.decide(QUERY)
    assert decision.is_call and decision.reason is None and decision.detail == ""
    assert decision.calls == [CALL] and decision.suppressed_calls == []
    assert 0.0 < decision.confidence <= 1.0
    assert decision.timings.total_ms > 0.0
    plain = decision.to_dict()
    assert plain["decision"] == "call" and plain["calls"] == [{"name": CALL.name, "arguments": CALL.arguments}]
    assert repr(decision).startswith(f"Decision(calls=[{CALL!r}]")


def test_a_hand_off(tools):
    decision = tools.decide(QUERY, threshold=1.0)
    assert not decision.is_call and decision.calls == []
    assert decision.reason is Reason.LOW_CONFIDENCE and decision.reason == "low_confidence"
    assert f"{decision.reason}" == str(decision.reason) == "low_confidence"
    assert "is below 1.000" in decision.detail
    assert decision.suppressed_calls == [CALL]
    plain = decision.to_dict()
    assert plain["decision"] == "handoff" and plain["suppressed_calls"][0]["name"] == CALL.name


def test_arguments_that_the_query_does_not_contain_are_listed(model):
    schema = {"type": "object", "properties": {"room": {"type": "string", "pattern": "^attic$"}}, "required": ["room"]}
    tools = model.compile([{"name": "dim_lights", "description": "Dim the lights in a room.", "parameters": schema}])
    decision = tools.decide("dim the lights in the kitchen", threshold=0.0)
    assert decision.ungrounded == [needle_rs.Ungrounded(0, "/room", "attic")]
    assert decision.to_dict()["ungrounded"] == [{"call": 0, "pointer": "/room", "value": "attic"}]
    assert tools.decide("dim the lights in the kitchen", grounding="enforce").reason is Reason.UNGROUNDED_ARGUMENTS


def test_a_batch_decides_like_single_queries(tools):
    queries = [QUERY, "", "set a timer for ten minutes"]
    batch = tools.decide_batch(queries)
    assert [d.calls for d in batch] == [tools.decide(q).calls for q in queries]
    assert batch[1].reason is Reason.NOT_A_USER_TURN


def test_several_threads_decide_alike(model, tools):
    assert model.compile(TOOLS, threads=2).decide(QUERY).calls == tools.decide(QUERY).calls


def test_streams_end_with_the_decision(tools):
    *events, last = tools.stream(QUERY)
    assert last == Done(last.decision) and last.decision.calls == [CALL]
    assert ToolNamed(0, "dim_lights") in events
    text = "".join(e.text for e in events if isinstance(e, Text))
    assert text == '[{"name":"dim_lights","arguments":{"level":30,"room":"bedroom"}}]'


def test_any_text_is_decided(tools):
    for query in ("\0", "🙂" * 50, "ﬁ\u202e\u0301", "word " * 100_000):
        assert isinstance(tools.decide(query), needle_rs.Decision)
    assert tools.decide("word " * 100_000).reason is Reason.INPUT_TOO_LONG


def test_models_are_pickled_and_compiled_tools_are_not(model, tools, monkeypatch, tmp_path):
    assert pickle.loads(pickle.dumps(model)).config == model.config
    assert repr(model) == "Model(default)" and tools.model is model
    monkeypatch.chdir(ROOT)
    pickled = pickle.dumps(needle_rs.Model.open("models/default"))
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickled).compile(TOOLS).decide(QUERY).calls == [CALL]
    with pytest.raises(TypeError, match="compile the tools in the other process"):
        pickle.dumps(tools)


def test_models_tell_what_they_are(model):
    assert model.is_calibrated and model.config["layout"] == "isolated"


def test_queries_about_the_same_thing_are_near(tools):
    numpy = pytest.importorskip("numpy")
    dim, brighter, mail = (tools.embed(q) for q in ("dim the lights", "make the lights brighter", "send an email"))
    assert dim.dtype == numpy.float32 and abs(float(dim @ dim) - 1) < 1e-3
    assert float(dim @ brighter) > float(dim @ mail)
