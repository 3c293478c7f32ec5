"""Google ADK: a plugin answers easy tool calls locally, the agent's own model everything else.

pip install "needle-rs[google-adk]"; with GOOGLE_API_KEY set, put "gemini-3.5-flash" in place of LargeModel.
"""

import asyncio
import sys

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

from needle_rs.integrations.google_adk import NeedlePlugin


def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


class LargeModel(BaseLlm):
    """Stands in for a large model, so that the example runs offline."""

    async def generate_content_async(self, llm_request, stream=False):
        parts = [types.Part(text="(the large model's answer)")]
        yield LlmResponse(content=types.Content(role="model", parts=parts))


async def main() -> None:
    agent = LlmAgent(name="home", model=LargeModel(model="large"), tools=[dim_lights])
    runner = InMemoryRunner(app=App(name="home", root_agent=agent, plugins=[NeedlePlugin(threshold=0)]))
    for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
        for event in await runner.run_debug(ask, quiet=True):
            calls = [f"{call.name}({call.args})" for call in event.get_function_calls()]
            results = [result.response["result"] for result in event.get_function_responses()]
            print(*calls, *results, *(part.text for part in event.content.parts if part.text))


asyncio.run(main())
