"""OpenAI Agents SDK: a model in front of another one.

pip install "needle-rs[openai-agents]"; put OpenAIResponsesModel("gpt-5-mini", client) in place of LargeModel.
"""

import asyncio
import sys

from agents import Agent, RunConfig, Runner, function_tool
from agents.items import ModelResponse
from agents.models.interface import Model
from agents.usage import Usage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from needle_rs.integrations.openai_agents import NeedleModel


@function_tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


class LargeModel(Model):
    """Stands in for a large model, so that the example runs offline."""

    async def get_response(self, *args, **kwargs):
        text = ResponseOutputText(text="(the large model's answer)", type="output_text", annotations=[])
        message = ResponseOutputMessage(id="1", role="assistant", status="completed", type="message", content=[text])
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args, **kwargs):
        raise NotImplementedError


async def main() -> None:
    agent = Agent(name="home", tools=[dim_lights], model=NeedleModel(LargeModel(), threshold=0))
    for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
        run = await Runner.run(agent, ask, run_config=RunConfig(tracing_disabled=True))
        for item in run.new_items:
            raw = item.raw_item
            print(item.type, getattr(raw, "arguments", None) or getattr(item, "output", None) or run.final_output)


asyncio.run(main())
