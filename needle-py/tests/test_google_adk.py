"""The plugin inside real ADK runs; the large model is one of a few lines behind ADK's own interface."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

if sys.version_info < (3, 11):
    pytest.skip("ADK needs Python 3.11", allow_module_level=True)

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.apps import App
from google.adk.events import Event
from google.adk.models import BaseLlm, LlmRequest, LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.tools import BaseTool, google_search
from google.genai import types
from pydantic import BaseModel

from needle_rs import Reason, Router
from needle_rs.integrations.google_adk import NeedlePlugin

ASK = "dim the lights in the bedroom to 30 percent"
SKY = "why is the sky blue"


class Large(BaseLlm):
    """Says "done", in two pieces where it streams, and keeps what it was asked."""

    model: str = "gemini-3-large"
    asked: list[dict[str, Any]]
    answer: types.Part = types.Part(text="done")

    async def generate_content_async(self, llm_request: LlmRequest, stream: bool = False) -> AsyncIterator[LlmResponse]:
        self.asked.append(llm_request.model_dump())
        if stream:
            yield LlmResponse(content=types.Content(role="model", parts=[types.Part(text="do")]), partial=True)
        yield LlmResponse(content=types.Content(role="model", parts=[self.answer]))


class Broken(Large):
    """Cannot be reached."""

    async def generate_content_async(self, llm_request: LlmRequest, stream: bool = False) -> AsyncIterator[LlmResponse]:
        raise ConnectionError("no network")
        yield

    def connect(self, llm_request: LlmRequest) -> Any:
        raise ConnectionError("no live network")


def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level}"


class DimLights(BaseTool):
    """The same tool, declared with Gemini's own schemas."""

    def __init__(self) -> None:
        super().__init__(name="dim_lights", description=dim_lights.__doc__ or "")

    def _get_declaration(self) -> types.FunctionDeclaration:
        nullable = types.Schema(any_of=[types.Schema(type=types.Type.STRING), types.Schema(type=types.Type.NULL)])
        parameters = types.Schema(
            type=types.Type.OBJECT,
            properties={
                "scene": nullable,
                "level": types.Schema(type=types.Type.INTEGER, minimum=0, maximum=100),
                "room": types.Schema(type=types.Type.STRING, min_length=1),
            },
            property_ordering=["room", "level", "scene"],
            required=["room", "level", "scene"],
        )
        return types.FunctionDeclaration(name=self.name, description=self.description, parameters=parameters)

    async def run_async(self, *, args: dict[str, Any], tool_context: Any) -> Any:
        return f"{args['room']} is at {args['level']} with {args['scene']}"


class Answer(BaseModel):
    text: str


@pytest.fixture
def large() -> Large:
    return Large(asked=[])


def agent(large: Large, **options: Any) -> LlmAgent:
    return LlmAgent(**({"name": "home", "model": large, "tools": [dim_lights]} | options))


async def run(agent: Any, ask: str | types.Part = ASK, plugin: Any = None, **config: Any) -> list[Event]:
    runner = InMemoryRunner(app=App(name="home", root_agent=agent, plugins=[plugin or NeedlePlugin(threshold=0)]))
    session = await runner.session_service.create_session(app_name=runner.app_name, user_id="me")
    message = types.Content(role="user", parts=[ask if isinstance(ask, types.Part) else types.Part(text=ask)])
    events = runner.run_async(
        user_id="me", session_id=session.id, new_message=message, run_config=RunConfig(**config) if config else None
    )
    return [event async for event in events]


def calls(events: list[Event]) -> list[types.FunctionCall]:
    return [call for event in events for call in event.get_function_calls()]


def results(events: list[Event]) -> list[Any]:
    return [r.response["result"] for event in events for r in event.get_function_responses() if r.response]


def said(event: Event) -> str | None:
    return event.content.parts[0].text if event.content and event.content.parts else None


async def test_a_local_answer_runs_the_tool(large):
    events = await run(agent(large))
    assert (results(events), said(events[-1]), len(large.asked)) == (["bedroom is at 30"], "done", 1)
    assert events[0].model_version == "needle" and 0 < events[0].custom_metadata["confidence"] <= 1
    # What the large model is shown of it, Gemini accepts, and other models find by its id.
    (called,) = [p for c in large.asked[0]["contents"] for p in c["parts"] if p["function_call"]]
    assert called["thought_signature"] == b"skip_thought_signature_validator"
    assert calls(events)[0].id


async def test_as_callback_of_one_agent_in_a_conversation(large):
    callback = NeedlePlugin(threshold=0).before_model_callback
    runner = InMemoryRunner(agent(large, before_model_callback=callback))
    events = await runner.run_debug([ASK, SKY, "dim the lights in the bedroom to 20 percent"], quiet=True)
    assert results(events) == ["bedroom is at 30", "bedroom is at 20"] and len(large.asked) == 3


def test_without_a_loop(large):
    app = App(name="home", root_agent=agent(large), plugins=[NeedlePlugin(threshold=0)])
    runner = InMemoryRunner(app=app)
    session = runner.session_service.create_session_sync(app_name=runner.app_name, user_id="me")
    message = types.Content(role="user", parts=[types.Part(text=ASK)])
    events = list(runner.run(user_id="me", session_id=session.id, new_message=message))
    assert results(events) == ["bedroom is at 30"] and len(large.asked) == 1


