"""The middleware inside real LangChain agents; the large model is LangChain's own fake."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from needle_rs.integrations.langchain import NeedleMiddleware, NeedleToolSelector

ASK = "dim the lights in the bedroom to 30 percent"


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    if level > 100:
        raise ValueError("too bright")
    return f"{room} is at {level}"


class LargeModel(BaseChatModel):
    """Says "done" and keeps what it was asked."""

    asked: list[Any]

    @property
    def _llm_type(self) -> str:
        return "large"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[t.name for t in tools], **kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any):
        self.asked.append((messages, kwargs))
        return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])


@pytest.fixture
def large() -> LargeModel:
    return LargeModel(asked=[])


def agent(large: LargeModel, **policy: Any) -> Any:
    return create_agent(large, [dim_lights], middleware=[NeedleMiddleware(**({"threshold": 0} | policy))])


def test_a_local_answer_runs_the_tool(large):
    messages = agent(large).invoke({"messages": [HumanMessage(ASK)]})["messages"]
    assert isinstance(messages[1], AIMessage) and messages[1].response_metadata["model_name"] == "needle"
    assert 0 < messages[1].response_metadata["confidence"] <= 1
    assert isinstance(messages[2], ToolMessage) and messages[2].content == "bedroom is at 30"
    # The tool's result is for the large model to put into words.
    assert messages[3].content == "done" and len(large.asked) == 1


def test_a_hand_off_asks_the_large_model_as_if_nothing_stood_before_it(large):
    ask = {"messages": [HumanMessage("why is the sky blue")]}
    agent(large).invoke(ask)
    bare = LargeModel(asked=[])
    create_agent(bare, [dim_lights]).invoke(ask)
    (with_needle,), (without,) = large.asked, bare.asked
    assert [m.content for m in with_needle[0]] == [m.content for m in without[0]]
    assert with_needle[1] == without[1]


def test_what_openai_has_no_form_for_is_handed_off(large):
    document = {"type": "text-plain", "text": "a manual", "mime_type": "text/plain"}
    message = HumanMessage([{"type": "text", "text": ASK}, document])
    assert agent(large).invoke({"messages": [message]})["messages"][1].content == "done"
    assert large.asked[0][0] == [message]


def test_shadow_mode_changes_nothing(large):
    from needle_rs import Router

    seen = []
    middleware = NeedleMiddleware(Router(threshold=0, shadow=True, on_decision=seen.append))
    messages = create_agent(large, [dim_lights], middleware=[middleware]).invoke({"messages": [HumanMessage(ASK)]})
    assert messages["messages"][1].content == "done" and seen[0].decision.is_call


async def test_tasks_and_streams(large):
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    runs = await asyncio.gather(*(agent(large).ainvoke({"messages": [HumanMessage(ask)]}) for ask in asks))
    assert [run["messages"][2].content for run in runs] == [f"bedroom is at {level}" for level in range(1, 17)]
    steps = [step async for step in agent(large).astream({"messages": [HumanMessage(ASK)]}, stream_mode="updates")]
    assert [next(iter(step)) for step in steps] == ["model", "tools", "model"]


def test_what_a_tool_raises_is_raised(large):
    with pytest.raises(ValueError, match="too bright"):
        agent(large).invoke({"messages": [HumanMessage("dim the lights in the bedroom to 300 percent")]})


def test_what_the_large_model_raises_is_raised(large, monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> ChatResult:
        raise ConnectionError("no network")

    monkeypatch.setattr(LargeModel, "_generate", fail)
    with pytest.raises(ConnectionError, match="no network"):
        agent(large).invoke({"messages": [HumanMessage("why is the sky blue")]})


def test_the_large_model_is_shown_the_nearest_tools(large):
    @tool
    def play_song(title: str) -> str:
        """Play a song by its title."""
        return title

    @tool
    def send_email(to: str) -> str:
        """Send an email to somebody."""
        return to

    tools = [send_email, dim_lights, play_song]
    for always, shown in (((), ["dim_lights"]), (("send_email",), ["send_email", "dim_lights"])):
        middleware = [NeedleToolSelector(1, always=always)]
        create_agent(large, tools, middleware=middleware).invoke({"messages": [HumanMessage(ASK)]})
        assert large.asked[-1][1]["tools"] == shown
