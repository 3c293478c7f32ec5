"""LiteLLM: a provider of `needle/…` models, and a filter that sends it only what it is sure of.

litellm.custom_provider_map = [{"provider": "needle", "custom_handler": NeedleLLM(large="openai/…")}]
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import litellm
from litellm.constants import OPENAI_CHAT_COMPLETION_PARAMS
from litellm.integrations.custom_logger import CustomLogger
from litellm.llms.custom_llm import CustomLLM, CustomLLMError
from litellm.types.utils import (
    ChatCompletionMessageToolCall,
    Choices,
    Function,
    GenericStreamingChunk,
    Message,
    ModelResponse,
    ModelResponseStream,
    Usage,
)

from .._router import Policy, Routed, Router, call_id

if TYPE_CHECKING:
    from typing_extensions import Unpack

# LiteLLM neither tries again nor rests a deployment after this status, but goes on to its fallbacks.
_HAND_OFF = 422
# What LiteLLM sets, renames or takes out on the way from a filter to a provider; no decision depends on it.
_ON_THE_WAY = {
    "api_base", "api_key", "api_version", "base_url", "default_headers", "deployment_id", "extra_headers",
    "max_completion_tokens", "max_retries", "max_tokens", "organization", "request_timeout", "timeout", "user",
}  # fmt: skip
_PARAMETERS = [name for name in OPENAI_CHAT_COMPLETION_PARAMS if name not in _ON_THE_WAY]
# A filter's decision, with its router and request: the provider that it leads to need not decide again.
_decided: ContextVar[tuple[Router, str, Routed] | None] = ContextVar("decided", default=None)


class NeedleLLM(CustomLLM):
    """Answers with local tool calls where they are certain; else asks `large` with the same messages and parameters.

    Without `large` a hand-off is a `CustomLLMError`, which LiteLLM's own fallbacks take over. With it, LiteLLM logs a
    hand-off twice, as this provider's and as the large model's: where spend is counted, use fallbacks.
    """

    def __init__(
        self,
        large: str | Mapping[str, Any] | None = None,
        router: Router | None = None,
        **policy: Unpack[Policy],
    ) -> None:
        """Takes the large model's name or `litellm_params`, and a router or the policy of one."""
        super().__init__()
        self.large = {"model": large} if isinstance(large, str) else large
        self.router = router or Router(**policy)

    def completion(self, *args: Any, **kwargs: Any) -> Any:
        """Answers, or asks the large model."""
        routed = self._decide(kwargs)
        return _answer(routed) or litellm.completion(**self._request(routed, kwargs))

    async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
        """As `completion`, without blocking the loop."""
        body = _body(kwargs["messages"], kwargs["optional_params"])
        routed = _known(self.router, body) or await self.router.adecide(body)
        return _answer(routed) or await litellm.acompletion(**self._request(routed, kwargs))

    def streaming(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """As `completion`; a local answer is there at once."""
        routed = self._decide(kwargs)
        if routed.calls:
            return iter(_chunks(routed))
        chunks: Any = litellm.completion(**self._request(routed, kwargs))
        return map(_passed_on, chunks)

    def astreaming(self, *args: Any, **kwargs: Any) -> Any:
        """As `streaming`; LiteLLM calls it on another thread, where what it raises still leads to fallbacks."""
        routed = self._decide(kwargs)
        return _stream(_chunks(routed)) if routed.calls else _ask(self._request(routed, kwargs))

    def _decide(self, asked: Mapping[str, Any]) -> Routed:
        body = _body(asked["messages"], asked["optional_params"])
        return _known(self.router, body) or self.router.decide(body)

    def _request(self, routed: Routed, asked: Mapping[str, Any]) -> dict[str, Any]:
        if self.large is None:
            reason = routed.decision.reason or "shadow mode"
            message = f"needle hands off: {reason}: {routed.decision.detail}"
            raise CustomLLMError(_HAND_OFF, message)  # type: ignore[no-untyped-call]
        # LiteLLM keeps the user's name from providers that it does not know.
        user = asked["logging_obj"].model_call_details.get("user")
        passed = {"user": user, "timeout": asked["timeout"], "extra_headers": asked["headers"]}
        return {**asked["optional_params"], "messages": asked["messages"], **passed, **self.large}


class NeedleDeploymentFilter(CustomLogger):
    """Where a model group has `needle/…` beside other deployments: leaves it what it is sure of, and them the rest.

    One of `litellm.callbacks`. Only async calls of `litellm.Router` are filtered: give the needle deployment weight 0
    and the others more, and they get what is not.
    """

    def __init__(self, router: Router | None = None, **policy: Unpack[Policy]) -> None:
        """Takes a router, best the one of the `NeedleLLM`, or makes one with a policy."""
        super().__init__()
        self.router = router or Router(**policy)

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[Any],
        messages: list[Any] | None,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[dict[str, Any]]:
        """The deployments that may answer."""
        kept: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
        for deployment in healthy_deployments:
            kept[deployment["litellm_params"]["model"].startswith("needle/")].append(deployment)
        if not all(kept.values()):
            return healthy_deployments
        body = _body(messages, request_kwargs or {})
        routed = await self.router.adecide(body)
        _decided.set((self.router, _text(body), routed))
        return kept[bool(routed.calls)]


def _body(messages: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": messages} | {name: parameters[name] for name in _PARAMETERS if name in parameters}


def _text(body: Mapping[str, Any]) -> str:
    return json.dumps(body, default=str)


def _known(router: Router, body: Mapping[str, Any]) -> Routed | None:
    decided = _decided.get()
    return decided[2] if decided is not None and decided[:2] == (router, _text(body)) else None


def _answer(routed: Routed) -> ModelResponse | None:
    if not routed.calls:
        return None
    calls = [
        ChatCompletionMessageToolCall(
            id=call_id(), type="function", function=Function(name=c.name, arguments=json.dumps(c.arguments))
        )
        for c in routed.calls
    ]
    message = Message(content=None, tool_calls=calls)
    response = ModelResponse(
        model="needle", choices=[Choices(finish_reason="tool_calls", message=message)], usage=Usage(0, 0, 0)
    )
    response._hidden_params["confidence"] = routed.decision.confidence
    return response


def _chunks(routed: Routed) -> list[GenericStreamingChunk]:
    last = len(routed.calls) - 1
    return [
        GenericStreamingChunk(
            text="",
            tool_use={
                "id": call_id(),
                "type": "function",
                "function": {"name": c.name, "arguments": json.dumps(c.arguments)},
                "index": index,
            },
            is_finished=index == last,
            finish_reason="tool_calls" if index == last else "",
            usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0} if index == last else None,
            index=0,
        )
        for index, c in enumerate(routed.calls)
    ]


def _passed_on(chunk: ModelResponseStream) -> ModelResponseStream | GenericStreamingChunk:
    """LiteLLM drops a provider's chunk of nothing but usage, except in this form."""
    usage = getattr(chunk, "usage", None)
    if chunk.choices or usage is None:
        return chunk
    return GenericStreamingChunk(text="", is_finished=False, finish_reason="", usage=usage.model_dump(), index=0)


async def _stream(chunks: list[GenericStreamingChunk]) -> AsyncIterator[GenericStreamingChunk]:
    for chunk in chunks:
        yield chunk


async def _ask(request: Mapping[str, Any]) -> AsyncIterator[ModelResponseStream | GenericStreamingChunk]:
    chunks: Any = await litellm.acompletion(**request)
    async for chunk in chunks:
        yield _passed_on(chunk)
