"""LangChain: easy tool calls are answered locally, everything else by the agent's own model.

pip install "needle-rs[langchain]"; with OPENAI_API_KEY set, also langchain-openai and model="openai:gpt-5-mini".
"""

import sys

from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.tools import tool

from needle_rs.integrations.langchain import NeedleMiddleware


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


class LargeModel(FakeListChatModel):
    """Stands in for a large model, so that the example runs offline."""

    def bind_tools(self, tools, **kwargs):
        return self


large = LargeModel(responses=["(the large model's answer)"])
agent = create_agent(large, [dim_lights], middleware=[NeedleMiddleware(threshold=0)])
for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
    for message in agent.invoke({"messages": [{"role": "user", "content": ask}]})["messages"]:
        calls = [f"{c['name']}({c['args']})" for c in getattr(message, "tool_calls", [])]
        print(f"{message.type:5} {message.content or ', '.join(calls)}")
