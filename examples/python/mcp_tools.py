"""MCP: easy calls of a server's tools are decided locally and made there, everything else is for the large model.

pip install "needle-rs[mcp]"; put StdioServerParameters(command=…, args=[…]) or a URL in place of the server.
"""

import asyncio
import sys

from mcp import Client
from mcp.server.mcpserver import MCPServer

from needle_rs import Router
from needle_rs.integrations.mcp import call_tools, tools_from_mcp

home = MCPServer("home")


@home.tool()
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


def large_model(messages: list, tools: list) -> str:
    """Stands in for a large model, so that the example runs offline."""
    return "(the large model's answer)"


async def main() -> None:
    router = Router(threshold=0)
    async with Client(home) as client:
        tools = await tools_from_mcp(client)
        for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
            messages = [{"role": "user", "content": ask}]
            routed = await router.adecide({"messages": messages, "tools": tools})
            for result in await call_tools(client, routed.calls):
                print(ask, "->", result.content[0].text)
            if not routed.calls:
                print(ask, "->", large_model(messages, tools))


asyncio.run(main())
