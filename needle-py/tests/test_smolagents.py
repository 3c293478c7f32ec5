"""The model inside real agents of smolagents; the large model is one of three lines."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from smolagents import AgentGenerationError, ToolCallingAgent, tool
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole, Model

from needle_rs.integrations.smolagents import NeedleModel

pytestmark = pytest.mark.filterwarnings("ignore")
ASK = "dim the lights in the bedroom to 30 percent"


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level.

    Args:
        room: Room where the lights are.
        level: Brightness in percent.
    """
    return f"{room} is at {level}"


class Large(Model):
    """Ends the run with "done" and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(model_id="large")
        self.asked: list[Any] = []

    def generate(self, messages: Any, **kwargs: Any) -> ChatMessage:
        self.asked.append((messages, kwargs))
        function = ChatMessageToolCallFunction(name="final_answer", arguments={"answer": "done"})
        call = ChatMessageToolCall(id="1", type="function", function=function)
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


def run(ask: str) -> tuple[list[str], Any, Large]:
    large = Large()
    agent = ToolCallingAgent(tools=[dim_lights], model=NeedleModel(large, threshold=0), verbosity_level=0)
    answer = agent.run(ask)
    steps = [step for step in agent.memory.steps if getattr(step, "tool_calls", None)]
    return [step.observations for step in steps if step.tool_calls[0].name != "final_answer"], answer, large


def test_a_local_answer_runs_the_tool():
    observed, answer, large = run(ASK)
    assert (observed, answer, len(large.asked)) == (["bedroom is at 30"], "done", 1)


def test_a_hand_off_passes_the_request_on_as_it_came():
    observed, answer, large = run("why is the sky blue")
    bare = Large()
    ToolCallingAgent(tools=[dim_lights], model=bare, verbosity_level=0).run("why is the sky blue")
    assert (observed, answer) == ([], "done")
    ((messages, options),), ((bare_messages, bare_options),) = large.asked, bare.asked
    assert messages == bare_messages
    assert [t.name for t in options["tools_to_call_from"]] == [t.name for t in bare_options["tools_to_call_from"]]


def test_streams():
    agent = ToolCallingAgent(
        tools=[dim_lights], model=NeedleModel(Large(), threshold=0), verbosity_level=0, stream_outputs=True, max_steps=1
    )
    outputs = [step.output for step in agent.run(ASK, stream=True) if type(step).__name__ == "ToolOutput"]
    assert outputs == ["bedroom is at 30"]


def test_what_the_large_model_raises_is_raised(monkeypatch):
    def fail(*args: Any, **kwargs: Any) -> ChatMessage:
        raise ConnectionError("no network")

    monkeypatch.setattr(Large, "generate", fail)
    with pytest.raises(AgentGenerationError, match="no network"):
        run("why is the sky blue")


def test_sixteen_at_once():
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    with ThreadPoolExecutor(16) as pool:
        observed = [result[0] for result in pool.map(run, asks)]
    assert observed == [[f"bedroom is at {level}"] for level in range(1, 17)]
