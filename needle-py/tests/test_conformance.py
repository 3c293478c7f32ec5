"""The vectors of tests/conformance in Python."""

import json
from pathlib import Path

import pytest

import needle_rs
from needle_rs import CallFinished, Decision, Done, Text, _native

VECTORS = json.loads((Path(__file__).parents[2] / "tests/conformance/vectors.json").read_text("utf-8"))
# CPUs round f32 differently.
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def model() -> needle_rs.Model:
    return needle_rs.Model.default()


def assert_same(decision: Decision, expected: dict) -> None:
    found = decision.to_dict()
    del found["timings"]
    confidences = found.pop("confidence"), expected["confidence"]
    expected = {k: v for k, v in expected.items() if k != "confidence"}
    if found.get("reason") == expected.get("reason") == "low_confidence":
        # The detail quotes the confidence.
        del found["detail"], expected["detail"]
    assert found == expected
    if None in confidences:
        assert confidences == (None, None)
    else:
        assert abs(confidences[0] - confidences[1]) <= TOLERANCE


def event_dict(event: needle_rs.Event) -> dict:
    if isinstance(event, Text):
        return {"type": "text", "text": event.text}
    if isinstance(event, needle_rs.ToolNamed):
        return {"type": "tool_name", "call": event.call, "name": event.name}
    if isinstance(event, CallFinished):
        return {"type": "call_finished", "call": event.call}
    return {"type": "done"}


def decide(model: needle_rs.Model, case: dict) -> None:
    tools = case["tools_text"] if "tools_text" in case else json.dumps(VECTORS["toolsets"][case["toolset"]])
    toolset, options = model.compile(tools), case.get("options", {})
    if not isinstance(options, dict):
        # Keyword arguments cannot be anything else; the border still must refuse it.
        toolset._native.decide("", json.dumps(options, separators=(",", ":")))
    if case.get("cancel"):
        cancel = _native.Cancel()
        cancel.cancel()
        toolset._native.decide(case["queries"][0], json.dumps(options, separators=(",", ":")), cancel)
    expected = case["expect"].get("decisions", [None] * len(case["queries"]))
    for _ in range(case.get("repeat", 1)):
        for query, wanted in zip(case["queries"], expected, strict=True):
            assert_same(toolset.decide(query, **options), wanted)
    for found, wanted in zip(toolset.decide_batch(case["queries"], **options), expected, strict=True):
        assert_same(found, wanted)
    for query, events in zip(case["queries"], case["expect"].get("events", ()), strict=False):
        streamed = list(toolset.stream(query, **options))
        assert isinstance(streamed[-1], Done)
        assert [event_dict(event) for event in streamed] == events


def test_there_are_vectors():
    assert len(VECTORS["cases"]) >= 150


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"][:60])
def test_vector(model, case):
    error = case["expect"].get("error")
    if error is None:
        decide(model, case)
        return
    with pytest.raises(needle_rs.NeedleError) as caught:
        decide(model, case)
    assert (caught.value.code, str(caught.value)) == (error["code"], error["message"])
