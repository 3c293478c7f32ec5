"""LangGraph: easy tool calls are answered by a node of their own, everything else by the large model's.

pip install "needle-rs[langgraph]"; let call_model ask ChatOpenAI(model="gpt-5-mini").bind_tools([dim_lights]).
"""

import sys

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from needle_rs.integrations.langgraph import NeedleNode


@tool
def dim_lights(room: str, level: int) -> str:
    """Dim the lights in a room to a brightness level."""
    return f"{room} is at {level} %"


def call_model(state: MessagesState) -> MessagesState:
    """Stands in for a large model, so that the example runs offline."""
    return {"messages": [AIMessage("(the large model's answer)")]}


graph = StateGraph(MessagesState)
graph.add_node("needle", NeedleNode([dim_lights], threshold=0))
graph.add_node("model", call_model)
graph.add_node("tools", ToolNode([dim_lights]))
graph.add_edge(START, "needle")
graph.add_conditional_edges("needle", tools_condition, {"tools": "tools", END: "model"})
graph.add_conditional_edges("model", tools_condition)
graph.add_edge("tools", "model")
agent = graph.compile()

for ask in sys.argv[1:] or ["dim the lights in the bedroom to 30 percent", "why is the sky blue"]:
    for message in agent.invoke({"messages": [{"role": "user", "content": ask}]})["messages"]:
        calls = [f"{c['name']}({c['args']})" for c in getattr(message, "tool_calls", [])]
        print(f"{message.type:5} {message.content or ', '.join(calls)}")
