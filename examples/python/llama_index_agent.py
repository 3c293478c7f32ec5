"""LlamaIndex: a model in front of another one.

pip install "needle-rs[llama-index]"; put OpenAI(model="gpt-5-mini") of llama-index-llms-openai in place of the mock.
"""

import asyncio
import sys

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM

from needle_rs.integrations.llama_index import NeedleLLM


def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


def large_model(messages, **kwargs):
    return ChatMessage(role="assistant", content="(the large model's answer)")


async def main() -> None:
    large = MockFunctionCallingLLM(response_generator=large_model)
    agent = FunctionAgent(tools=[dim_lights], llm=NeedleLLM(large, threshold=0))
    for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
        handler = agent.run(ask)
        results = [e.tool_output.content async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
        print(ask, "->", *results, await handler)


asyncio.run(main())
