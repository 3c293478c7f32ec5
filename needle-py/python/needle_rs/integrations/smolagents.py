"""smolagents: a model in front of another one, for agents that call tools.

ToolCallingAgent(tools=[…], model=NeedleModel(InferenceClientModel()))
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from smolagents import Tool
from smolagents.models import (
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    ChatMessageToolCallStreamDelta,
    MessageRole,
    Model,
    get_tool_json_schema,
)
from smolagents.monitoring import TokenUsage

from .._decision import Call
from .._router import Policy, Router, call_id

if TYPE_CHECKING:
    from typing_extensions import Unpack

# What ends a run is for the large model, as is putting results into words.
_FINAL = "final_answer"
# The agent's own words before what the user said.
_TASK = "New task:\n"
_TURNS = {MessageRole.USER: "user", MessageRole.SYSTEM: "system"}


class NeedleModel(Model):  # type: ignore[misc]
    """Answers with local tool calls where they are certain; else asks `inner`, with the request as it came."""

    def __init__(self, inner: Model, router: Router | None = None, **policy: Unpack[Policy]) -> None:
        """Takes the large model, and a router or the policy of one."""
        super().__init__(model_id=inner.model_id)
        self.inner = inner
        self.router = router or Router(**policy)

    def generate(
        self,
        messages: list[ChatMessage],
        stop_sequences: list[str] | None = None,
        response_format: dict[str, str] | None = None,
        tools_to_call_from: list[Tool] | None = None,
        **kwargs: Any,
    ) -> ChatMessage:
        """Answers, or asks the large model."""
        calls = self._calls(messages, response_format, tools_to_call_from)
        if not calls:
            return self.inner.generate(
                messages, stop_sequences=stop_sequences, response_format=response_format,
                tools_to_call_from=tools_to_call_from, **kwargs,
            )  # fmt: skip
        made = [
            ChatMessageToolCall(
                id=call_id(),
                type="function",
                function=ChatMessageToolCallFunction(name=c.name, arguments=c.arguments),
            )
            for c in calls
        ]
        usage = TokenUsage(input_tokens=0, output_tokens=0)
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=made, token_usage=usage)

    def generate_stream(
        self,
        messages: list[ChatMessage],
        stop_sequences: list[str] | None = None,
        response_format: dict[str, str] | None = None,
        tools_to_call_from: list[Tool] | None = None,
        **kwargs: Any,
    ) -> Generator[ChatMessageStreamDelta, None, None]:
        """As `generate`; a local answer is one piece."""
        calls = self._calls(messages, response_format, tools_to_call_from)
        if not calls:
            yield from self.inner.generate_stream(  # pyright: ignore[reportAttributeAccessIssue] - agents check for it
                messages, stop_sequences=stop_sequences, response_format=response_format,
                tools_to_call_from=tools_to_call_from, **kwargs,
            )  # fmt: skip
            return
        made = [
            ChatMessageToolCallStreamDelta(
                index=index,
                id=call_id(),
                type="function",
                # Pieces are put together as text.
                function=ChatMessageToolCallFunction(name=c.name, arguments=json.dumps(c.arguments)),
            )
            for index, c in enumerate(calls)
        ]
        yield ChatMessageStreamDelta(tool_calls=made, token_usage=TokenUsage(input_tokens=0, output_tokens=0))

    def _calls(
        self, messages: Sequence[ChatMessage], response_format: dict[str, str] | None, tools: list[Tool] | None
    ) -> list[Call]:
        body = {
            "messages": [_turn(message) for message in messages],
            "tools": [get_tool_json_schema(tool) for tool in tools or ()],
            "response_format": response_format,
        }
        calls = self.router.decide(body).calls
        return [] if any(call.name == _FINAL for call in calls) else calls


def _turn(message: ChatMessage) -> dict[str, Any]:
    content = message.content
    if not isinstance(content, str):
        content = [
            {**part, "text": part["text"].removeprefix(_TASK)} if part.get("type") == "text" else part
            for part in content or ()
        ]
    return {"role": _TURNS.get(message.role, "assistant"), "content": content}
