"""Events of a decision while another thread makes it."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from . import _native
from ._decision import CallFinished, Decision, Done, Event, Text, ToolNamed

Item = Event | BaseException


def stream(native: _native.Toolset, query: str, options: str) -> Iterator[Event]:
    """Yields the events, `Done` last; leaving early cancels the decision."""
    events: queue.SimpleQueue[Item] = queue.SimpleQueue()
    cancel = _native.Cancel()
    worker = threading.Thread(target=_produce, args=(native, query, options, cancel, events.put), daemon=True)
    worker.start()
    try:
        while True:
            event = _raised(events.get())
            yield event
            if isinstance(event, Done):
                return
    finally:
        cancel.cancel()
        worker.join()


async def astream(native: _native.Toolset, query: str, options: str) -> AsyncIterator[Event]:
    """As `stream`, without blocking the loop."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Item] = asyncio.Queue()
    cancel = _native.Cancel()

    def put(event: Item) -> None:
        # The loop may have been closed under a stream that was left.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(events.put_nowait, event)

    work = asyncio.ensure_future(asyncio.to_thread(_produce, native, query, options, cancel, put))
    try:
        while True:
            event = _raised(await events.get())
            yield event
            if isinstance(event, Done):
                return
    finally:
        cancel.cancel()
        await work


def _raised(item: Item) -> Event:
    if isinstance(item, BaseException):
        raise item
    return item


def _produce(
    native: _native.Toolset, query: str, options: str, cancel: _native.Cancel, put: Callable[[Item], None]
) -> None:
    """Decides, and puts each event as it comes; an exception takes the place of `Done`."""

    def on_event(kind: str, call: int, text: str) -> None:
        if kind == "text":
            put(Text(text))
        elif kind == "tool_name":
            put(ToolNamed(call, text))
        elif kind == "call_finished":
            put(CallFinished(call))

    try:
        put(Done(Decision.from_json(native.stream(query, options, cancel, on_event))))
    except BaseException as error:
        put(error)
