"""LiteLLM: a provider that answers easy tool calls locally and asks a large model for everything else.

pip install "needle-rs[litellm]"; with OPENAI_API_KEY set, take "mock_response" out to ask a real large model.
"""

import json
import os
import sys

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else LiteLLM downloads its prices
import litellm

import needle_rs
from needle_rs.integrations.litellm import NeedleLLM


@needle_rs.tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


large = {"model": "openai/gpt-5-mini", "mock_response": "(the large model's answer)"}
litellm.custom_provider_map = [{"provider": "needle", "custom_handler": NeedleLLM(large, threshold=0)}]
tools = [{"type": "function", "function": dim_lights.definition}]
for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
    messages = [{"role": "user", "content": ask}]
    message = litellm.completion("needle/default", messages, tools=tools).choices[0].message
    results = [dim_lights.call(json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    print(ask, "->", *results, message.content or "")
