"""OpenAI's own client against `needle serve`, with a large model of Python's standard library behind it."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

ASK = "dim the lights in the bedroom to 30 percent"
PARAMETERS = {
    "type": "object",
    "properties": {
        "room": {"type": "string", "description": "Room where the lights are"},
        "level": {"type": "integer", "description": "Brightness in percent"},
    },
    "required": ["room", "level"],
}
DESCRIPTION = "Dim the lights in a room to a brightness level."
CHAT_TOOL: Any = {
    "type": "function",
    "function": {"name": "dim_lights", "description": DESCRIPTION, "parameters": PARAMETERS},
}
FLAT_TOOL: Any = {"type": "function", "name": "dim_lights", "description": DESCRIPTION, "parameters": PARAMETERS}


class LargeModel(BaseHTTPRequestHandler):
    """Says "done"; refuses whoever asks for it."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ask = body["messages"][-1]["content"]
        if ask == "refuse":
            self.reply(429, {"error": {"message": "slow down", "type": "rate_limit"}})
        else:
            message = {"role": "assistant", "content": f"done: {ask}"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.reply(200, {"id": "1", "object": "chat.completion", "created": 0, "model": "l", "choices": [choice]})

    def reply(self, status: int, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = tmp_path_factory.mktemp("serve") / "policy.json"
    policy.write_text('{"threshold": 0}')
    large = ThreadingHTTPServer(("127.0.0.1", 0), LargeModel)
    threading.Thread(target=large.serve_forever, daemon=True).start()
    arguments = ["--port", "0", "--policy", str(policy), "--upstream", f"http://127.0.0.1:{large.server_port}"]
    command = "import sys; from needle_rs._command import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", command, "serve", *arguments], stderr=subprocess.PIPE, text=True
    ) as needle:
        assert needle.stderr is not None
        line = needle.stderr.readline()
        assert line.startswith("listening on "), line
        threading.Thread(target=needle.stderr.read, daemon=True).start()
        yield line.split()[-1] + "/v1"
        needle.terminate()
        assert needle.wait(10) == 0
    large.shutdown()
    large.server_close()


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


def chat(ask: str) -> Any:
    return {"model": "large", "messages": [{"role": "user", "content": ask}], "tools": [CHAT_TOOL]}


def test_chat(client):
    completion = client.chat.completions.create(**chat(ASK))
    (call,) = completion.choices[0].message.tool_calls
    assert json.loads(call.function.arguments) == {"room": "bedroom", "level": 30}
    assert completion.choices[0].finish_reason == "tool_calls"
    with client.chat.completions.stream(**chat(ASK)) as stream:
        (streamed,) = stream.get_final_completion().choices[0].message.tool_calls
    assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)


def test_responses(client):
    response = client.responses.create(model="large", input=ASK, tools=[FLAT_TOOL])
    (item,) = response.output
    assert (item.type, json.loads(item.arguments)) == ("function_call", {"room": "bedroom", "level": 30})
    with client.responses.stream(model="large", input=ASK, tools=[FLAT_TOOL]) as stream:
        (streamed,) = stream.get_final_response().output
    assert (streamed.name, streamed.arguments) == (item.name, item.arguments)


def test_the_large_model_answers_the_rest(client):
    completion = client.chat.completions.create(**chat("why is the sky blue"))
    assert completion.choices[0].message.content == "done: why is the sky blue"
    raw = client.chat.completions.with_raw_response.create(**chat("why is the sky blue"))
    assert raw.headers["x-needle-route"] == "handoff"


def test_its_errors_are_the_clients(client):
    with pytest.raises(openai.RateLimitError, match="slow down"):
        client.chat.completions.create(**chat("refuse"))


async def test_sixteen_at_once(url):
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:

        async def ask(number: int) -> str:
            said = f"dim the attic to {number} percent" if number % 2 else f"why is the sky {number}"
            message = (await client.chat.completions.create(**chat(said))).choices[0].message
            return message.content or message.tool_calls[0].function.arguments

        answers = await asyncio.gather(*(ask(number) for number in range(1, 17)))
    for number, answer in enumerate(answers, 1):
        assert (json.loads(answer)["level"] == number) if number % 2 else (answer == f"done: why is the sky {number}")
