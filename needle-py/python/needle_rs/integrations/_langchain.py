"""Messages of LangChain and LangGraph."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .._router import Routed, call_id

_ROLES = {"human": "user", "system": "system"}


def turn(message: BaseMessage) -> dict[str, Any]:
    """A message of a router's request; `convert_to_openai_messages` would refuse what only large models can read."""
    content = message.content
    if not isinstance(content, str):
        content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"role": _ROLES.get(message.type, "assistant"), "content": content}


def answer(routed: Routed) -> AIMessage | None:
    """The message of a local answer; none if the large model must be asked."""
    if not routed.calls:
        return None
    return AIMessage(
        content="",
        tool_calls=[{"name": c.name, "args": c.arguments, "id": call_id(), "type": "tool_call"} for c in routed.calls],
        response_metadata={"model_name": "needle", "confidence": routed.decision.confidence},
    )
