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
from ._schema import Tool, tool

if TYPE_CHECKING:
    from ._model import Model, Options, Run, Toolset, extract

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
    "Reason",
    "Run",
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


def __getattr__(name: str) -> Any:
    """Loads the engine when it is first asked for: `needle_rs.train` also works where it is not built."""
    if name in ("Model", "Options", "Run", "Toolset", "extract"):
        from . import _model

        return getattr(_model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
