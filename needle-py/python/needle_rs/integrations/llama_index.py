"""LlamaIndex: a model in front of another one.

FunctionAgent(tools=[…], llm=NeedleLLM(OpenAI(model="…")))
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool

from .._router import Policy, Routed, Router, call_id

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TURNS = {MessageRole.USER: "user", MessageRole.SYSTEM: "system", MessageRole.DEVELOPER: "developer"}


class NeedleLLM(FunctionCallingLLM):
    """Answers with local tool calls where they are certain; else asks `inner`, with the request as it came."""

    _inner: FunctionCallingLLM = PrivateAttr()
    _router: Router = PrivateAttr()

    def __init__(self, inner: FunctionCallingLLM, router: Router | None = None, **policy: Unpack[Policy]) -> None:
        """Takes the large model, and a router or the policy of one."""
        super().__init__()
        self._inner, self._router = inner, router or Router(**policy)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex writes into its records."""
        return "needle"

    @property
    def metadata(self) -> LLMMetadata:
        """The large model's."""
        return self._inner.metadata

    def chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> ChatResponse:
        """Answers, or asks the large model."""
        routed = self._router.decide(_body(tools, *args, **kwargs))
        return _answer(routed) or self._inner.chat_with_tools(tools, *args, **kwargs)

    async def achat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> ChatResponse:
        """As `chat_with_tools`, without blocking the loop."""
        routed = await self._router.adecide(_body(tools, *args, **kwargs))
        return _answer(routed) or await self._inner.achat_with_tools(tools, *args, **kwargs)

    def stream_chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> ChatResponseGen:
        """As `chat_with_tools`; a local answer is there at once."""
        answer = _answer(self._router.decide(_body(tools, *args, **kwargs)))
        return self._inner.stream_chat_with_tools(tools, *args, **kwargs) if answer is None else _once(answer)

    async def astream_chat_with_tools(
        self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """As `stream_chat_with_tools`, without blocking the loop."""
        answer = _answer(await self._router.adecide(_body(tools, *args, **kwargs)))
        if answer is None:
            return await self._inner.astream_chat_with_tools(tools, *args, **kwargs)
        return _aonce(answer)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of either model's answer."""
        if not _is_local(response):
            return self._inner.get_tool_calls_from_response(response, error_on_no_tool_call, **kwargs)
        blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        return [
            ToolSelection(tool_id=b.tool_call_id or "", tool_name=b.tool_name, tool_kwargs=b.tool_kwargs)
            for b in blocks
            if isinstance(b.tool_kwargs, dict)
        ]

    def _prepare_chat_with_tools(self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self._inner._prepare_chat_with_tools(tools, *args, **kwargs)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The large model's, as all that has no tools."""
        return self._inner.chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The large model's."""
        return await self._inner.achat(messages, **kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The large model's."""
        return self._inner.stream_chat(messages, **kwargs)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """The large model's."""
        return await self._inner.astream_chat(messages, **kwargs)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The large model's."""
        return self._inner.complete(prompt, formatted, **kwargs)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The large model's."""
        return await self._inner.acomplete(prompt, formatted, **kwargs)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The large model's."""
        return self._inner.stream_complete(prompt, formatted, **kwargs)

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """The large model's."""
        return await self._inner.astream_complete(prompt, formatted, **kwargs)


def _body(
    tools: Sequence[BaseTool],
    user_msg: str | ChatMessage | None = None,
    chat_history: Sequence[ChatMessage] | None = None,
    verbose: bool = False,
    allow_parallel_tool_calls: bool = False,
    **kwargs: Any,
) -> dict[str, Any]:
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg)
    return {
        "messages": [_turn(message) for message in messages],
        "tools": [tool.metadata.to_openai_tool() for tool in tools],
        "tool_choice": kwargs.get("tool_choice"),
        "parallel_tool_calls": allow_parallel_tool_calls,
    }


def _turn(message: ChatMessage) -> dict[str, Any]:
    said = [
        {"type": "text", "text": block.text} if isinstance(block, TextBlock) else {"type": block.block_type}
        for block in message.blocks
    ]
    return {"role": _TURNS.get(message.role, "assistant"), "content": said}


def _answer(routed: Routed) -> ChatResponse | None:
    if not routed.calls:
        return None
    blocks = [ToolCallBlock(tool_call_id=call_id(), tool_name=c.name, tool_kwargs=c.arguments) for c in routed.calls]
    message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[*blocks])
    return ChatResponse(message=message, raw={"model": "needle", "confidence": routed.decision.confidence})


def _is_local(response: ChatResponse) -> bool:
    return isinstance(response.raw, dict) and response.raw.get("model") == "needle"


def _once(answer: ChatResponse) -> Generator[ChatResponse, None, None]:
    yield answer


async def _aonce(answer: ChatResponse) -> AsyncGenerator[ChatResponse, None]:
    yield answer
