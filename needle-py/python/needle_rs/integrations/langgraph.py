"""LangGraph: a node before the large model's, for graphs without `create_agent`.

graph.add_node("needle", NeedleNode(tools))
graph.add_conditional_edges("needle", tools_condition, {"tools": "tools", END: "model"})
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .._router import Policy, Routed, Router
from ._langchain import answer, turn

if TYPE_CHECKING:
    from typing_extensions import Unpack


class NeedleNode(Runnable[Any, dict[str, list[AIMessage]]]):
    """Adds a message with local tool calls to the state where they are certain; else nothing.

    `tools_condition` tells the two apart, for a human's message has no tool calls. The message's `response_metadata`
    has `model_name` "needle" and the confidence.
    """

    name = "needle"

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any] | type | dict[str, Any]],
        router: Router | None = None,
        *,
        messages_key: str = "messages",
        **policy: Unpack[Policy],
    ) -> None:
        """Takes the tools that the large model has, and a router or the policy of one."""
        self.tools = [convert_to_openai_tool(tool) for tool in tools]
        self.router = router or Router(**policy)
        self.messages_key = messages_key

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, list[AIMessage]]:
        """What to add to the state."""
        return self._update(self.router.decide(self._body(input)))

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, list[AIMessage]]:
        """As `invoke`, without blocking the loop."""
        return self._update(await self.router.adecide(self._body(input)))

    def _body(self, state: Any) -> dict[str, Any]:
        messages = state[self.messages_key] if isinstance(state, dict) else getattr(state, self.messages_key)
        return {"messages": [turn(message) for message in convert_to_messages(messages)], "tools": self.tools}

    def _update(self, routed: Routed) -> dict[str, list[AIMessage]]:
        message = answer(routed)
        return {} if message is None else {self.messages_key: [message]}
