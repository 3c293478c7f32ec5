"""Functions that are run, and objects that are extracted."""

import dataclasses
import threading

import pydantic
import pytest

import needle_rs

DIM = "dim the lights in the bedroom to 30 percent"
TIMER = "set a timer for 10 minutes"


@needle_rs.tool
def dim_lights(level: int, room: str = "all") -> str:
    """Set the brightness of the lights in a room."""
    return f"{room}: {level}"


async def set_timer(minutes: int) -> int:
    """Start a countdown timer."""
    return minutes


@pytest.fixture(scope="module")
def tools(model) -> needle_rs.Toolset:
    return model.compile([dim_lights, set_timer])


def test_functions_are_run_with_the_decided_arguments(tools):
    run = tools.run(DIM, threshold=0.0)
    assert run.results == ["bedroom: 30"]
    assert run.decision.calls == [needle_rs.Call("dim_lights", {"level": 30, "room": "bedroom"})]


def test_a_hand_off_runs_nothing(tools):
    run = tools.run(DIM, threshold=1.0)
    assert run.results == [] and run.decision.reason is needle_rs.Reason.LOW_CONFIDENCE


async def test_asynchronous_functions_are_awaited(tools):
    assert (await tools.arun(TIMER, threshold=0.0)).results == [10]


async def test_other_functions_do_not_block_the_loop(model):
    @needle_rs.tool(name="set_timer")
    def thread_of_timer(minutes: int) -> threading.Thread:
        """Start a countdown timer."""
        return threading.current_thread()

    run = await model.compile([thread_of_timer]).arun(TIMER, threshold=0.0)
    assert run.results != [threading.current_thread()]


def test_asynchronous_functions_are_not_run_synchronously(tools):
    with pytest.raises(TypeError, match="set_timer is asynchronous; await arun"):
        tools.run(TIMER, threshold=0.0)


def test_tools_without_function_are_not_run(model):
    tools = model.compile([{"name": "set_timer", "description": "Start a timer.", "parameters": {}}])
    with pytest.raises(TypeError, match="was not compiled from a function"):
        tools.run("start a timer", threshold=0.0)


def test_exceptions_of_functions_are_raised(model):
    def set_timer(minutes: int) -> None:
        """Start a countdown timer."""
        raise LookupError(minutes)

    with pytest.raises(LookupError, match="10"):
        model.compile([set_timer]).run(TIMER, threshold=0.0)


@dataclasses.dataclass
class Timer:
    """Start a countdown timer."""

    minutes: int


class Countdown(pydantic.BaseModel):
    """Start a countdown timer."""

    minutes: int


@pytest.mark.parametrize("kind", [Timer, Countdown])
def test_objects_are_extracted(model, kind):
    assert needle_rs.extract(TIMER, kind, model=model, threshold=0.0) == kind(minutes=10)
    assert needle_rs.extract(TIMER, kind, threshold=1.0) is None
