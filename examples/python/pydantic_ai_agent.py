"""Pydantic AI: a model in front of another one, through the framework's own fallback.

pip install "needle-rs[pydantic-ai]"; put "openai:gpt-5-mini" in place of TestModel to ask a real large model.
"""

import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.test import TestModel

from needle_rs.integrations.pydantic_ai import NeedleHandOff, NeedleModel

large = TestModel(call_tools=[], custom_output_text="(the large model's answer)")
agent = Agent(FallbackModel(NeedleModel(threshold=0), large, fallback_on=NeedleHandOff))


@agent.tool_plain
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
    run = agent.run_sync(ask)
    calls = [part for message in run.all_messages() for part in message.parts if isinstance(part, ToolCallPart)]
    print(ask, "->", *(f"{call.tool_name}({call.args})" for call in calls), run.output)
