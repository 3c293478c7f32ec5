"""Many threads, tasks and processes with one compiled list of tools."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import needle_rs
from decisions import CALL, QUERY, TOOLS
from needle_rs import Done


@pytest.fixture(scope="module")
def tools(model) -> needle_rs.Toolset:
    return model.compile(TOOLS)


class Endless:
    """Decides again and again until it is cancelled."""

    def __init__(self, native) -> None:
        self.native = native
        self.started, self.ended = threading.Event(), threading.Event()

    def decide(self, query: str, options: str, cancel) -> str:
        try:
            while True:
                self.native.decide(query, options, cancel)
                self.started.set()
        except needle_rs.Cancelled:
            self.ended.set()
            raise


def test_threads_share_tools(tools):
    barrier = threading.Barrier(16)

    def decide(_):
        barrier.wait()
        return [tools.decide(QUERY).calls for _ in range(10)]

    with ThreadPoolExecutor(16) as pool:
        assert all(calls == [CALL] for found in pool.map(decide, range(16)) for calls in found)


def test_the_interpreter_is_released(tools):
    done = threading.Event()
    thread = threading.Thread(target=lambda: (tools.decide_batch([QUERY] * 50), done.set()))
    thread.start()
    turns = 0
    while not done.is_set():
        time.sleep(0)
        turns += 1
    thread.join()
    assert turns > 20


async def test_tasks_decide_and_stream(tools):
    decisions = await asyncio.gather(*(tools.adecide(QUERY) for _ in range(16)))
    assert all(d.calls == [CALL] for d in decisions)
    *_, last = [event async for event in tools.astream(QUERY)]
    assert isinstance(last, Done) and last.decision.calls == [CALL]


async def test_a_cancelled_task_ends_its_decision(tools, monkeypatch):
    endless = Endless(tools._native)
    monkeypatch.setattr(tools, "_native", endless)
    task = asyncio.create_task(tools.adecide(QUERY))
    await asyncio.to_thread(endless.started.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(endless.ended.wait, 30)


async def test_errors_reach_tasks(tools):
    with pytest.raises(needle_rs.DeadlineExceeded):
        await tools.adecide(QUERY, deadline_ms=0)
    with pytest.raises(needle_rs.OptionError):
        async for _ in tools.astream(QUERY, max_calls=0):
            pass


async def test_streams_may_be_left_early(tools):
    for _ in tools.stream(QUERY):
        break
    async for _ in tools.astream(QUERY):
        break
    task = asyncio.create_task(anext(tools.astream(QUERY)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tools.decide(QUERY).calls == [CALL]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_process_decides_while_others_decide(model, threads):
    tools = model.compile(TOOLS, threads=threads)
    tools.decide(QUERY)
    stop = threading.Event()

    def decide() -> None:
        while not stop.is_set():
            tools.decide(QUERY)

    busy = threading.Thread(target=decide)
    busy.start()
    try:
        for _ in range(8):
            assert child_of_fork(lambda: tools.decide(QUERY).calls == [CALL]) == 0
    finally:
        stop.set()
        busy.join()
    assert tools.decide(QUERY).calls == [CALL]


def child_of_fork(works) -> int:
    """Exit code of a forked process: 0 if it works, a signal's number if it hangs."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if works() else 2
        finally:
            os._exit(code)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, 9)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
