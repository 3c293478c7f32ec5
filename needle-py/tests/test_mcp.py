"""MCP's own clients and servers, with needle on either side."""

import asyncio
import json
import sys
import threading
from dataclasses import fields
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.server import Server
from mcp.server.mcpserver import MCPServer
from mcp.types import INTERNAL_ERROR, CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations

from needle_rs import Call, Decision, Reason, Router
from needle_rs.integrations.mcp import call_tools, server, tools_from_mcp

ASK = "dim the lights in the bedroom to 30 percent"
SCHEMA = {
    "type": "object",
    "properties": {"room": {"type": "string"}, "level": {"type": "integer"}},
    "required": ["room", "level"],
}
DESCRIPTION = "Dim the lights in a room to a brightness level."
DIM = {"name": "dim_lights", "description": DESCRIPTION, "inputSchema": SCHEMA}
TIMER = {
    "name": "set_timer",
    "description": "Start a countdown timer.",
    "inputSchema": {"type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"]},
}
NEEDLE = StdioServerParameters(command=sys.executable, args=["-m", "needle_rs.integrations.mcp"])


class Home:
    """A server of one tool a page, which keeps what it was asked."""

    def __init__(self, *tools: Tool, after: str | None = None) -> None:
        self.tools, self.after = tools, after
        self.cursors: list[str | None] = []
        self.called: list[Any] = []
        self.server: Server[Any] = Server("home", on_list_tools=self.list_tools, on_call_tool=self.call_tool)

    async def list_tools(self, _: Any, params: Any) -> ListToolsResult:
        cursor = None if params is None else params.cursor
        self.cursors.append(cursor)
        if not self.tools:
            raise MCPError(code=INTERNAL_ERROR, message="nobody is home")
        page = int(cursor or 0)
        more = str(page + 1) if page + 1 < len(self.tools) else self.after
        return ListToolsResult(tools=[self.tools[page]], next_cursor=more)

    async def call_tool(self, _: Any, params: Any) -> CallToolResult:
        self.called.append((params.name, params.arguments))
        text = "{room} is at {level}".format(**params.arguments)
        return CallToolResult(content=[TextContent(text=text)], is_error=params.arguments["level"] > 100)


def dim_lights(**hints: bool) -> Tool:
    annotations = ToolAnnotations(**hints) if hints else None
    return Tool(name="dim_lights", description=DESCRIPTION, input_schema=SCHEMA, annotations=annotations)


def request(ask: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": ask}], "tools": tools}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("of", [lambda client: client, lambda client: client.session], ids=["Client", "ClientSession"])
async def test_tools_of_all_pages_keep_their_annotations(mode, of, model):
    timer = Tool(name="set_timer", input_schema=TIMER["inputSchema"])
    home = Home(dim_lights(destructive_hint=True, read_only_hint=False), timer)
    async with Client(home.server, mode=mode) as client:
        tools = await tools_from_mcp(of(client))
    assert tools == [
        {**DIM, "annotations": {"destructiveHint": True, "readOnlyHint": False}},
        {**TIMER, "description": ""},
    ]
    assert home.cursors == [None, "1"]
    assert model.compile(tools).decide(ASK, threshold=0).calls[0].arguments == {"room": "bedroom", "level": 30}


@pytest.mark.parametrize("after", ["", "1"])
async def test_pages_end_where_the_server_does_not_end_them(after):
    home = Home(dim_lights(), Tool(name="set_timer", input_schema={"type": "object"}), after=after)
    async with Client(home.server) as client:
        assert [tool["name"] for tool in await tools_from_mcp(client)] == ["dim_lights", "set_timer"]
    assert home.cursors == [None, "1"]


async def test_an_error_of_the_server_reaches_the_caller():
    async with Client(Home().server) as client:
        with pytest.raises(MCPError, match="nobody is home"):
            await tools_from_mcp(client)


@pytest.mark.parametrize("of", [lambda client: client, lambda client: client.session], ids=["Client", "ClientSession"])
async def test_calls_run_on_the_server_in_their_order(of):
    home = Home(dim_lights())
    made = [("dim_lights", {"room": "hall", "level": 200}), ("dim_lights", {"room": "bedroom", "level": 30})]
    async with Client(home.server) as client:
        results = await call_tools(of(client), [Call(*call) for call in made])
    assert home.called == made
    assert [(r.content[0].text, r.is_error) for r in results] == [("hall is at 200", True), ("bedroom is at 30", False)]


async def test_a_hand_off_calls_nothing():
    home = Home(dim_lights())
    async with Client(home.server) as client:
        routed = await Router().adecide(request("why is the sky blue", await tools_from_mcp(client)))
        assert await call_tools(client, routed.calls) == []
    assert routed.decision.reason == Reason.NO_MATCHING_TOOL and home.called == []


async def test_what_is_destructive_needs_more_confidence():
    router = Router(threshold=0, destructive_threshold=1)
    decisions = []
    for destructive in (False, True):
        async with Client(Home(dim_lights(destructive_hint=destructive)).server) as client:
            routed = await router.adecide(request(ASK, await tools_from_mcp(client)))
        decisions.append(routed.decision)
    harmless, marked = decisions
    assert harmless.is_call and marked.reason == Reason.LOW_CONFIDENCE
    assert harmless.calls == marked.suppressed_calls and harmless.confidence == marked.confidence


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_server_decides(mode):
    router = Router()
    async with Client(NEEDLE, mode=mode) as client:
        for query in (ASK, "why is the sky blue", ""):
            for tools in ([DIM, TIMER], json.dumps([DIM, TIMER])):
                result = await client.call_tool("decide", {"query": query, "tools": tools})
                expected = router.decide(request(query, [DIM, TIMER])).decision.to_dict()
                assert not result.is_error and json.loads(result.content[0].text) == result.structured_content
                assert result.structured_content | {"timings": 0} == expected | {"timings": 0}
                assert result.structured_content["timings"].keys() == expected["timings"].keys()
        for count, names in [(1, ["dim_lights"]), (2**70, ["dim_lights", "set_timer"])]:
            arguments = {"query": ASK, "tools": [TIMER, DIM], "count": count}
            found = (await client.call_tool("nearest", arguments)).structured_content["result"]
            assert [near["name"] for near in found] == names
            assert all(near.keys() == {"name", "cosine"} and near["cosine"] <= 1 for near in found)
            assert found == sorted(found, key=lambda near: -near["cosine"])


async def test_the_server_says_what_it_offers():
    async with Client(NEEDLE) as client:
        decide, nearest = (await client.list_tools()).tools
        assert client.server_info.name == "needle"
    assert (decide.name, nearest.name) == ("decide", "nearest")
    for tool in (decide, nearest):
        assert tool.annotations == ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
        assert tool.description and all("description" in p for p in tool.input_schema["properties"].values())
    assert decide.output_schema["$defs"]["Reason"]["enum"] == [reason.value for reason in Reason]
    assert decide.output_schema["properties"].keys() == {"decision", *(field.name for field in fields(Decision))}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"tools": [DIM]}, "query\n  Field required"),
        ({"query": 3, "tools": [DIM]}, "query\n  Input should be a valid string"),
        ({"query": ASK}, "tools\n  Field required"),
        ({"query": ASK, "tools": "[{"}, "tools\n  Input should be a valid list"),
        ({"query": ASK, "tools": ["dim_lights"]}, "tools.0\n  Input should be a valid dictionary"),
        ({"query": ASK, "tools": [{"nam": "x"}]}, 'tool #0, at "": has no "name"; give the tool one'),
        ({"query": ASK, "tools": [DIM, DIM]}, 'the name "dim_lights" is already that of tool #0'),
        ({"query": ASK, "tools": [DIM], "count": 0}, "count\n  Input should be greater than or equal to 1"),
    ],
)
async def test_bad_input_is_an_error_that_names_it(arguments, message):
    async with Client(server()) as client:
        if "count" not in arguments:
            result = await client.call_tool("decide", arguments)
            assert result.is_error and message in result.content[0].text
        result = await client.call_tool("nearest", {"count": 1, **arguments})
        assert result.is_error and message in result.content[0].text
        assert not (await client.call_tool("decide", {"query": ASK, "tools": [DIM]})).is_error


