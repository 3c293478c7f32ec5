"""Haystack: a chat generator that answers with local tool calls and hands everything else off.

FallbackChatGenerator([NeedleChatGenerator(), OpenAIChatGenerator(…)])
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from haystack import component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError
from haystack.dataclasses import (
    ChatMessage,
    ComponentInfo,
    StreamingCallbackT,
    StreamingChunk,
    ToolCall,
    ToolCallDelta,
    select_streaming_callback,
)
from haystack.tools import (
    ToolsType,
    deserialize_tools_or_toolset_inplace,
    flatten_tools_or_toolsets,
    serialize_tools_or_toolset,
)
from haystack.utils import deserialize_callable, serialize_callable

from .._decision import Decision
from .._router import Policy, Routed, Router, call_id

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NeedleHandOff(Exception):
    """The step is not for a local answer; `decision` says why."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision)
        self.decision = decision

    def __str__(self) -> str:
        return f"{self.decision.reason or 'shadow mode'}: {self.decision.detail}"


@component
class NeedleChatGenerator:
    """Answers with local tool calls; raises `NeedleHandOff` where the large model must be asked."""

    def __init__(
        self,
        tools: ToolsType | None = None,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        router: Router | None = None,
        **policy: Unpack[Policy],
    ) -> None:
        """Takes what any run may replace, as the generator of the large model does; and a router or the policy of one.

        Pipelines can only save a policy.
        """
        self.tools, self.streaming_callback, self.generation_kwargs = tools, streaming_callback, generation_kwargs or {}
        self.router = router or Router(**policy)
        self._policy = policy if router is None else None

    def to_dict(self) -> dict[str, Any]:
        """The component as Haystack saves it."""
        if self._policy is None:
            raise SerializationError("NeedleChatGenerator: a router cannot be saved; give its policy instead")
        callback = self.streaming_callback
        return default_to_dict(
            self,
            tools=serialize_tools_or_toolset(self.tools),
            streaming_callback=callback and serialize_callable(callback),
            generation_kwargs=self.generation_kwargs,
            **self._policy,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NeedleChatGenerator:
        """The component that was saved."""
        parameters = data["init_parameters"]
        deserialize_tools_or_toolset_inplace(parameters)
        if parameters.get("streaming_callback"):
            parameters["streaming_callback"] = deserialize_callable(parameters["streaming_callback"])
        return default_from_dict(cls, data)

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Answers, or hands off."""
        routed = self.router.decide(self._body(messages, generation_kwargs, tools))
        reply = _reply(routed)
        callback = select_streaming_callback(self.streaming_callback, streaming_callback, requires_async=False)
        if callback is not None:
            for chunk in self._chunks(reply):
                callback(chunk)
        return {"replies": [reply]}

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """As `run`, without blocking the loop."""
        routed = await self.router.adecide(self._body(messages, generation_kwargs, tools))
        reply = _reply(routed)
        callback = select_streaming_callback(self.streaming_callback, streaming_callback, requires_async=True)
        if callback is not None:
            for chunk in self._chunks(reply):
                called = callback(chunk)
                if inspect.isawaitable(called):
                    await called
        return {"replies": [reply]}

    def _body(
        self,
        messages: Sequence[ChatMessage] | str,
        generation_kwargs: Mapping[str, Any] | None,
        tools: ToolsType | None,
    ) -> dict[str, Any]:
        if isinstance(messages, str):
            messages = [ChatMessage.from_user(messages)]
        given = flatten_tools_or_toolsets(self.tools if tools is None else tools)
        return {
            "messages": [message.to_openai_dict_format(require_tool_call_ids=False) for message in messages],
            "tools": [{"type": "function", "function": tool.tool_spec} for tool in given],
            **self.generation_kwargs,
            **(generation_kwargs or {}),
        }

    def _chunks(self, reply: ChatMessage) -> list[StreamingChunk]:
        last = len(reply.tool_calls) - 1
        return [
            StreamingChunk(
                content="",
                meta={"model": "needle"},
                component_info=ComponentInfo.from_component(self),
                index=index,
                tool_calls=[ToolCallDelta(index, call.tool_name, json.dumps(call.arguments), call.id)],
                start=True,
                finish_reason="tool_calls" if index == last else None,
            )
            for index, call in enumerate(reply.tool_calls)
        ]


def _reply(routed: Routed) -> ChatMessage:
    if not routed.calls:
        raise NeedleHandOff(routed.decision)
    calls = [ToolCall(tool_name=c.name, arguments=c.arguments, id=call_id()) for c in routed.calls]
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    meta = {"model": "needle", "index": 0, "finish_reason": "tool_calls", "usage": usage}
    return ChatMessage.from_assistant(tool_calls=calls, meta={**meta, "confidence": routed.decision.confidence})
