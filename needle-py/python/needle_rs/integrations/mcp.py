"""MCP: a server's tools for needle, and needle as a server with the tools `decide` and `nearest`.

tools = await tools_from_mcp(client)
routed = await router.adecide({"messages": messages, "tools": tools})
results = await call_tools(client, routed.calls)

The server speaks over stdin and stdout: `python -m needle_rs.integrations.mcp`, or with a policy of your own
`python -c "from needle_rs.integrations.mcp import server; server(threshold=0.9).run()"`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from mcp import Client, ClientSession
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, PaginatedRequestParams, Tool, ToolAnnotations
from pydantic import Field
from typing_extensions import Required, TypedDict

from .._decision import Call, Reason, Timings, Ungrounded
from .._errors import NeedleError
from .._router import Policy, Router
from .._tool import definition

if TYPE_CHECKING:
    from typing_extensions import Unpack


async def tools_from_mcp(session: Client | ClientSession) -> list[dict[str, Any]]:
    """All tools of a server, as `Model.compile` and a router's requests take them.

    The server's annotations are kept: a router wants more confidence for what is marked destructive.
    """
    tools: list[Tool] = []
    cursor: str | None = None
    seen: set[str | None] = set()
    # None begins the list and ends it; any other cursor that comes again would never end.
    while cursor not in seen:
        seen.add(cursor)
        if isinstance(session, Client):
            page = await session.list_tools(cursor=cursor)
        else:
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        tools += page.tools
        cursor = page.next_cursor or None
    return [definition(tool)[0] for tool in tools]


async def call_tools(session: Client | ClientSession, calls: Sequence[Call]) -> list[CallToolResult]:
    """Makes a decision's calls on the server, one after the other; a tool that fails says so in its `is_error`."""
    return [await session.call_tool(call.name, call.arguments) for call in calls]


class Decided(TypedDict, total=False):
    """Calls to make, or a hand-off to a larger model with its reason. Never make suppressed calls unseen."""

    decision: Required[Literal["call", "handoff"]]
    reason: Reason
    detail: str
    calls: list[Call]
    confidence: Required[float | None]
    suppressed_calls: list[Call]
    ungrounded: list[Ungrounded]
    timings: Required[Timings]


class Near(TypedDict):
    """A tool, and how near it is to a query: 1 is nearest."""

    name: str
    cosine: float


Query = Annotated[str, Field(description="What the user asks, in their own words.")]
Tools = Annotated[
    list[dict[str, Any]], Field(description="Definitions of MCP, OpenAI, Anthropic or Gemini, or JSON Schemas.")
]
Count = Annotated[int, Field(ge=1, description="Most tools to name.")]


def server(router: Router | None = None, **policy: Unpack[Policy]) -> MCPServer[Any]:
    """A server that decides, with a router or the policy of one; `run()` serves."""
    router = router or Router(**policy)
    made: MCPServer[Any] = MCPServer("needle", version=version("needle-rs"))
    harmless = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

    @made.tool(annotations=harmless)
    async def decide(query: Query, tools: Tools) -> Decided:
        """Decide which tools a request needs: calls to make, or a hand-off if they are not certain. Calls nothing."""
        decision = (await router.adecide(_request(query, tools))).decision
        if decision.reason is Reason.UNSUPPORTED_SCHEMA:
            await asyncio.to_thread(_check, router, tools)
        return cast("Decided", decision.to_dict())

    @made.tool(annotations=harmless)
    def nearest(query: Query, tools: Tools, count: Count) -> list[Near]:
        """Name the tools that are nearest to a request, best first: what to show a large model where there are many."""
        # The server runs this on a thread.
        found = router.nearest(_request(query, tools), min(count, len(tools)))
        if not found:
            _check(router, tools)
        return [Near(name=name, cosine=cosine) for name, cosine in found]

    return made


def _request(query: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": query}], "tools": tools}


def _check(router: Router, tools: list[dict[str, Any]]) -> None:
    """Definitions that cannot be read are a hand-off for a router, but here the caller's mistake."""
    try:
        router.model.compile(tools)
    except NeedleError as error:
        raise ToolError(str(error)) from error


if __name__ == "__main__":
    server().run()
