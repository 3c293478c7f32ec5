"""LangChain: middleware that answers model calls locally, or shows the large model fewer tools.

create_agent(model, tools, middleware=[NeedleMiddleware(), NeedleToolSelector(8)])
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.utils.function_calling import convert_to_openai_tool

from .._router import Policy, Routed, Router
from ._langchain import answer, turn

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NeedleMiddleware(AgentMiddleware[Any, Any, Any]):
    """Answers a model call with local tool calls where they are certain; else the large model is asked, unchanged.

    The answer's `response_metadata` has `model_name` "needle" and the confidence.
    """

    def __init__(self, router: Router | None = None, **policy: Unpack[Policy]) -> None:
        """Takes a router, or makes one with a policy."""
        super().__init__()
        self.router = router or Router(**policy)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Answers, or asks the large model."""
        return _answer(self.router.decide(_body(request))) or handler(request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, without blocking the loop."""
        return _answer(await self.router.adecide(_body(request))) or await handler(request)


class NeedleToolSelector(AgentMiddleware[Any, Any, Any]):
    """Shows the large model only the tools that are nearest to the ask, and those in `always`."""

    def __init__(self, count: int, *, always: Sequence[str] = (), router: Router | None = None) -> None:
        """Keeps `count` tools; all of them where nothing can be said."""
        super().__init__()
        self.count, self.always, self.router = count, frozenset(always), router or Router()

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Asks the large model with fewer tools."""
        return handler(self._fewer(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, without blocking the loop."""
        return await handler(await asyncio.to_thread(self._fewer, request))

    def _fewer(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        body = _body(request)
        kept = {name for name, _ in self.router.nearest(body, self.count)}
        if not kept or len(request.tools) <= self.count:
            return request
        # The provider's own tools have no name here, and stay.
        names = [tool.get("function", {}).get("name") for tool in body["tools"]]
        tools = [t for t, name in zip(request.tools, names, strict=True) if name in {None} | kept | self.always]
        return request.override(tools=tools)


def _body(request: ModelRequest[Any]) -> dict[str, Any]:
    choice = request.tool_choice
    if isinstance(choice, str) and choice not in ("auto", "none", "any", "required"):
        # LangChain takes a bare name.
        choice = {"type": "function", "function": {"name": choice}}
    return {
        "messages": [turn(message) for message in request.messages],
        "tools": [convert_to_openai_tool(tool) for tool in request.tools],
        "tool_choice": choice,
        "response_format": None if request.response_format is None else {"type": "json_schema"},
        "parallel_tool_calls": request.model_settings.get("parallel_tool_calls"),
    }


def _answer(routed: Routed) -> ModelResponse[Any] | None:
    message = answer(routed)
    return None if message is None else ModelResponse(result=[message])
