"""The model inside real agents of the OpenAI Agents SDK, whose strict schemas require every argument."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.items import ModelResponse, TResponseStreamEvent
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from needle_rs.integrations.openai_agents import NeedleModel

ASK = "dim the lights in the bedroom to 30 percent"
CONFIG = RunConfig(tracing_disabled=True)


class Large(Model):
    """Says "done" and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        self.asked.append(inspect.signature(Model.get_response).bind(self, *args, **kwargs).arguments | {"self": None})
        text = ResponseOutputText(text="done", type="output_text", annotations=[])
        message = ResponseOutputMessage(id="1", role="assistant", status="completed", type="message", content=[text])
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        from needle_rs.integrations.openai_agents import _events

        response = await self.get_response(*args, **kwargs)
        for event in _events(response.output):
            yield event


@function_tool
def dim_lights(room: str, level: int, scene: str | None = None) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} with {scene}"


@pytest.fixture
def large() -> Large:
    return Large()


def agent(large: Large, **options: Any) -> Agent[Any]:
    return Agent(name="home", tools=[dim_lights], model=NeedleModel(large, threshold=0), **options)


def outputs(result: Any) -> list[str]:
    return [item.output for item in result.new_items if item.type == "tool_call_output_item"]


async def test_a_local_answer_runs_the_tool(large):
    result = await Runner.run(agent(large), ASK, run_config=CONFIG)
    assert outputs(result) == ["bedroom is at 30 with None"]
    assert result.final_output == "done" and len(large.asked) == 1


async def test_a_hand_off_passes_the_request_on_as_it_came(large):
    bare = Large()
    await Runner.run(agent(large), "why is the sky blue", run_config=CONFIG)
    await Runner.run(Agent(name="home", tools=[dim_lights], model=bare), "why is the sky blue", run_config=CONFIG)
    assert large.asked == bare.asked and len(large.asked) == 1


async def test_other_agents_and_structured_output_are_for_the_large_model(large):
    await Runner.run(agent(large, handoffs=[Agent(name="other")]), ASK, run_config=CONFIG)
    assert len(large.asked) == 1


async def test_streams(large):
    result = Runner.run_streamed(agent(large), ASK, run_config=CONFIG)
    kinds = [event.name async for event in result.stream_events() if event.type == "run_item_stream_event"]
    assert kinds == ["tool_called", "tool_output", "message_output_created"]
    assert outputs(result) == ["bedroom is at 30 with None"]


async def test_what_the_large_model_raises_is_raised(large):
    async def fail(*args: Any, **kwargs: Any) -> ModelResponse:
        raise ConnectionError("no network")

    large.get_response = fail  # type: ignore[method-assign]
    with pytest.raises(ConnectionError, match="no network"):
        await Runner.run(agent(large), "why is the sky blue", run_config=CONFIG)


async def test_sixteen_at_once(large):
    shared = agent(large)
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    runs = await asyncio.gather(*(Runner.run(shared, ask, run_config=CONFIG) for ask in asks))
    assert [outputs(run) for run in runs] == [[f"bedroom is at {level} with None"] for level in range(1, 17)]
