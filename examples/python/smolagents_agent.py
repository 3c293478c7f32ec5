"""smolagents: a model in front of another one.

pip install "needle-rs[smolagents]"; put InferenceClientModel() in place of LargeModel.
"""

import sys

from smolagents import ToolCallingAgent, tool
from smolagents.models import ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole, Model

from needle_rs.integrations.smolagents import NeedleModel


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level.

    Args:
        room: Room where the lights are.
        level: Brightness in percent.
    """
    return f"{room} is at {level} %"


class LargeModel(Model):
    """Stands in for a large model, so that the example runs offline."""

    def generate(self, messages, **kwargs):
        answer = {"answer": "(the large model's answer)"}
        function = ChatMessageToolCallFunction(name="final_answer", arguments=answer)
        call = ChatMessageToolCall(id="1", type="function", function=function)
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
    agent = ToolCallingAgent(tools=[dim_lights], model=NeedleModel(LargeModel(), threshold=0), verbosity_level=0)
    answer = agent.run(ask)
    observed = [step.observations for step in agent.memory.steps if getattr(step, "observations", None)]
    print(ask, "->", *observed[:1], answer)
