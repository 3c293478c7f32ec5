"""The generator inside Haystack's own fallback, agents and pipelines; the large model is one of a few lines."""

import asyncio
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
from haystack import Pipeline, component
from haystack.components.agents import Agent
from haystack.components.generators.chat import FallbackChatGenerator
from haystack.components.generators.utils import _convert_streaming_chunks_to_chat_message
from haystack.core.errors import SerializationError
from haystack.core.serialization import allow_deserialization_module
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.tools import Toolset, tool

from needle_rs import Reason, Router
from needle_rs.integrations.haystack import NeedleChatGenerator, NeedleHandOff

ASK, BEYOND = "dim the lights in the bedroom to 30 percent", "why is the sky blue"


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level}"


@component
class Large:
    """Says "done", refuses whoever asks for it, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        generation_kwargs: Any = None,
        tools: Any = None,
        streaming_callback: Any = None,
    ) -> dict[str, Any]:
        self.asked.append((messages, generation_kwargs, tools, streaming_callback))
        if messages[-1].text == "refuse":
            raise ConnectionError("slow down")
        if streaming_callback is not None:
            streaming_callback(StreamingChunk("done", index=0))
        return {"replies": [ChatMessage.from_assistant("done")]}


@pytest.fixture
def large() -> Any:
    return Large()


def agent(large: Any, **options: Any) -> Agent:
    chat_generator = FallbackChatGenerator([NeedleChatGenerator(threshold=0), large])
    return Agent(chat_generator=chat_generator, tools=[dim_lights], **options)


def results(run: dict[str, Any]) -> list[Any]:
    return [message.tool_call_result.result for message in run["messages"] if message.tool_call_result]


def user(ask: str) -> list[ChatMessage]:
    return [ChatMessage.from_user(ask)]


async def both(one: Any, **request: Any) -> list[Any]:
    """What a component returns without and with waiting."""
    return [one.run(**request), await one.run_async(**request)]


async def test_a_local_answer_runs_the_tool(large):
    for run in await both(agent(large), messages=user(ASK)):
        assert results(run) == ["bedroom is at 30"]
        (call,) = run["messages"][1].tool_calls
        assert call.id and call.id == run["messages"][2].tool_call_result.origin.id
        meta = run["messages"][1].meta
        assert meta["model"] == "needle" and meta["finish_reason"] == "tool_calls" and 0 < meta["confidence"] <= 1
        # The tool's result is for the large model to put into words.
        assert run["last_message"].text == "done"
    assert len(large.asked) == 2


async def test_a_hand_off_asks_the_large_model_as_if_nothing_stood_before_it(large):
    request = {"messages": user(BEYOND), "generation_kwargs": {"temperature": 0.5}}
    with_needle = await both(agent(large, system_prompt="Be brief."), **request)
    bare = Large()
    fallback = FallbackChatGenerator([bare])
    without = await both(Agent(chat_generator=fallback, tools=[dim_lights], system_prompt="Be brief."), **request)
    assert large.asked == bare.asked and len(large.asked) == 2
    assert large.asked[0][1:3] == ({"temperature": 0.5}, [dim_lights])
    assert [run["last_message"].text for run in (*with_needle, *without)] == ["done"] * 4


async def test_what_the_large_model_raises_is_raised(large):
    with pytest.raises(RuntimeError, match="Last error: slow down"):
        agent(large).run(user("refuse"))
    with pytest.raises(RuntimeError, match="Last error: slow down"):
        await agent(large).run_async(user("refuse"))


async def test_streams(large):
    chunks: list[StreamingChunk] = []
    seen: list[StreamingChunk] = []

    async def see(chunk: StreamingChunk) -> None:
        seen.append(chunk)

    reply = NeedleChatGenerator([dim_lights], chunks.append, threshold=0).run(ASK)["replies"][0]
    assert _convert_streaming_chunks_to_chat_message(chunks).tool_calls == reply.tool_calls
    assert json.loads(chunks[-1].tool_calls[0].arguments) == {"room": "bedroom", "level": 30}
    assert chunks[0].start and chunks[-1].finish_reason == "tool_calls"
    agent(large).run(user(ASK), streaming_callback=chunks.append)
    kinds = ["tool_calls" if c.tool_calls else "result" if c.tool_call_result else c.content for c in chunks[1:]]
    assert [kind for kind in kinds if kind] == ["tool_calls", "result", "done"]
    await NeedleChatGenerator([dim_lights], threshold=0).run_async(ASK, see)
    assert [chunk.tool_calls[0].tool_name for chunk in seen] == ["dim_lights"]


async def test_several_calls_are_several_chunks():
    chunks: list[StreamingChunk] = []
    generator = NeedleChatGenerator(Toolset([dim_lights]), chunks.append, threshold=0)
    ask = "dim the lights in the bedroom to 30 percent and dim the kitchen lights to 20 percent"
    calls = generator.run(ask)["replies"][0].tool_calls
    assert [call.arguments["room"] for call in calls] == ["bedroom", "kitchen"]
    assert _convert_streaming_chunks_to_chat_message(chunks).tool_calls == calls
    assert [chunk.finish_reason for chunk in chunks] == [None, "tool_calls"]


async def test_a_hand_off_says_why():
    generator = NeedleChatGenerator([dim_lights], threshold=0)
    for request, reason in (
        ({"messages": BEYOND}, Reason.NO_MATCHING_TOOL),
        ({"messages": ASK, "generation_kwargs": {"n": 2}}, Reason.UNSUPPORTED_REQUEST),
        ({"messages": ASK, "generation_kwargs": {"tools": [{"type": "web_search"}]}}, Reason.UNSUPPORTED_REQUEST),
        ({"messages": [*user(ASK), ChatMessage.from_assistant("well")]}, Reason.NOT_A_USER_TURN),
        ({"messages": ASK, "tools": []}, Reason.NO_MATCHING_TOOL),
    ):
        with pytest.raises(NeedleHandOff, match=str(reason)) as hand_off:
            generator.run(**request)
        assert hand_off.value.decision.reason is reason
        with pytest.raises(NeedleHandOff, match=str(reason)):
            await generator.run_async(**request)
    again = pickle.loads(pickle.dumps(hand_off.value))
    assert str(again) == str(hand_off.value)


async def test_sixteen_at_once(large):
    shared = agent(large)
    asks = [user(f"dim the lights in the bedroom to {level} percent") for level in range(1, 17)]
    expected = [[f"bedroom is at {level}"] for level in range(1, 17)]
    runs = await asyncio.gather(*(shared.run_async(ask) for ask in asks))
    assert [results(run) for run in runs] == expected
    with ThreadPoolExecutor(16) as pool:
        assert [results(run) for run in pool.map(shared.run, asks)] == expected


def note(chunk: StreamingChunk) -> None:
    """A callback that can be saved."""


def test_pipelines_save_it():
    allow_deserialization_module("needle_rs.*")
    allow_deserialization_module("test_haystack")
    options = {"temperature": 0.5}
    generator = NeedleChatGenerator(
        [dim_lights], note, options, threshold=0, thresholds={"dim_lights": 0.25}, never=["x"]
    )
    pipeline = Pipeline()
    pipeline.add_component("llm", FallbackChatGenerator([generator]))
    loaded = Pipeline.loads(pipeline.dumps())
    again = loaded.get_component("llm").chat_generators[0]
    assert again.to_dict() == generator.to_dict()
    assert (again.tools, again.streaming_callback, again.generation_kwargs) == ([dim_lights], note, options)
    (reply,) = loaded.run({"llm": {"messages": user(ASK)}})["llm"]["replies"]
    assert reply.tool_call.arguments == {"room": "bedroom", "level": 30}
    denied = NeedleChatGenerator.from_dict(NeedleChatGenerator([dim_lights], never=["dim_lights"]).to_dict())
    with pytest.raises(NeedleHandOff, match="denied_tool"):
        denied.run(ASK)
    with pytest.raises(SerializationError, match="give its policy"):
        NeedleChatGenerator(router=Router()).to_dict()


def test_shadow_mode_changes_nothing(large):
    seen: list[Any] = []
    generator = NeedleChatGenerator(router=Router(threshold=0, shadow=True, on_decision=seen.append))
    shadowed = Agent(chat_generator=FallbackChatGenerator([generator, large]), tools=[dim_lights])
    assert shadowed.run(user(ASK))["last_message"].text == "done" and seen[0].decision.is_call
    assert len(large.asked) == 1
    with pytest.raises(NeedleHandOff, match="shadow mode"):
        generator.run(ASK, tools=[dim_lights])