async def test_a_hand_off_asks_the_large_model_as_if_nothing_stood_before_it(large):
    bare = Large(asked=[])
    await run(agent(large), SKY)
    await InMemoryRunner(agent(bare)).run_debug(SKY, quiet=True)
    assert large.asked == bare.asked and len(large.asked) == 1


async def test_shadow_mode_changes_nothing(large):
    seen = []
    events = await run(agent(large), plugin=NeedlePlugin(Router(threshold=0, shadow=True, on_decision=seen.append)))
    assert said(events[0]) == "done" and seen[0].decision.is_call


async def test_the_schemas_of_gemini_are_read(large):
    events = await run(agent(large, tools=[DimLights()]))
    assert results(events) == ["bedroom is at 30 with None"] and len(large.asked) == 1


def config(**settings: Any) -> dict[str, Any]:
    return {"generate_content_config": types.GenerateContentConfig(**settings)}


def calling(**settings: Any) -> dict[str, Any]:
    return config(tool_config=types.ToolConfig(function_calling_config=types.FunctionCallingConfig(**settings)))


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [dim_lights, google_search]},
        {"sub_agents": [LlmAgent(name="other", model=Large(asked=[]))]},
        {"output_schema": Answer},
        config(response_mime_type="application/json"),
        config(response_json_schema={"type": "object"}),
        config(response_modalities=["AUDIO"]),
        config(cached_content="cachedContents/1"),
        config(candidate_count=2),
        calling(mode="NONE"),
        calling(mode="ANY", allowed_function_names=["dim_lights", "other"]),
    ],
    ids=lambda options: "-".join(options),
)
async def test_what_only_the_large_model_can_do_is_handed_off(large, options):
    seen = []
    plugin = NeedlePlugin(Router(threshold=0, on_decision=seen.append))
    events = await run(agent(large, **options), plugin=plugin)
    assert not calls(events) and len(large.asked) == 1
    assert seen[0].decision.reason == Reason.UNSUPPORTED_REQUEST


@pytest.mark.parametrize(
    "options",
    [
        calling(mode="AUTO"),
        calling(mode="VALIDATED"),
        calling(mode="ANY", allowed_function_names=["dim_lights"]),
        config(response_mime_type="text/plain", response_modalities=["TEXT"], candidate_count=1),
    ],
)
async def test_what_a_call_answers_is_not_handed_off(large, options):
    assert results(await run(agent(large, **options))) == ["bedroom is at 30"]


async def test_media_are_for_the_large_model(large):
    seen = []
    image = types.Part(inline_data=types.Blob(mime_type="image/png", data=b"1"))
    await run(agent(large), image, NeedlePlugin(Router(threshold=0, on_decision=seen.append)))
    assert len(large.asked) == 1 and seen[0].decision.reason == Reason.UNSUPPORTED_REQUEST


async def test_only_a_human_asks(large):
    """With a fixed instruction, the other one is a user's message, and so is what another agent did."""
    instructions = {"static_instruction": "You control a home.", "instruction": "dim the hall lights to 20 percent"}
    assert results(await run(agent(large, **instructions))) == ["bedroom is at 30"]

    seen = []
    transfer = types.FunctionCall(name="transfer_to_agent", args={"agent_name": "lights"})
    alone = {"disallow_transfer_to_parent": True, "disallow_transfer_to_peers": True}
    root = agent(
        Large(answer=types.Part(function_call=transfer), asked=[]),
        sub_agents=[agent(large, name="lights", **alone)],
    )
    events = await run(root, plugin=NeedlePlugin(Router(threshold=0, on_decision=seen.append)))
    assert [call.name for call in calls(events)] == ["transfer_to_agent"] and said(events[-1]) == "done"
    assert [routed.decision.reason for routed in seen] == [Reason.UNSUPPORTED_REQUEST, Reason.NOT_A_USER_TURN]


async def test_streams(large):
    events = await run(agent(large), streaming_mode=StreamingMode.SSE)
    assert [(bool(event.partial), said(event)) for event in events] == [
        (False, None),
        (False, None),
        (True, "do"),
        (False, "done"),
    ]
    assert results(events) == ["bedroom is at 30"]


async def test_live_sessions_are_the_large_models():
    seen = []
    plugin = NeedlePlugin(Router(threshold=0, provider_tools="ignore", on_decision=seen.append))
    with pytest.raises(ConnectionError, match="no live network"):
        await run(agent(Broken(asked=[])), plugin=plugin, streaming_mode=StreamingMode.SSE, support_cfc=True)
    assert [routed.decision.reason for routed in seen] == [Reason.UNSUPPORTED_REQUEST]


async def test_what_the_large_model_raises_is_raised():
    with pytest.raises(ConnectionError, match="no network"):
        await run(agent(Broken(asked=[])), SKY)


async def test_sixteen_at_once(large):
    shared, plugin = agent(large), NeedlePlugin(threshold=0)
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    runs = await asyncio.gather(*(run(shared, ask, plugin) for ask in asks))
    assert [results(events) for events in runs] == [[f"bedroom is at {level}"] for level in range(1, 17)]
    assert len({call.id for events in runs for call in calls(events)}) == 16
