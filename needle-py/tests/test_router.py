"""Requests through a router."""

import asyncio
import threading

import pytest

import needle_rs
from needle_rs import Reason, Routed, Router

ASK = "dim the lights in the bedroom to 30 percent"
DIM_LIGHTS = {
    "name": "dim_lights",
    "description": "Dim the lights in a room to a brightness level.",
    "parameters": {
        "type": "object",
        "properties": {
            "room": {"type": "string", "description": "Room where the lights are"},
            "level": {"type": "integer", "minimum": 0, "maximum": 100, "description": "Brightness in percent"},
        },
        "required": ["room", "level"],
    },
}


def body(ask: object = ASK) -> dict:
    return {"messages": [{"role": "user", "content": ask}], "tools": [{"type": "function", "function": DIM_LIGHTS}]}


def test_a_request_is_answered_or_handed_off():
    router = Router(threshold=0)
    routed = router.decide(body())
    assert [(c.name, c.arguments) for c in routed.calls] == [("dim_lights", {"room": "bedroom", "level": 30})]
    assert (routed.seen.message, routed.seen.tools, routed.seen.cached) == (0, 1, False)
    assert router.decide(body()).seen.cached
    assert router.decide({"input": ASK, "tools": [DIM_LIGHTS]}, api="responses").calls == routed.calls
    handed_off = router.decide({**body(), "response_format": {"type": "json_object"}})
    assert (handed_off.calls, handed_off.decision.reason) == ([], Reason.UNSUPPORTED_REQUEST)


def test_policies():
    assert Router(threshold=0, never=["dim_lights"]).decide(body()).decision.reason == Reason.DENIED_TOOL
    assert Router(threshold=0, thresholds={"dim_lights": 1}).decide(body()).decision.reason == Reason.LOW_CONFIDENCE
    assert Router(threshold=0, deadline_ms=0).decide(body()).decision.reason == Reason.DEADLINE
    with pytest.raises(needle_rs.OptionError, match="unknown field `treshold`"):
        Router(treshold=0)
    with pytest.raises(needle_rs.OptionError, match="must be chat, responses or messages"):
        Router().decide(body(), api="soap")


def test_shadow_mode_reports_and_answers_nothing():
    seen: list[Routed] = []
    routed = Router(threshold=0, shadow=True, on_decision=seen.append).decide(body())
    assert routed.calls == [] and routed.decision.is_call
    assert seen == [routed]


def test_what_has_no_json_form_is_media():
    routed = Router(threshold=0).decide({**body(), "messages": [{"role": "user", "content": [object()]}]})
    assert routed.decision.reason == Reason.UNSUPPORTED_REQUEST


@pytest.mark.parametrize("ask", ["dim the lights \ud800", float("nan")])
def test_what_is_no_json_is_handed_off(ask: object):
    assert Router(threshold=0).decide(body(ask)).decision.reason == Reason.UNSUPPORTED_REQUEST
    assert Router().nearest(body(ask), 1) == []


def test_threads_and_tasks_share_a_router():
    router = Router(threshold=0)
    wrong: list[int] = []

    def work(start: int) -> None:
        for level in range(start, start + 10):
            (call,) = router.decide(body(f"dim the lights in the bedroom to {level} percent")).calls
            if call.arguments["level"] != level:
                wrong.append(level)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(1, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

    async def together() -> list[Routed]:
        return await asyncio.gather(*(router.adecide(body(f"dim the attic to {n} percent")) for n in range(1, 17)))

    assert [r.calls[0].arguments["level"] for r in asyncio.run(together())] == list(range(1, 17))
