"""Models and compiled tools."""

import asyncio
import json
import os
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar

from typing_extensions import Unpack

from . import _native
from ._decision import CallFinished, Decision, Done, Event, Text, ToolNamed
from ._schema import Tool, construct, definition, schema

T = TypeVar("T")


class Options(TypedDict, total=False):
    """Settings of one decision; what is left out takes the engine's default (`schemas/options.json`)."""

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


class Model:
    """A network with its tokenizer and calibration; immutable, shared by all that is compiled for it."""

    def __init__(self, native: _native.Model, source: str | None) -> None:
        self._native = native
        self._source = source

    @classmethod
    def default(cls) -> "Model":
        """The model that comes with this package."""
        return cls(_native.Model.default(), None)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Model":
        """A model from a bundle directory or file.

        Raises:
            ModelError: if there is none, or it is damaged.
        """
        return cls(_native.Model.open(Path(path)), os.fspath(path))

    def compile(self, tools: Sequence[Any] | str, *, threads: int = 1) -> "Toolset":
        """Compiles tools, once for any number of decisions.

        Args:
            tools: functions, definitions of any common format as dicts, dataclasses, Pydantic models, MCP tools; or
                JSON text of a list of definitions.
            threads: threads that share the work of one decision.

        Raises:
            ToolDefinitionError: if a tool cannot be understood.
        """
        if isinstance(tools, str):
            return Toolset(self, self._native.compile(tools, threads), {})
        found = [definition(given) for given in tools]
        functions = {function.name: function for _, function in found if function is not None}
        text = json.dumps([plain for plain, _ in found], ensure_ascii=False)
        return Toolset(self, self._native.compile(text, threads), functions)

    @property
    def config(self) -> dict[str, Any]:
        """Sizes and options of the network."""
        return dict(json.loads(self._native.config()))

    @property
    def is_calibrated(self) -> bool:
        """Whether decisions have a confidence."""
        return self._native.is_calibrated

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as its source, which the other process opens again."""
        return (Model.default, ()) if self._source is None else (Model.open, (self._source,))

    def __repr__(self) -> str:
        return f"Model({self._source or 'default'})"


class Toolset:
    """Compiled tools. Any number of threads and tasks may decide at once."""

    def __init__(self, model: Model, native: _native.Toolset, functions: dict[str, Tool]) -> None:
        self._model, self._native, self._functions = model, native, functions
        _forked.add(self)

    @property
    def model(self) -> Model:
        """The model that the tools were compiled for."""
        return self._model

    @property
    def names(self) -> list[str]:
        """Names of the tools, in their order."""
        return self._native.names()

    def decide(self, query: str, **options: Unpack[Options]) -> Decision:
        """Decides one query.

        Raises:
            OptionError: for an impossible option. DeadlineExceeded: if the deadline passed. Doubt is no error.
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
        decided = self._native.decide_batch(list(queries), _text(options))
        return [Decision.from_json(text) for text in decided]

    def stream(self, query: str, **options: Unpack[Options]) -> Iterator[Event]:
        """Events while the answer is written; the last one is `Done` with the decision.

        Leaving the loop early cancels the decision.
        """
        events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        cancel = _native.Cancel()
        worker = threading.Thread(target=self._produce, args=(query, options, cancel, events.put), daemon=True)
        worker.start()
        try:
            while True:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                yield event
                if isinstance(event, Done):
                    return
        finally:
            cancel.cancel()
            worker.join()

    async def astream(self, query: str, **options: Unpack[Options]) -> AsyncIterator[Event]:
        """As `stream`, without blocking the loop."""
        loop, cancel = asyncio.get_running_loop(), _native.Cancel()
        events: asyncio.Queue[Event | BaseException] = asyncio.Queue()

        def put(event: Event | BaseException) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        work = loop.run_in_executor(None, self._produce, query, options, cancel, put)
        try:
            while True:
                event = await events.get()
                if isinstance(event, BaseException):
                    raise event
                yield event
                if isinstance(event, Done):
                    return
        finally:
            cancel.cancel()
            await work

    def run(self, query: str, **options: Unpack[Options]) -> Run:
        """Decides, and calls the Python functions that the decision names.

        Raises:
            TypeError: if a chosen tool was not compiled from a function, before any is called.
        """
        decision = self.decide(query, **options)
        functions = self._chosen(decision)
        calls = zip(functions, decision.calls, strict=True)
        return Run(decision, [function.call(call.arguments) for function, call in calls])

    async def arun(self, query: str, **options: Unpack[Options]) -> Run:
        """As `run`; awaits what asynchronous functions return."""
        decision = await self.adecide(query, **options)
        results = []
        for function, call in zip(self._chosen(decision), decision.calls, strict=True):
            result = function.call(call.arguments)
            results.append(await result if asyncio.iscoroutine(result) else result)
        return Run(decision, results)

    def _chosen(self, decision: Decision) -> list[Tool]:
        missing = [call.name for call in decision.calls if call.name not in self._functions]
        if missing:
            raise TypeError(f"{missing[0]} was not compiled from a function, so it cannot be run; use decide")
        return [self._functions[call.name] for call in decision.calls]

    def _produce(self, query: str, options: Options, cancel: _native.Cancel, put: Any) -> None:
        def on_event(kind: str, call: int, text: str) -> None:
            if kind == "text":
                put(Text(text))
            elif kind == "tool_name":
                put(ToolNamed(call, text))
            elif kind == "call_finished":
                put(CallFinished(call))

        try:
            put(Done(Decision.from_json(self._native.stream(query, _text(options), cancel, on_event))))
        except BaseException as error:
            put(error)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("compiled tools cannot be pickled; pickle the model and compile the tools in the other process")

    def __repr__(self) -> str:
        return f"Toolset({', '.join(self.names)})"


def _text(options: Options) -> str:
    return json.dumps(options, separators=(",", ":"))


def extract(text: str, kind: type[T], *, model: Model | None = None, **options: Unpack[Options]) -> T | None:
    """Reads an object of a class (Pydantic or dataclass) out of a text; None where it is handed off."""
    parameters = schema(kind)
    name = kind.__name__
    described = (kind.__doc__ or f"Record a {name}").strip()
    tools = (model or Model.default()).compile([{"name": name, "description": described, "parameters": parameters}])
    decision = tools.decide(text, **options)
    return construct(kind, decision.calls[0].arguments) if decision.is_call else None


_forked: "weakref.WeakSet[Toolset]" = weakref.WeakSet()


def _after_fork() -> None:
    for toolset in _forked:
        toolset._native.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
