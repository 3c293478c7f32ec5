"""OpenAI Agents SDK: a model in front of another one.

Agent(name="…", tools=[…], model=NeedleModel(OpenAIResponsesModel(…)))
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from time import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agents import FunctionTool, Handoff, ModelSettings, Tool
from agents.agent_output import AgentOutputSchemaBase
from agents.items import ModelResponse, TResponseInputItem, TResponseStreamEvent
from agents.models.interface import Model, ModelTracing
from agents.usage import Usage
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
)
from openai.types.responses.response_prompt_param import ResponsePromptParam

from .._router import Policy, Routed, Router, call_id

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NeedleModel(Model):
    """Answers with local tool calls where they are certain; else asks `inner`, with the request as it came."""

    def __init__(self, inner: Model, router: Router | None = None, **policy: Unpack[Policy]) -> None:
        """Takes the large model, and a router or the policy of one."""
        self.inner = inner
        self.router = router or Router(**policy)

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> ModelResponse:
        """Answers, or asks the large model."""
        routed = await self.router.adecide(
            _body(input, model_settings, tools, output_schema, handoffs, previous_response_id, conversation_id, prompt),
            api="responses",
        )
        if routed.calls:
            return ModelResponse(output=[*_output(routed)], usage=Usage(), response_id=None)
        return await self.inner.get_response(
            system_instructions, input, model_settings, tools, output_schema, handoffs, tracing,
            previous_response_id=previous_response_id, conversation_id=conversation_id, prompt=prompt,
        )  # fmt: skip

    async def stream_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: ResponsePromptParam | None,
    ) -> AsyncIterator[TResponseStreamEvent]:
        """Answers with the events of a whole response, or passes on those of the large model."""
        routed = await self.router.adecide(
            _body(input, model_settings, tools, output_schema, handoffs, previous_response_id, conversation_id, prompt),
            api="responses",
        )
        if routed.calls:
            for event in _events(_output(routed)):
                yield event
            return
        events = self.inner.stream_response(
            system_instructions, input, model_settings, tools, output_schema, handoffs, tracing,
            previous_response_id=previous_response_id, conversation_id=conversation_id, prompt=prompt,
        )  # fmt: skip
        async for event in events:
            yield event


def _body(
    input: str | list[TResponseInputItem],
    settings: ModelSettings,
    tools: list[Tool],
    output_schema: AgentOutputSchemaBase | None,
    handoffs: list[Handoff[Any, Any]],
    previous_response_id: str | None,
    conversation_id: str | None,
    prompt: ResponsePromptParam | None,
) -> dict[str, Any]:
    choice = settings.tool_choice
    if isinstance(choice, str) and choice not in ("auto", "required", "none"):
        choice = {"type": "function", "name": choice}  # type: ignore[assignment]
    structured = output_schema is not None and not output_schema.is_plain_text()
    return {
        "input": input,
        # Handing over to another agent is the large model's business, as are tools that run at the provider's.
        "tools": [_tool(tool) for tool in tools] + [{"type": "handoff"} for _ in handoffs],
        "tool_choice": choice,
        "parallel_tool_calls": settings.parallel_tool_calls,
        "text": {"format": {"type": "json_schema" if structured else "text"}},
        "previous_response_id": previous_response_id,
        "conversation": conversation_id,
        "prompt": prompt,
    }


def _tool(tool: Tool) -> dict[str, Any]:
    if not isinstance(tool, FunctionTool):
        return {"type": tool.name}
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.params_json_schema,
    }


def _output(routed: Routed) -> list[ResponseFunctionToolCall]:
    return [
        ResponseFunctionToolCall(
            type="function_call",
            id=f"fc_needle_{uuid4().hex}",
            call_id=call_id(),
            name=call.name,
            arguments=json.dumps(call.arguments),
            status="completed",
        )
        for call in routed.calls
    ]


def _events(output: list[ResponseFunctionToolCall]) -> list[TResponseStreamEvent]:
    response = Response(
        id=f"resp_needle_{uuid4().hex}",
        created_at=time(),
        model="needle",
        object="response",
        output=[],
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
    )
    events: list[TResponseStreamEvent] = [
        ResponseCreatedEvent(response=response, sequence_number=0, type="response.created")
    ]
    for index, item in enumerate(output):
        events.append(
            ResponseOutputItemAddedEvent(
                item=item, output_index=index, sequence_number=len(events), type="response.output_item.added"
            )
        )
        events.append(
            ResponseOutputItemDoneEvent(
                item=item, output_index=index, sequence_number=len(events), type="response.output_item.done"
            )
        )
    whole = response.model_copy(update={"output": [*output]})
    events.append(ResponseCompletedEvent(response=whole, sequence_number=len(events), type="response.completed"))
    return events
