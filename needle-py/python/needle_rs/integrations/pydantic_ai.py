"""Pydantic AI: a model that answers with local tool calls and hands everything else off.

FallbackModel(NeedleModel(), "openai:…", fallback_on=NeedleHandOff)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponseStreamEvent,
    SystemPromptPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.decision import DecisionHandOff
from pydantic_ai.settings import ModelSettings

from .._decision import Decision
from .._router import Policy, Router, call_id

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NeedleHandOff(DecisionHandOff):
    """The step is not for a local answer; `decision` says why."""

    def __init__(self, decision: Decision) -> None:
        super().__init__("needle", "hand_off", 1 - (decision.confidence or 0), f"{decision.reason}: {decision.detail}")
        self.decision = decision

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.decision,)


class NeedleModel(Model):
    """Answers with local tool calls; raises `NeedleHandOff` where the large model must be asked."""

    def __init__(self, router: Router | None = None, **policy: Unpack[Policy]) -> None:
        """Takes a router, or makes one with a policy."""
        super().__init__()
        self.router = router or Router(**policy)

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return "needle"

    @property
    def system(self) -> str:
        """The name of the provider."""
        return "needle"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answers, or hands off."""
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        routed = await self.router.adecide(_body(messages, settings, parameters))
        if not routed.calls:
            raise NeedleHandOff(routed.decision)
        parts = [ToolCallPart(c.name, c.arguments, tool_call_id=call_id()) for c in routed.calls]
        details = {"confidence": routed.decision.confidence}
        return ModelResponse(parts=parts, model_name="needle", provider_name="needle", provider_details=details)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As `request`; the answer is there at once."""
        response = await self.request(messages, model_settings, model_request_parameters)
        yield _Answered(model_request_parameters=model_request_parameters, response=response)


@dataclass
class _Answered(StreamedResponse):
    """An answer that is whole already."""

    response: ModelResponse = field(kw_only=True)
    _timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc), init=False)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        self.provider_details = self.response.provider_details
        for index, part in enumerate(self.response.parts):
            if isinstance(part, ToolCallPart):
                yield self._parts_manager.handle_tool_call_part(
                    vendor_part_id=index,
                    tool_name=part.tool_name,
                    args=part.args_as_json_str(),
                    tool_call_id=part.tool_call_id,
                )

    @property
    def model_name(self) -> str:
        return "needle"

    @property
    def provider_name(self) -> str:
        return "needle"

    @property
    def provider_url(self) -> str | None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self._timestamp


def _body(
    messages: Sequence[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters
) -> dict[str, Any]:
    tools: list[dict[str, Any]] = [
        {"name": t.name, "description": t.description or "", "parameters": t.parameters_json_schema}
        for t in parameters.function_tools
    ]
    # What the provider runs, or what ends the run with a structured answer, is not for a local call.
    tools += [{"type": type(tool).__name__} for tool in parameters.native_tools]
    settings = settings or {}
    return {
        "messages": [turn for message in messages for turn in _turns(message)],
        "tools": [t if "type" in t else {"type": "function", "function": t} for t in tools],
        "tool_choice": settings.get("tool_choice"),
        "parallel_tool_calls": settings.get("parallel_tool_calls"),
        "response_format": None if parameters.allow_text_output else {"type": "json_schema"},
    }


def _turns(message: ModelMessage) -> list[dict[str, Any]]:
    if not isinstance(message, ModelRequest):
        return [{"role": "assistant", "content": ""}]
    turns: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            turns.append({"role": "system", "content": part.content})
        elif isinstance(part, UserPromptPart):
            said = [part.content] if isinstance(part.content, str) else part.content
            parts = [{"type": "text", "text": s} if isinstance(s, str) else {"type": "media"} for s in said]
            turns.append({"role": "user", "content": parts})
        else:
            turns.append({"role": "tool", "content": ""})
    return turns
