"""Compiled tools, and decisions over them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from . import _native
from ._decision import Decision, Event
from ._stream import astream, stream
from ._tool import Tool

if TYPE_CHECKING:
    import numpy
    from typing_extensions import Unpack

    from ._model import Model


class Options(TypedDict, total=False):
    """Settings of one decision; what is left out takes the engine's default (`schemas/options.schema.json`)."""

    threshold: float | None
    max_calls: int
    max_output_tokens: int
    deadline_ms: int | None
    grounding: Literal["off", "report", "enforce"]
    max_candidates: int


@dataclass(frozen=True)
class Run:
    """A decision and what its calls returned, in their order; nothing for a hand-off."""

    decision: Decision
    results: list[Any]


class Toolset:
    """Compiled tools. Any number of threads and tasks may decide at once, also in a process that was forked."""

    def __init__(self, model: Model, native: _native.Toolset, functions: dict[str, Tool[..., Any]]) -> None:
        self._model, self._native, self._functions = model, native, functions

    @property
    def model(self) -> Model:
        """The model that the tools were compiled for."""
        return self._model

    @property
    def names(self) -> list[str]:
        """Names of the tools, in their order."""
        return self._native.names()

    def decide(self, query: str, **options: Unpack[Options]) -> Decision:
        """Decides one query. Doubt is no error but a hand-off.

        Raises:
            OptionError: for an unknown or impossible option.
            DeadlineExceeded: if the deadline passed.
        """
        return Decision.from_json(self._native.decide(query, _text(options)))

    async def adecide(self, query: str, **options: Unpack[Options]) -> Decision:
        """As `decide`, on another thread; cancelling the task ends the decision."""
        cancel = _native.Cancel()
        try:
            return Decision.from_json(await asyncio.to_thread(self._native.decide, query, _text(options), cancel))
        except asyncio.CancelledError:
            cancel.cancel()
            raise

    def decide_batch(self, queries: Sequence[str], **options: Unpack[Options]) -> list[Decision]:
        """Decides queries one after the other, each as `decide` would."""
        return [Decision.from_json(text) for text in self._native.decide_batch(queries, _text(options))]

    def stream(self, query: str, **options: Unpack[Options]) -> Iterator[Event]:
        """Events while the answer is written; the last one is `Done` with the decision.

        Leaving the loop early cancels the decision. Raises as `decide`.
        """
        return stream(self._native, query, _text(options))

    def astream(self, query: str, **options: Unpack[Options]) -> AsyncIterator[Event]:
        """As `stream`, without blocking the loop."""
        return astream(self._native, query, _text(options))

    def run(self, query: str, **options: Unpack[Options]) -> Run:
        """Decides, and calls the Python functions that the decision names.

        Raises:
            TypeError: before any call, if a chosen tool was not compiled from a function or is asynchronous.
        """
        decision = self.decide(query, **options)
        functions = self._chosen(decision)
        for function in functions:
            if function.is_async:
                raise TypeError(f"{function.name} is asynchronous; await arun")
        return Run(decision, [f.call(c.arguments) for f, c in zip(functions, decision.calls, strict=True)])

    async def arun(self, query: str, **options: Unpack[Options]) -> Run:
        """As `run`, one call after the other; functions that are not asynchronous run on another thread."""
        decision = await self.adecide(query, **options)
        results = []
        for function, call in zip(self._chosen(decision), decision.calls, strict=True):
            if function.is_async:
                results.append(await function.call(call.arguments))
            else:
                results.append(await asyncio.to_thread(function.call, call.arguments))
        return Run(decision, results)

    def embed(self, query: str) -> numpy.ndarray[tuple[int], numpy.dtype[numpy.float32]]:
        """The model's embedding of a query, of length 1; queries about the same tools are near to each other.

        Raises:
            ImportError: without numpy.
            OptionError: if the query is longer than the model's context.
        """
        import numpy

        return numpy.array(self._native.embed(query), dtype=numpy.float32)

    def _chosen(self, decision: Decision) -> list[Tool[..., Any]]:
        for call in decision.calls:
            if call.name not in self._functions:
                raise TypeError(f"{call.name} was not compiled from a function, so it cannot be run; use decide")
        return [self._functions[call.name] for call in decision.calls]

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("compiled tools cannot be pickled; pickle the model and compile the tools in the other process")

    def __repr__(self) -> str:
        return f"Toolset({', '.join(self.names)})"


def _text(options: Options) -> str:
    """Options as JSON text, in the spelling of all languages: the engine's messages count its columns."""
    return json.dumps(options, separators=(",", ":"))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_native.before_fork, after_in_parent=_native.after_fork, after_in_child=_native.after_fork
    )
