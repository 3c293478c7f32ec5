"""Google ADK: a plugin that answers model calls with local tool calls, for all agents or as the callback of one.

App(…, plugins=[NeedlePlugin()]) or LlmAgent(…, before_model_callback=NeedlePlugin().before_model_callback)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from google.adk.agents.callback_context import CallbackContext
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.utils.content_utils import SKIP_THOUGHT_SIGNATURE_VALIDATOR
from google.genai import types

from .._router import Policy, Routed, Router

if TYPE_CHECKING:
    from typing_extensions import Unpack

# Functions of ADK's own: going to another agent, and ending with an answer of a given form, are the large model's.
_OWN = frozenset({"transfer_to_agent", "set_model_response", "finish_task"})
# How these modes differ from AUTO is kept by any call that fits its schema.
_AUTO = frozenset({"MODE_UNSPECIFIED", "VALIDATED"})


class NeedlePlugin(BasePlugin):
    """Answers a model call with local tool calls where they are certain; else the large model is asked, unchanged.

    The answer has the `model_version` "needle", and the confidence in its `custom_metadata`. Plugins and callbacks
    after this one do not see the model calls that it answers.
    """

    def __init__(self, router: Router | None = None, *, name: str = "needle", **policy: Unpack[Policy]) -> None:
        """Takes a router, or makes one with a policy; `name` is the plugin's, unique in a runner."""
        super().__init__(name)
        self.router = router or Router(**policy)

    async def before_model_callback(
        self, *, callback_context: CallbackContext, llm_request: LlmRequest
    ) -> LlmResponse | None:
        """Answers, or lets the large model be asked."""
        return _answer(await self.router.adecide(_body(callback_context, llm_request)))


def _body(context: CallbackContext, request: LlmRequest) -> dict[str, Any]:
    config, run = request.config, context.run_config
    schemas = (config.response_schema, config.response_json_schema)
    structured = config.response_mime_type not in (None, "text/plain") or schemas != (None, None)
    # A live session runs its tools itself.
    live = run is not None and run.support_cfc
    return {
        "messages": [_turn(content, context.user_content) for content in request.contents],
        "tools": list(_tools(config.tools or [])),
        "tool_choice": _choice(config.tool_config),
        "response_format": {"type": "json_schema"} if structured else None,
        "conversation": config.cached_content or request.previous_interaction_id or live,
        "audio": any(modality != "TEXT" for modality in config.response_modalities or ()),
        "n": config.candidate_count,
        "logprobs": config.response_logprobs,
    }


def _turn(content: types.Content, ask: types.Content | None) -> dict[str, Any]:
    if content.role != "user":
        return {"role": "assistant", "content": ""}
    if content != ask:
        # Instructions, tools' results and what other agents did have a user's role, too.
        return {"role": "tool", "content": ""}
    said = [
        {"type": "text", "text": part.text} if part == types.Part(text=part.text) else {"type": "media"}
        for part in content.parts or ()
    ]
    return {"role": "user", "content": said}


def _tools(tools: list[Any]) -> Iterator[dict[str, Any]]:
    for tool in tools:
        if not isinstance(tool, types.Tool):
            yield {"type": type(tool).__name__}
            continue
        given = tool.model_dump(by_alias=True, exclude_none=True)
        for declaration in given.pop("functionDeclarations", ()):
            name = declaration.get("name")
            yield {"type": name} if name in _OWN else declaration
        # What is left runs at the provider's.
        yield from ({"type": kind} for kind in given)


def _choice(config: types.ToolConfig | None) -> Any:
    calling = config and config.function_calling_config
    if not calling:
        return None
    mode = "AUTO" if calling.mode is None or calling.mode in _AUTO else calling.mode.value
    names = calling.allowed_function_names
    if mode == "NONE" or not names:
        return mode.lower()
    return {"type": "function", "name": names[0]} if len(names) == 1 else {"type": "allowed_tools"}


def _answer(routed: Routed) -> LlmResponse | None:
    if not routed.calls:
        return None
    # ADK gives the calls their ids. Without a signature, Gemini refuses calls that it did not make.
    parts = [
        types.Part(
            function_call=types.FunctionCall(name=call.name, args=call.arguments),
            thought_signature=SKIP_THOUGHT_SIGNATURE_VALIDATOR,
        )
        for call in routed.calls
    ]
    return LlmResponse(
        content=types.Content(role="model", parts=parts),
        model_version="needle",
        custom_metadata={"confidence": routed.decision.confidence},
    )
