"""Decisions from Python: objects, threads, tasks, streams, forks and pickles."""

import asyncio
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import needle_rs
from needle_rs import Done, Reason, Text, ToolNamed

ROOT = Path(__file__).parents[2]
TOOLS = (ROOT / "examples/tools.json").read_text("utf-8")
QUERY = "dim the bedroom lights to 30 percent"
CALL = needle_rs.Call("dim_lights", {"level": 30, "room": "bedroom"})


@pytest.fixture(scope="module")
def model() -> needle_rs.Model:
    return needle_rs.Model.default()


@pytest.fixture(scope="module")
def tools(model) -> needle_rs.Toolset:
    return model.compile(TOOLS)


def test_a_call(tools):
    decision = tools.decide(QUERY)
    assert decision.is_call and decision.reason is None
    assert decision.calls == [CALL]
    assert 0.0 < decision.confidence <= 1.0
    assert decision.timings.total_ms > 0.0
    plain = decision.to_dict()
    assert plain["decision"] == "call" and plain["calls"] == [{"name": CALL.name, "arguments": CALL.arguments}]


def test_a_hand_off(tools):
    decision = tools.decide(QUERY, threshold=1.0)
    assert not decision.is_call and decision.calls == []
    assert decision.reason is Reason.LOW_CONFIDENCE
    assert decision.suppressed_calls == [CALL]
    assert decision.to_dict()["suppressed_calls"][0]["name"] == CALL.name


def test_a_batch_decides_like_single_queries(tools):
    queries = [QUERY, "", "set a timer for ten minutes"]
    batch = tools.decide_batch(queries)
    assert [d.calls for d in batch] == [tools.decide(q).calls for q in queries]
    assert batch[1].reason is Reason.NOT_A_USER_TURN


def test_threads_share_tools(tools):
    with ThreadPoolExecutor(16) as pool:
        decisions = list(pool.map(lambda _: tools.decide(QUERY), range(200)))
    assert {str(d.calls) for d in decisions} == {str([CALL])}


def test_several_threads_decide_alike(model, tools):
    assert model.compile(TOOLS, threads=2).decide(QUERY).calls == tools.decide(QUERY).calls


def test_streams_end_with_the_decision(tools):
    events = list(tools.stream(QUERY))
    assert isinstance(events[-1], Done) and events[-1].decision.calls == [CALL]
    assert ToolNamed(0, "dim_lights") in events
    text = "".join(e.text for e in events if isinstance(e, Text))
    assert text.startswith('[{"name":"dim_lights"')


def test_a_stream_may_be_left_early(tools):
    for _ in tools.stream(QUERY):
        break
    assert tools.decide(QUERY).calls == [CALL]


async def test_tasks_decide_and_stream(tools):
    decisions = await asyncio.gather(*(tools.adecide(QUERY) for _ in range(16)))
    assert all(d.calls == [CALL] for d in decisions)
    events = [event async for event in tools.astream(QUERY)]
    assert isinstance(events[-1], Done) and events[-1].decision.calls == [CALL]


async def test_a_cancelled_task_ends(tools):
    task = asyncio.create_task(tools.adecide(QUERY))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await tools.adecide(QUERY)).calls == [CALL]


def test_errors_have_classes_codes_and_remedies(model, tools, tmp_path):
    with pytest.raises(needle_rs.ToolDefinitionError, match="give every tool its own name") as caught:
        model.compile([{"name": "a"}, {"name": "a"}])
    assert caught.value.code == "tool" and isinstance(caught.value, ValueError)
    with pytest.raises(needle_rs.ToolDefinitionError):
        model.compile("not json")
    with pytest.raises(needle_rs.ToolDefinitionError, match="web_search"):
        model.compile([{"type": "web_search"}])
    with pytest.raises(TypeError, match="is no tool"):
        model.compile([3])
    with pytest.raises(needle_rs.OptionError, match="0 to 1"):
        tools.decide(QUERY, threshold=2.0)
    with pytest.raises(needle_rs.OptionError, match="treshold"):
        tools.decide(QUERY, treshold=0.5)
    with pytest.raises(needle_rs.OptionError, match="threads"):
        model.compile(TOOLS, threads=0)
    with pytest.raises(needle_rs.DeadlineExceeded) as caught:
        tools.decide(QUERY, deadline_ms=0)
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(needle_rs.ModelError):
        needle_rs.Model.open(tmp_path / "missing")
    (tmp_path / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(needle_rs.ModelError):
        needle_rs.Model.open(tmp_path / "model.safetensors")
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.code == "deadline_exceeded"


def test_errors_inside_streams_are_raised(tools):
    with pytest.raises(needle_rs.OptionError):
        list(tools.stream(QUERY, max_calls=0))


def test_models_are_pickled_and_compiled_tools_are_not(model, tools):
    assert pickle.loads(pickle.dumps(model)).config == model.config
    opened = needle_rs.Model.open(ROOT / "models/default")
    assert pickle.loads(pickle.dumps(opened)).compile(TOOLS).decide(QUERY).calls == [CALL]
    with pytest.raises(TypeError, match="compile the tools in the other process"):
        pickle.dumps(tools)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_decides(model):
    tools = model.compile(TOOLS, threads=2)
    tools.decide(QUERY)
    child = os.fork()
    if child == 0:
        os._exit(0 if tools.decide(QUERY).calls == [CALL] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tools.decide(QUERY).calls == [CALL]


def test_the_command_is_installed():
    command = Path(sys.executable).parent / "needle"
    arguments = [command, "run", "--tools", ROOT / "examples/tools.json", "--query", QUERY]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout == '[{"name":"dim_lights","arguments":{"level":30,"room":"bedroom"}}]\n'


def test_the_readme_runs():
    text = (ROOT / "needle-py/README.md").read_text("utf-8")
    snippet = text.split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    assert "Call(name='dim_lights', arguments={'level': 30, 'room': 'bedroom'})" in done.stdout
    assert "['bedroom: 30 %']" in done.stdout


def test_the_trainer_is_found_without_loading_the_engine():
    check = "import needle_rs.train, sys; assert 'needle_rs._native' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
