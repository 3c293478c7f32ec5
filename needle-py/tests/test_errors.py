"""Every kind of bad input has its exception, and the message says what to do."""

import pickle

import pytest

import needle_rs
from needle_rs import _native
from needle_rs._errors import _CLASSES, from_code

QUERY = "set a timer for ten minutes"
DEFINITION = {"name": "set_timer", "description": "Start a timer.", "parameters": {"minutes": {"type": "integer"}}}


@pytest.fixture(scope="module")
def tools(model) -> needle_rs.Toolset:
    return model.compile([DEFINITION])


def nested(depth: int) -> dict:
    schema: dict = {}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return {"name": "deep", "parameters": {"type": "object", "properties": {"a": schema}}}


@pytest.mark.parametrize(
    ("tools", "code", "message"),
    [
        ("not json", "tool", "not valid JSON"),
        ("3", "tool", "give a JSON list of tools"),
        ([{}], "tool", "name"),
        ([DEFINITION, DEFINITION], "tool", "give every tool its own name"),
        ([{"name": "a", "params": {}}], "tool", "params"),
        ([{"name": "a", "parameters": {"b": {"type": "integr"}}}], "tool", 'has "string", "integer", "number"'),
        ([{"name": "a", "parameters": {"$ref": "#/$defs/b"}}], "tool", "define it under"),
        ([{"name": "\ud800"}], "tool", "not valid JSON"),
        ([{"name": "a", "parameters": {"b": {"type": "integer", "minimum": float("nan")}}}], "tool", "not valid JSON"),
        ([nested(200)], "tool", "recursion limit"),
        ([{"type": "web_search"}], "provider_tool", "leave it out or hand the request off"),
        ([DEFINITION | {"name": f"t{i}"} for i in range(5000)], "limit", "the limit is 4096"),
    ],
)
def test_definitions(model, tools, code, message):
    with pytest.raises(needle_rs.NeedleError, match=message) as caught:
        model.compile(tools)
    assert caught.value.code == code and isinstance(caught.value, ValueError)
    if code != "limit":
        assert isinstance(caught.value, needle_rs.ToolDefinitionError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 2.0}, "option threshold: is 2; must be 0 to 1"),
        ({"threshold": "high"}, "expected f32"),
        ({"threshold": float("nan")}, "option"),
        ({"treshold": 0.5}, "unknown field `treshold`"),
        ({"max_calls": 0}, "option max_calls: is 0; must be 1 to 64"),
        ({"max_output_tokens": 10**30}, "option"),
        ({"max_candidates": -1}, "expected usize"),
        ({"grounding": "on"}, "unknown variant `on`, expected one of `off`, `report`, `enforce`"),
    ],
)
def test_options(tools, options, message):
    for decide in (tools.decide, lambda query, **options: list(tools.stream(query, **options))):
        with pytest.raises(needle_rs.OptionError, match=message) as caught:
            decide(QUERY, **options)
        assert caught.value.code == "option" and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("threads", [0, 100_000])
def test_threads(model, threads):
    with pytest.raises(needle_rs.OptionError, match=r"option threads: is \d+; must be 1 to 256"):
        model.compile([DEFINITION], threads=threads)


def test_deadlines(tools):
    with pytest.raises(needle_rs.DeadlineExceeded) as caught:
        tools.decide(QUERY, deadline_ms=0)
    assert caught.value.code == "deadline_exceeded" and isinstance(caught.value, TimeoutError)


def test_cancelled_decisions(tools):
    cancel = _native.Cancel()
    cancel.cancel()
    with pytest.raises(needle_rs.Cancelled) as caught:
        tools._native.decide(QUERY, "{}", cancel)
    assert caught.value.code == "cancelled"


def test_models(tmp_path):
    with pytest.raises(needle_rs.ModelError, match="missing"):
        needle_rs.Model.open(tmp_path / "missing")
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(b"\x10")
    with pytest.raises(needle_rs.ModelError, match=r"model\.safetensors"):
        needle_rs.Model.open(str(damaged))


def test_values_that_python_itself_refuses(model, tools):
    with pytest.raises(TypeError, match="not JSON serializable"):
        model.compile([{"name": "a", "description": b""}])
    with pytest.raises(TypeError, match="str"):
        tools.decide_batch(QUERY)
    for query in (None, 3, b"bytes"):
        with pytest.raises(TypeError, match="'str'"):
            tools.decide(query)
    with pytest.raises(UnicodeEncodeError, match="surrogates"):
        tools.decide("\ud800")


def test_exceptions_in_listeners_end_the_decision(tools):
    def listener(kind: str, call: int, text: str) -> None:
        raise LookupError(kind)

    with pytest.raises(LookupError, match="text"):
        tools._native.stream(QUERY, "{}", _native.Cancel(), listener)


def test_every_code_and_reason_of_the_engine_is_known():
    assert sorted(_CLASSES) == sorted(_native.error_codes())
    assert [reason.value for reason in needle_rs.Reason] == _native.reasons()


def test_exceptions_can_be_pickled():
    error = from_code("tool", "tool a: wrong")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is needle_rs.ToolDefinitionError
    assert (copied.code, str(copied)) == ("tool", "tool a: wrong")
