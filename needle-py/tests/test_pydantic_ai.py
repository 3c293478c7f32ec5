"""The model inside real Pydantic AI agents; the large model is Pydantic AI's own function model."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel

from needle_rs import Reason
from needle_rs.integrations.pydantic_ai import NeedleHandOff, NeedleModel

ASK = "dim the lights in the bedroom to 30 percent"


class Large:
    """Says "done" and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[ModelMessage], AgentInfo]] = []
        self.model = FunctionModel(self.answer, stream_function=self.stream)

    def answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.asked.append((messages, info))
        if info.output_tools:
            return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"text": "done"})])
        return ModelResponse(parts=[TextPart("done")])

    async def stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        self.asked.append((messages, info))
        yield "done"


@pytest.fixture
def large() -> Large:
    return Large()


def agent(large: Large, **options) -> Agent:
    model = FallbackModel(NeedleModel(threshold=0), large.model, fallback_on=NeedleHandOff)
    made = Agent(model, **options)

    @made.tool_plain
    def dim_lights(room: str, level: int) -> str:
        """Dim the lights in a room to a brightness level."""
        return f"{room} is at {level}"

    return made


async def test_a_local_answer_runs_the_tool(large):
    result = await agent(large).run(ASK)
    messages = result.all_messages()
    assert isinstance(messages[1], ModelResponse) and messages[1].model_name == "needle"
    assert 0 < messages[1].provider_details["confidence"] <= 1
    (returned,) = [p for p in messages[2].parts if isinstance(p, ToolReturnPart)]
    assert returned.content == "bedroom is at 30"
    assert result.output == "done" and len(large.asked) == 1


async def test_a_hand_off_asks_the_large_model(large):
    result = await agent(large).run("why is the sky blue")
    ((messages, info),) = large.asked
    assert result.output == "done" and messages[0].parts[0].content == "why is the sky blue"
    assert [t.name for t in info.function_tools] == ["dim_lights"]


async def test_structured_output_and_media_are_for_the_large_model(large):
    class Answer(BaseModel):
        text: str

    result = await agent(large, output_type=Answer).run(ASK)
    assert result.output == Answer(text="done") and len(large.asked) == 1


async def test_streams(large):
    async with agent(large).run_stream(ASK) as run:
        assert [text async for text in run.stream_text()] == ["done"]
    names = [p.tool_name for m in run.all_messages() for p in m.parts if isinstance(p, ToolCallPart)]
    assert names == ["dim_lights"] and len(large.asked) == 1


async def test_without_a_large_model_the_hand_off_is_raised():
    with pytest.raises(NeedleHandOff) as raised:
        await Agent(NeedleModel()).run("why is the sky blue")
    assert raised.value.decision.reason == Reason.NO_MATCHING_TOOL


async def test_sixteen_at_once(large):
    shared = agent(large)
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    runs = await asyncio.gather(*(shared.run(ask) for ask in asks))
    levels = [run.all_messages()[2].parts[0].content for run in runs]
    assert levels == [f"bedroom is at {level}" for level in range(1, 17)]
