"""Haystack: a chat generator in front of another one, through the framework's own fallback.

pip install "needle-rs[haystack]"; put OpenAIChatGenerator() in place of MockChatGenerator to ask a real large model.
"""

import os
import sys

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
from haystack.components.agents import Agent
from haystack.components.generators.chat import FallbackChatGenerator, MockChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool

from needle_rs.integrations.haystack import NeedleChatGenerator


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


large = MockChatGenerator("(the large model's answer)")
agent = Agent(chat_generator=FallbackChatGenerator([NeedleChatGenerator(threshold=0), large]), tools=[dim_lights])
for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
    run = agent.run([ChatMessage.from_user(ask)])
    results = [message.tool_call_result.result for message in run["messages"] if message.tool_call_result]
    print(ask, "->", *results, run["last_message"].text)