async def test_tools_that_can_be_read_but_not_called_are_no_error():
    provider = {"query": ASK, "tools": [DIM, {"type": "web_search"}]}
    beyond = {"query": ASK, "tools": [{**DIM, "inputSchema": {**SCHEMA, "not": {"required": ["room"]}}}]}
    async with Client(server(threshold=0)) as client:
        for arguments, reason in [(provider, "unsupported_request"), (beyond, "unsupported_schema")]:
            result = await client.call_tool("decide", arguments)
            assert not result.is_error and result.structured_content["reason"] == reason


async def test_the_policy_is_the_servers():
    async with Client(server(threshold=1)) as client:
        result = await client.call_tool("decide", {"query": ASK, "tools": [DIM]})
    assert result.structured_content["reason"] == "low_confidence"
    assert result.structured_content["suppressed_calls"] == [
        {"name": "dim_lights", "arguments": {"room": "bedroom", "level": 30}}
    ]


async def test_the_loop_goes_on_meanwhile():
    class Waits(Router):
        def __init__(self) -> None:
            super().__init__()
            self.go_on = threading.Event()

        def decide(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("blocks the loop")

        def nearest(self, *given: Any, **options: Any) -> list[tuple[str, float]]:
            assert self.go_on.wait(10)
            return super().nearest(*given, **options)

    router = Waits()
    arguments = {"query": ASK, "tools": [DIM]}
    async with Client(server(router)) as client:
        nearest = asyncio.create_task(client.call_tool("nearest", {**arguments, "count": 1}))
        decided = await client.call_tool("decide", arguments)
        assert not decided.is_error and not nearest.done()
        router.go_on.set()
        assert (await nearest).structured_content["result"][0]["name"] == "dim_lights"


async def test_sixteen_at_once():
    asks = [f"dim the lights in the bedroom to {level} percent" for level in range(1, 17)]
    certain = "from needle_rs.integrations.mcp import server; server(threshold=0).run()"
    async with Client(StdioServerParameters(command=sys.executable, args=["-c", certain])) as client:
        calls = [client.call_tool("decide", {"query": ask, "tools": [DIM]}) for ask in asks]
        results = await asyncio.gather(*calls)
    found = [result.structured_content["calls"][0]["arguments"] for result in results]
    assert found == [{"room": "bedroom", "level": level} for level in range(1, 17)]


async def test_sixteen_calls_at_once_on_a_server_of_functions():
    home = MCPServer("home")

    @home.tool()
    def dim_lights(room: str, level: int) -> str:
        """Dim the lights in a room to a brightness level."""
        return f"{room} is at {level}"

    router = Router(threshold=0)

    async def run(ask: str) -> Any:
        routed = await router.adecide(request(ask, tools))
        return [result.structured_content for result in await call_tools(client, routed.calls)]

    async with Client(home) as client:
        tools = await tools_from_mcp(client)
        found = await asyncio.gather(
            *(run(f"dim the lights in the bedroom to {level} percent") for level in range(1, 17))
        )
    assert found == [[{"result": f"bedroom is at {level}"}] for level in range(1, 17)]
