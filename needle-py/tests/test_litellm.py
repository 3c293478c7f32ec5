"""The provider and the filter inside the real LiteLLM; the large model is a local server of the chat API."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

# LiteLLM asks for prices when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

from needle_rs import Router
from needle_rs.integrations.litellm import NeedleDeploymentFilter, NeedleLLM

# LiteLLM warns about its own types.
pytestmark = pytest.mark.filterwarnings("ignore")
ASK, BEYOND = "dim the lights in the bedroom to 30 percent", "why is the sky blue"
TOOL = {
    "type": "function",
    "function": {
        "name": "dim_lights",
        "description": "Dim the lights in a room to a brightness level.",
        "parameters": {
            "type": "object",
            "properties": {"room": {"type": "string"}, "level": {"type": "integer"}},
            "required": ["room", "level"],
        },
    },
}
NEEDLE = "needle/default"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def dim_lights(room: str, level: int) -> str:
    return f"{room} is at {level}"


class Large(BaseHTTPRequestHandler):
    """Says "done", refuses whoever asks for it, and keeps what it was asked."""

    asked: list[Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked.append((body, {k: v for k, v in headers.items() if k in ("authorization", "x-tenant")}))
        common = {"id": "1", "created": 0, "model": "large"}
        if body["messages"][-1]["content"] == "refuse":
            self.reply(429, "application/json", json.dumps({"error": {"message": "slow down"}}))
        elif body.get("stream"):
            deltas: list[Any] = [{"role": "assistant", "content": "do"}, {"content": "ne"}]
            choices: list[Any] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
            choices += [[{"index": 0, "delta": {}, "finish_reason": "stop"}]]
            chunks = [{**common, "object": "chat.completion.chunk", "choices": c} for c in choices]
            if body.get("stream_options"):
                chunks.append({**common, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
            events = [*map(json.dumps, chunks), "[DONE]"]
            self.reply(200, "text/event-stream", "".join(f"data: {event}\n\n" for event in events))
        else:
            message = {"role": "assistant", "content": "done"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            text = json.dumps({**common, "object": "chat.completion", "choices": [choice], "usage": USAGE})
            self.reply(200, "application/json", text)

    def reply(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def large(asked: list[Any]) -> Iterator[dict[str, Any]]:
    """The `litellm_params` of the large model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (Large,), {"asked": asked}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/v1"
    yield {"model": "openai/gpt-4o", "api_base": base, "api_key": "k", "max_retries": 0}
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def provider(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a `NeedleLLM` the provider of `needle/…`."""
    monkeypatch.setattr(litellm, "suppress_debug_info", True)

    def provide(llm: NeedleLLM) -> None:
        monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "needle", "custom_handler": llm}])

    return provide


def whole(chunks: list[Any]) -> Any:
    return litellm.stream_chunk_builder(chunks)


def stream(complete: Any, **request: Any) -> Any:
    return whole(list(complete(stream=True, stream_options={"include_usage": True}, **request)))


async def astream(complete: Any, **request: Any) -> Any:
    chunks = await complete(stream=True, stream_options={"include_usage": True}, **request)
    return whole([chunk async for chunk in chunks])


async def four_ways(
    model: str,
    messages: list[Any],
    complete: Any = litellm.completion,
    acomplete: Any = litellm.acompletion,
    **more: Any,
) -> list[Any]:
    """The answers of all four ways to ask, or what they raised."""
    request = {"model": model, "messages": messages, "tools": [TOOL], **more}
    ways = [
        asyncio.to_thread(complete, **request),
        acomplete(**request),
        asyncio.to_thread(stream, complete, **request),
        astream(acomplete, **request),
    ]
    answers = []
    for way in ways:
        try:
            answers.append(await way)
        except Exception as error:
            answers.append(error)
    return answers


def user(ask: str) -> list[Any]:
    return [{"role": "user", "content": ask}]


def called(answer: Any) -> str:
    """What the tool says that an answer calls."""
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, answer.choices[0].finish_reason) == ("dim_lights", "tool_calls")
    return dim_lights(**json.loads(call.function.arguments))


def said(answers: list[Any]) -> list[str]:
    return [answer if isinstance(answer, Exception) else answer.choices[0].message.content for answer in answers]


async def test_a_local_answer_runs_the_tool(provider, large, asked):
    provider(NeedleLLM(large, threshold=0))
    answers = await four_ways(NEEDLE, user(ASK))
    assert [called(answer) for answer in answers] == ["bedroom is at 30"] * 4 and not asked
    assert [answer.usage.total_tokens for answer in answers] == [0] * 4
    assert answers[0].model == "needle" and 0 < answers[0]._hidden_params["confidence"] <= 1
    # The tool's result is for the large model to put into words.
    message = answers[0].choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": called(answers[0])}
    assert said(await four_ways(NEEDLE, [*user(ASK), message, result])) == ["done"] * 4


async def test_a_hand_off_asks_the_large_model_as_if_nothing_stood_before_it(provider, large, asked):
    provider(NeedleLLM(large, threshold=0))
    options = {
        "tool_choice": "auto", "temperature": 0.5, "max_tokens": 9, "stop": ["."], "seed": 3, "user": "ann",
        "parallel_tool_calls": False, "extra_body": {"own": 1}, "extra_headers": {"x-tenant": "a"}, "timeout": 9,
    }  # fmt: skip
    answers = await four_ways(NEEDLE, user(BEYOND), **options)
    bare = await four_ways(messages=user(BEYOND), **large, **options)
    assert asked[:4] == asked[4:] and len(asked) == 8
    assert asked[0][0]["user"] == "ann" and asked[0][1]["x-tenant"] == "a"
    assert said(answers) == said(bare) == ["done"] * 4
    assert [answer.usage.total_tokens for answer in answers] == [10] * 4


async def test_what_the_large_model_raises_is_raised(provider, large):
    provider(NeedleLLM(large, threshold=0))
    *errors, streamed = await four_ways(NEEDLE, user("refuse"))
    # LiteLLM wraps what an async stream of a custom provider raises.
    for error in (*errors, streamed.original_exception):
        assert isinstance(error, litellm.exceptions.RateLimitError) and "slow down" in str(error)


async def test_without_a_large_model_a_hand_off_is_an_error(provider):
    provider(NeedleLLM(threshold=0))
    for error in await four_ways(NEEDLE, user(BEYOND)):
        assert isinstance(error, litellm.exceptions.BadRequestError) and "needle hands off: no_" in str(error)


async def test_sixteen_at_once(provider, large):
    provider(NeedleLLM(large, threshold=0))
    asks = [user(f"dim the lights in the bedroom to {level} percent") for level in range(1, 17)]
    request = {"model": NEEDLE, "tools": [TOOL]}
    answers = await asyncio.gather(*(litellm.acompletion(messages=messages, **request) for messages in asks))
    assert [called(answer) for answer in answers] == [f"bedroom is at {level}" for level in range(1, 17)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda messages: litellm.completion(messages=messages, **request), asks))
    assert [called(answer) for answer in answers] == [f"bedroom is at {level}" for level in range(1, 17)]


def routed(model_list: list[Any], **options: Any) -> dict[str, Any]:
    router = litellm.Router(model_list, **options)
    return {"complete": router.completion, "acomplete": router.acompletion}


async def test_the_fallbacks_of_a_router_take_over(provider, large, asked):
    decided: list[Any] = []
    provider(NeedleLLM(router=Router(threshold=0, on_decision=decided.append)))
    deployments = [
        {"model_name": "home", "litellm_params": {"model": NEEDLE}},
        {"model_name": "large", "litellm_params": large},
    ]
    ways = routed(deployments, fallbacks=[{"home": ["large"]}])
    assert said(await four_ways("home", user(BEYOND), **ways)) == ["done"] * 4
    # Hand-offs are neither tried again nor do they rest the deployment.
    assert len(decided) == len(asked) == 4
    assert [called(answer) for answer in await four_ways("home", user(ASK), **ways)] == ["bedroom is at 30"] * 4
    assert len(asked) == 4


async def test_a_router_sends_needle_only_what_it_is_sure_of(provider, large, asked, monkeypatch):
    decided: list[Any] = []
    router = Router(threshold=0, on_decision=decided.append)
    provider(NeedleLLM(router=router))
    monkeypatch.setattr(litellm, "callbacks", [NeedleDeploymentFilter(router)])
    deployments = [
        {"model_name": "home", "litellm_params": {"model": NEEDLE, "weight": 0}},
        {"model_name": "home", "litellm_params": {**large, "weight": 1}},
        {"model_name": "large", "litellm_params": large},
    ]
    ways = routed(deployments)
    for ask in range(4):
        sync, local, sync_stream, local_stream = await four_ways("home", user(ASK), **ways, max_completion_tokens=99)
        assert [called(local), called(local_stream)] == ["bedroom is at 30"] * 2
        assert said([sync, sync_stream]) == ["done"] * 2
        assert said(await four_ways("home", user(BEYOND), **ways)) == ["done"] * 4
        # The provider need not decide what the filter has decided.
        assert len(decided) == 4 * (ask + 1)
    assert [body["messages"] for body, _ in asked[:6]] == [user(ASK)] * 2 + [user(BEYOND)] * 4
    await four_ways("large", user(ASK), **ways)
    assert len(decided) == 16


async def test_a_decision_is_of_its_own_request_only(provider, large, monkeypatch):
    router = Router(threshold=0)
    provider(NeedleLLM(large, router))
    monkeypatch.setattr(litellm, "callbacks", [NeedleDeploymentFilter(router)])
    deployments = [{"model_name": "home", "litellm_params": params} for params in ({"model": NEEDLE}, large)]
    messages = user(ASK)
    answer = await litellm.Router(deployments).acompletion("home", messages, tools=[TOOL])
    assert called(answer) == "bedroom is at 30"
    # In the same task, with the same list.
    messages[0]["content"] = "dim the lights in the bedroom to 9 percent"
    answer = await litellm.acompletion(NEEDLE, messages, tools=[TOOL])
    assert called(answer) == "bedroom is at 9"
    answer = await litellm.acompletion(NEEDLE, messages, tools=[TOOL], tool_choice="none")
    assert said([answer]) == ["done"]


async def test_shadow_mode_changes_nothing(provider, large, asked, monkeypatch):
    decided: list[Any] = []
    router = Router(threshold=0, shadow=True, on_decision=decided.append)
    provider(NeedleLLM(large, router))
    assert said(await four_ways(NEEDLE, user(ASK))) == ["done"] * 4
    assert all(routed.decision.is_call for routed in decided) and len(decided) == len(asked) == 4
    provider(NeedleLLM(router=router))
    assert all("shadow mode" in str(error) for error in await four_ways(NEEDLE, user(ASK)))
