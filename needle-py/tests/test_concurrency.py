"""Many threads, tasks and processes with one compiled list of tools."""

import asyncio
import contextlib
import json
import os
import pickle
import subprocess
import sys
import sysconfig
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


def test_threads_share_everything(model, tools):
    """Each does all there is, in an order of its own."""
    router = needle_rs.Router(model, threshold=0, cached_toolsets=1)
    functions = [{"type": "function", "function": tool} for tool in json.loads(TOOLS)]
    messages = [{"role": "user", "content": QUERY}]
    requests = [{"messages": messages, "tools": order} for order in (functions, functions[::-1])]

    def decide():
        assert tools.decide(QUERY).calls == [CALL]

    def decide_batch():
        assert [d.calls for d in tools.decide_batch([QUERY, "", QUERY])] == [[CALL], [], [CALL]]

    def stream():
        *_, last = tools.stream(QUERY)
        assert isinstance(last, Done) and last.decision.calls == [CALL]

    def leave_a_stream():
        for _ in tools.stream(QUERY):
            break

    def cancel():
        async def cancelled():
            task = asyncio.create_task(tools.adecide(QUERY))
            await asyncio.sleep(0.002)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert (await task).calls == [CALL]

        asyncio.run(cancelled())

    def fail():
        with pytest.raises(needle_rs.OptionError):
            tools.decide(QUERY, max_calls=0)

    def compile_again():
        assert pickle.loads(pickle.dumps(model)).compile(TOOLS, threads=2).decide(QUERY).calls == [CALL]

    def route():
        for request in requests:
            assert router.decide(request).calls == [CALL]

    works = [decide, decide_batch, stream, leave_a_stream, cancel, fail, compile_again, route]
    barrier = threading.Barrier(len(works))

    def work(first: int):
        barrier.wait()
        for i in range(3 * len(works)):
            works[(first + i) % len(works)]()

    with ThreadPoolExecutor(len(works)) as pool:
        assert list(pool.map(work, range(len(works)))) == [None] * len(works)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="an interpreter with a global lock")
def test_the_global_lock_stays_off():
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    program = "import sys, needle_rs; needle_rs.Model.default(); sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True)


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
