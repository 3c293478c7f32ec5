"""The model inside real LlamaIndex agents; the large model is LlamaIndex's own mock."""

import asyncio
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    # Its own affair.
    warnings.simplefilter("ignore")
    from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.llms.mock import MockFunctionCallingLLM

    from needle_rs.integrations.llama_index import NeedleLLM

pytestmark = pytest.mark.filterwarnings("ignore")
ASK = "dim the lights in the bedroom to 30 percent"


def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level}"


def make_large(fail: bool = False) -> tuple[MockFunctionCallingLLM, list[Any]]:
    """Says "done" and keeps what it was asked."""
    asked: list[Any] = []

    def answer(messages: Any, **kwargs: Any) -> ChatMessage:
        if fail:
            raise ConnectionError("no network")
        asked.append((list(messages), sorted(kwargs)))
        return ChatMessage(role="assistant", content="done")

    return MockFunctionCallingLLM(response_generator=answer), asked


def agent(large: Any, **options: Any) -> FunctionAgent:
    return FunctionAgent(tools=[dim_lights], llm=NeedleLLM(large, threshold=0), **options)


async def outputs(agent: FunctionAgent, ask: str) -> tuple[list[str], str]:
    handler = agent.run(ask)
    results = [e.tool_output.content async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    return results, str(await handler)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_local_answer_runs_the_tool(streaming):
    large, asked = make_large()
    assert await outputs(agent(large, streaming=streaming), ASK) == (["bedroom is at 30"], "done")
    assert len(asked) == 1


async def test_a_hand_off_asks_the_large_model_as_if_nothing_stood_before_it():
    (large, asked), (bare, bare_asked) = make_large(), make_large()
    await outputs(agent(large), "why is the sky blue")
    await outputs(FunctionAgent(tools=[dim_lights], llm=bare), "why is the sky blue")
    assert asked == bare_asked and len(asked) == 1


async def test_what_the_large_model_raises_is_raised():
    large, _ = make_large(fail=True)
    with pytest.raises(ConnectionError, match="no network"):
        await agent(large, streaming=False).run("why is the sky blue")


def test_without_tools_the_large_model_is_asked():
    large, asked = make_large()
    assert str(NeedleLLM(large).chat([ChatMessage(role="user", content=ASK)])) == "assistant: done"
    assert len(asked) == 1


async def test_sixteen_at_once():
    shared = agent(make_large()[0])
    runs = await asyncio.gather(
        *(outputs(shared, f"dim the lights in the bedroom to {n} percent") for n in range(1, 17))
    )
    assert [results for results, _ in runs] == [[f"bedroom is at {n}"] for n in range(1, 17)]
