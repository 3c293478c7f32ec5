"""Small decisions of an agent, made locally: a query and a list of tools in, function calls or a hand-off out.

import needle_rs

@needle_rs.tool
def set_timer(minutes: int) -> str:
    '''Start a countdown timer.'''
    return f"{minutes} minutes"

tools = needle_rs.Model.default().compile([set_timer])
decision = tools.decide("set a timer for ten minutes")
if decision.is_call:
    print(decision.calls)
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._decision import Call, CallFinished, Decision, Done, Event, Reason, Text, Timings, ToolNamed, Ungrounded
from ._errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    ModelError,
    NeedleError,
    OptionError,
    ToolDefinitionError,
)
from ._tool import Tool, tool

if TYPE_CHECKING:
    from ._extract import extract
    from ._model import Model
    from ._router import Policy, Routed, Router, Seen
    from ._toolset import Options, Run, Toolset

__all__ = [
    "Call",
    "CallFinished",
    "Cancelled",
    "DeadlineExceeded",
    "Decision",
    "Done",
    "Event",
    "InternalError",
    "Model",
    "ModelError",
    "NeedleError",
    "OptionError",
    "Options",
    "Policy",
    "Reason",
    "Routed",
    "Router",
    "Run",
    "Seen",
    "Text",
    "Timings",
    "Tool",
    "ToolDefinitionError",
    "ToolNamed",
    "Toolset",
    "Ungrounded",
    "extract",
    "tool",
]


# Where the engine is loaded when it is first asked for, so that `needle_rs.train` also works where it is not built.
_LAZY = {
    "Model": "_model",
    "Options": "_toolset",
    "Policy": "_router",
    "Routed": "_router",
    "Router": "_router",
    "Run": "_toolset",
    "Seen": "_router",
    "Toolset": "_toolset",
    "extract": "_extract",
}


def __getattr__(name: str) -> Any:
    """Loads what needs the engine."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
