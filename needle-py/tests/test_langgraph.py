"""The node inside real graphs of LangGraph; the large model is another node."""

import asyncio
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import InjectedState, ToolNode, tools_condition
from pydantic import BaseModel

from needle_rs import Reason, Router
from needle_rs.integrations.langgraph import NeedleNode

ASK = "dim the lights in the bedroom to 30 percent"
SKY = "why is the sky blue"


@tool
def dim_lights(room: str, level: int, state: Annotated[dict[str, Any], InjectedState]) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} after {len(state['messages'])} messages"


class Large:
    """Says "done" and keeps what it was asked."""

    def __init__(self, fail: bool = False) -> None:
        self.asked: list[list[tuple[str, Any]]] = []
        self.fail = fail

    def __call__(self, state: MessagesState) -> dict[str, list[AnyMessage]]:
        if self.fail:
            raise ConnectionError("no network")
        self.asked.append([(message.type, message.content) for message in state["messages"]])
        return {"messages": [AIMessage("done")]}


@pytest.fixture
def large() -> Large:
    return Large()


def bare(large: Large) -> StateGraph[MessagesState]:
    """The usual graph."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", large)
    builder.add_node("tools", ToolNode([dim_lights]))
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder


def graph(large: Large, node: NeedleNode | None = None, **options: Any) -> Any:
    """The same with a node before it."""
    builder = bare(large)
    builder.add_node(node or NeedleNode([dim_lights], threshold=0))
    builder.add_edge(START, "needle")
    builder.add_conditional_edges("needle", tools_condition, {"tools": "tools", END: "model"})
    return builder.compile(**options)


def test_a_local_answer_runs_the_tool(large):
    messages = graph(large).invoke({"messages": [HumanMessage(ASK)]})["messages"]
    assert isinstance(messages[1], AIMessage) and messages[1].response_metadata["model_name"] == "needle"
    assert 0 < messages[1].response_metadata["confidence"] <= 1
    assert isinstance(messages[2], ToolMessage) and messages[2].content == "bedroom is at 30 after 2 messages"
    # The tool's result is for the large model to put into words.
    assert messages[3].content == "done" and len(large.asked) == 1


def test_a_hand_off_asks_the_large_model_as_if_nothing_stood_before_it(large):
    ask = {"messages": [SystemMessage("Be brief."), HumanMessage(SKY)]}
    messages = graph(large).invoke(ask)["messages"]
    without = Large()
    builder = bare(without)
    builder.add_edge(START, "model")
    assert [m.content for m in messages] == [m.content for m in builder.compile().invoke(ask)["messages"]]
    assert large.asked == without.asked and len(large.asked) == 1


def test_shadow_mode_changes_nothing(large):
    seen = []
    node = NeedleNode([dim_lights], Router(threshold=0, shadow=True, on_decision=seen.append))
    messages = graph(large, node).invoke({"messages": [HumanMessage(ASK)]})["messages"]
    assert messages[1].content == "done" and seen[0].decision.is_call


def test_conversations(large):
    agent, thread = graph(large, checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    for ask in (ASK, SKY, "dim the lights in the bedroom to 20 percent"):
        messages = agent.invoke({"messages": [HumanMessage(ask)]}, thread)["messages"]
    results = [message.content for message in messages if isinstance(message, ToolMessage)]
    assert results == ["bedroom is at 30 after 2 messages", "bedroom is at 20 after 8 messages"]
    assert len(large.asked) == 3


async def test_streams(large):
    agent = graph(large)
    for ask, nodes in ((ASK, ["needle", "tools", "model"]), (SKY, ["needle", "model"])):
        state = {"messages": [HumanMessage(ask)]}
        steps = list(agent.stream(state, stream_mode="updates"))
        assert [next(iter(step)) for step in steps] == nodes
        assert [next(iter(step)) async for step in agent.astream(state, stream_mode="updates")] == nodes
    assert steps[0] == {"needle": None}
    streamed = [part async for part in agent.astream({"messages": [HumanMessage(ASK)]}, stream_mode="messages")]
    assert [(message.type, data["langgraph_node"]) for message, data in streamed] == [
        ("ai", "needle"),
        ("tool", "tools"),
        ("ai", "model"),
    ]
    assert streamed[0][0].tool_calls[0]["args"] == {"room": "bedroom", "level": 30}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([HumanMessage([{"type": "text", "text": ASK}, {"type": "image", "url": "x"}])], Reason.UNSUPPORTED_REQUEST),
        ([HumanMessage([{"type": "text-plain", "text": ASK}])], Reason.UNSUPPORTED_REQUEST),
        ([HumanMessage(ASK), AIMessage("done")], Reason.NOT_A_USER_TURN),
        ([HumanMessage(ASK), ToolMessage("done", tool_call_id="1")], Reason.NOT_A_USER_TURN),
        ([HumanMessage(ASK), SystemMessage("Be brief.")], None),
        ([HumanMessage([ASK])], None),
        ([{"role": "user", "content": ASK}], None),
    ],
)
def test_who_is_answered(messages, reason):
    seen = []
    update = NeedleNode([dim_lights], Router(threshold=0, on_decision=seen.append)).invoke({"messages": messages})
    assert (bool(update), seen[0].decision.reason) == (reason is None, reason)


def test_states_of_other_forms():
    class Chat(BaseModel):
        chat: Annotated[list[AnyMessage], add_messages]

    builder = StateGraph(Chat)
    builder.add_node(NeedleNode([dim_lights], messages_key="chat", threshold=0))
    builder.add_edge(START, "needle")
    state = builder.compile().invoke({"chat": [HumanMessage(ASK)]})
    assert state["chat"][1].tool_calls[0]["name"] == "dim_lights"


async def test_what_the_large_model_raises_is_raised():
    for ask in (ASK, SKY):
        with pytest.raises(ConnectionError, match="no network"):
            graph(Large(fail=True)).invoke({"messages": [HumanMessage(ask)]})
        with pytest.raises(ConnectionError, match="no network"):
            await graph(Large(fail=True)).ainvoke({"messages": [HumanMessage(ask)]})


async def test_sixteen_at_once(large):
    agent = graph(large)
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    runs = await asyncio.gather(*(agent.ainvoke({"messages": [HumanMessage(ask)]}) for ask in asks))
    levels = [f"bedroom is at {level} after 2 messages" for level in range(1, 17)]
    assert [run["messages"][2].content for run in runs] == levels
    assert len({run["messages"][1].tool_calls[0]["id"] for run in runs}) == 16
