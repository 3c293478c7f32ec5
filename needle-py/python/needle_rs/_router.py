"""Requests to a large model, and decisions about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from uuid import uuid4

from . import _native
from ._decision import Call, Decision
from ._model import Model

if TYPE_CHECKING:
    from typing_extensions import Unpack

Api = Literal["chat", "responses", "messages"]
"""OpenAI's chat completions and responses, Anthropic's messages."""


class Policy(TypedDict, total=False):
    """What a router may answer itself; what is left out takes the engine's default (`schemas/policy.schema.json`)."""

    threshold: float | None
    thresholds: Mapping[str, float]
    destructive_threshold: float
    never: Sequence[str]
    provider_tools: Literal["hand_off", "ignore"]
    grounding: Literal["off", "report", "enforce"]
    max_calls: int
    max_output_tokens: int
    deadline_ms: int | None
    max_candidates: int
    cached_toolsets: int


@dataclass(frozen=True)
class Seen:
    """What a router looked at: the message that holds the ask, the number of tools, and the time to prepare them."""

    message: int | None
    tools: int
    cached: bool
    prepare_ms: float


@dataclass(frozen=True)
class Routed:
    """A decision about a request."""

    decision: Decision
    seen: Seen
    shadow: bool = False

    @property
    def calls(self) -> list[Call]:
        """The calls to answer with; none if the large model must be asked, for doubt or because of shadow mode."""
        return [] if self.shadow else self.decision.calls


class Router:
    """Decides requests to a large model. Any number of threads and tasks may use it at once."""

    def __init__(
        self,
        model: Model | None = None,
        *,
        threads: int = 1,
        shadow: bool = False,
        on_decision: Callable[[Routed], None] | None = None,
        **policy: Unpack[Policy],
    ) -> None:
        """A router with a policy.

        Args:
            model: by default the one that comes with this package.
            threads: threads that share the work of compiling tools and of one decision.
            shadow: decide and report, but let the large model answer everything.
            on_decision: called with every decision, on the thread that asked.
            policy: what may be answered locally.

        Raises:
            OptionError: for an unknown or impossible setting.
        """
        self._model = model or Model.default()
        self._native = _native.Router(self._model._native, json.dumps(policy, separators=(",", ":")), threads)
        self._shadow, self._on_decision = shadow, on_decision

    def decide(self, request: Mapping[str, Any], *, api: Api = "chat") -> Routed:
        """Decides the body of a request as the API has it: `messages` (or `input`), `tools`, `tool_choice` and so on.

        Whatever is beyond a local answer, wrong tools included, is a hand-off.
        """
        return self._routed(self._native.decide(api, _text(request)))

    async def adecide(self, request: Mapping[str, Any], *, api: Api = "chat") -> Routed:
        """As `decide`, on another thread; cancelling the task ends the decision."""
        cancel = _native.Cancel()
        try:
            return self._routed(await asyncio.to_thread(self._native.decide, api, _text(request), cancel))
        except asyncio.CancelledError:
            cancel.cancel()
            raise

    def nearest(self, request: Mapping[str, Any], count: int, *, api: Api = "chat") -> list[tuple[str, float]]:
        """Names and cosines of the request's tools that are nearest to its ask, best first.

        They are what to show the large model where there are too many. Empty if nothing can be said.
        """
        return self._native.nearest(api, _text(request), count)

    def _routed(self, text: str) -> Routed:
        routed = Routed(Decision.from_json(text), Seen(**json.loads(text)["seen"]), self._shadow)
        if self._on_decision is not None:
            self._on_decision(routed)
        return routed

    @property
    def model(self) -> Model:
        """The model that decides."""
        return self._model


def call_id() -> str:
    """An id for a call, which frameworks want to be unique in a conversation."""
    return f"call_needle_{uuid4().hex}"


def _text(request: Mapping[str, Any]) -> str:
    """What has no JSON form, such as a framework's own objects, is media that only the large model can read."""
    return json.dumps(request, default=lambda value: {"type": type(value).__name__})
