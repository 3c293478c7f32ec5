"""What may be given as a tool: functions, classes, definitions as dicts, MCP's objects."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints, overload

from ._construct import construct
from ._docstring import parse
from ._schema import parameters, schema

P = ParamSpec("P")
R = TypeVar("R")


class Tool(Generic[P, R]):
    """A Python function as a tool: `definition` is what the model reads; calling it calls the function."""

    def __init__(self, function: Callable[P, R], name: str | None = None, description: str | None = None) -> None:
        functools.update_wrapper(self, function)
        summary, described = parse(inspect.getdoc(function) or "")
        self.name: str = name or function.__name__
        self.function = function
        self.definition: dict[str, Any] = {
            "name": self.name,
            "description": summary if description is None else description,
            "parameters": parameters(function, described),
        }

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function."""
        return self.function(*args, **kwargs)

    def call(self, arguments: Mapping[str, Any]) -> R:
        """Calls the function with a decision's arguments, made into the types that it is annotated with."""
        hints = get_type_hints(self.function, include_extras=True)
        call: Callable[..., R] = self.function
        return call(**{name: construct(hints.get(name, Any), value) for name, value in arguments.items()})

    @property
    def is_async(self) -> bool:
        """Whether what the function returns must be awaited."""
        return inspect.iscoroutinefunction(self.function)

    def __repr__(self) -> str:
        return f"Tool({self.name})"


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, description: str | None = None
) -> Any:
    """Makes a function a tool: the schema comes from its signature, descriptions from its docstring.

    Args:
        function: with annotations that JSON has values for; `Annotated[int, "how many"]` describes a parameter.
        name: instead of the function's.
        description: instead of the first paragraph of the docstring.

    Raises:
        TypeError: for an annotation that has no JSON Schema.
    """
    if function is None:
        return lambda function: Tool(function, name, description)
    return Tool(function, name, description)


def definition(given: Any) -> tuple[dict[str, Any], Tool[..., Any] | None]:
    """The definition of whatever was given as a tool, and the function to call if it is one.

    Raises:
        TypeError: if it is no tool.
    """
    if isinstance(given, Mapping):
        return dict(given), None
    if isinstance(given, type):
        return class_definition(given), None
    # MCP: the attribute is `inputSchema` in version 1 and `input_schema` in version 2.
    for attribute in ("inputSchema", "input_schema"):
        if isinstance(input_schema := getattr(given, attribute, None), Mapping):
            return _mcp_definition(given, dict(input_schema)), None
    if inspect.isroutine(given):
        given = Tool(given)
    if isinstance(given, Tool):
        return given.definition, given
    raise TypeError(
        f"{given!r} is no tool: give a function, a definition as a dict, a dataclass, a Pydantic model or an MCP tool"
    )


def class_definition(kind: type) -> dict[str, Any]:
    """A class as a tool that takes its fields."""
    docstring = kind.__dict__.get("__doc__") or ""
    if dataclasses.is_dataclass(kind) and docstring.startswith(f"{kind.__name__}("):
        # Not written by anyone: dataclasses get their signature.
        docstring = ""
    summary, _ = parse(inspect.cleandoc(docstring))
    return {"name": kind.__name__, "description": summary, "parameters": schema(kind)}


def _mcp_definition(given: Any, input_schema: dict[str, Any]) -> dict[str, Any]:
    plain = {"name": given.name, "description": given.description or "", "inputSchema": input_schema}
    annotations = getattr(given, "annotations", None)
    if annotations is not None:
        plain["annotations"] = annotations.model_dump(by_alias=True, exclude_none=True)
    return plain
