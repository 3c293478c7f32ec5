"""Tools from Python: functions, dataclasses, Pydantic models, and objects that carry their own schema."""

import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_SIMPLE: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    None: {"type": "null"},
    list: {"type": "array"},
    dict: {"type": "object"},
    Any: {},
}

# Beginnings of a parameter's line in the docstring styles of Google (`name (int): …`), Sphinx and NumPy.
_GOOGLE = re.compile(r"^\s+\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.+)$")
_SPHINX = re.compile(r"^\s*:param\s+(?:[^:]*\s)?(\w+):\s*(.+)$")
_NUMPY = re.compile(r"^(\w+)\s*:\s*\S.*$")


class Tool:
    """A Python function as a tool: `definition` is what the model reads, calling it calls the function."""

    def __init__(self, function: Callable[..., Any], name: str | None = None, description: str | None = None) -> None:
        documented, parameters = _documentation(function)
        self.function = function
        self.definition: dict[str, Any] = {
            "name": name or function.__name__,
            "description": description if description is not None else documented,
            "parameters": _parameters(function, parameters),
        }

    @property
    def name(self) -> str:
        """The tool's name."""
        return str(self.definition["name"])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function."""
        return self.function(*args, **kwargs)

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Calls the function with a decision's arguments, made into the types that it is annotated with."""
        hints = get_type_hints(self.function, include_extras=True)
        return self.function(**{k: construct(hints.get(k, Any), v) for k, v in arguments.items()})

    def __repr__(self) -> str:
        return f"Tool({self.name})"


@typing.overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@typing.overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, description: str | None = None
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Makes a function a tool: schema from its signature and annotations, descriptions from its docstring."""
    if function is None:
        return lambda function: Tool(function, name, description)
    return Tool(function, name, description)


def definition(given: Any) -> tuple[dict[str, Any], Tool | None]:
    """The definition of whatever was given as a tool, and the function to call if it is one."""
    if isinstance(given, Tool):
        return given.definition, given
    if isinstance(given, Mapping):
        return dict(given), None
    if isinstance(given, type):
        description = inspect.cleandoc(given.__dict__.get("__doc__") or "") if not _is_generated_doc(given) else ""
        return {"name": given.__name__, "description": description, "parameters": schema(given)}, None
    # MCP: the attribute is `inputSchema` in version 1 and `input_schema` in version 2.
    for attribute in ("inputSchema", "input_schema"):
        if isinstance(parameters := getattr(given, attribute, None), Mapping):
            plain = {"name": given.name, "description": given.description or "", "inputSchema": dict(parameters)}
            annotations = getattr(given, "annotations", None)
            if annotations is not None and hasattr(annotations, "model_dump"):
                plain["annotations"] = annotations.model_dump(by_alias=True, exclude_none=True)
            return plain, None
    if callable(given):
        made = Tool(given)
        return made.definition, made
    raise TypeError(
        f"{given!r} is no tool: give a function, a definition as a dict, a dataclass, a Pydantic model or an MCP tool"
    )


def schema(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a type."""
    if annotation in (inspect.Parameter.empty, Any):
        return {}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(schema(arguments[0]), arguments[1:])
    if origin in (typing.Required, typing.NotRequired) if hasattr(typing, "Required") else False:
        return schema(arguments[0])
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin in (list, set, frozenset, typing.Sequence) or getattr(origin, "__name__", "") in ("Sequence", "Iterable"):
        return {"type": "array", "items": schema(arguments[0])} if arguments else {"type": "array"}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": schema(arguments[0])}
        items = [schema(a) for a in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return {"type": "object", "additionalProperties": schema(arguments[1])} if arguments else {"type": "object"}
    if isinstance(annotation, type):
        return _class(annotation)
    raise TypeError(f"{annotation!r} has no JSON Schema; annotate with JSON types, or give the definition as a dict")


def construct(annotation: Any, value: Any) -> Any:
    """A JSON value made into the type that it stands for; left as it is where nothing is to be made."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return construct(arguments[0], value)
    if origin in (Union, types.UnionType):
        for choice in arguments:
            if isinstance(choice, type) and isinstance(value, choice):
                return value
        made = [a for a in arguments if a is not type(None)]
        return construct(made[0], value) if len(made) == 1 and value is not None else value
    if origin in (list, set, frozenset) and isinstance(value, list):
        return origin(construct(arguments[0], item) for item in value) if arguments else origin(value)
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1:] == (Ellipsis,) else arguments
        return tuple(construct(kind, item) for kind, item in zip(kinds, value, strict=True))
    if not isinstance(annotation, type):
        return value
    if hasattr(annotation, "model_validate"):
        return annotation.model_validate(value)
    if issubclass(annotation, enum.Enum):
        return annotation(value)
    if dataclasses.is_dataclass(annotation) and isinstance(value, dict):
        hints = get_type_hints(annotation, include_extras=True)
        return annotation(**{k: construct(hints[k], v) for k, v in value.items()})
    if annotation is float and isinstance(value, int):
        return float(value)
    return value


def _class(annotation: type) -> dict[str, Any]:
    if annotation in _SIMPLE:
        return dict(_SIMPLE[annotation])
    if hasattr(annotation, "model_json_schema"):
        return dict(annotation.model_json_schema())
    if issubclass(annotation, enum.Enum):
        return {"enum": [member.value for member in annotation]}
    if dataclasses.is_dataclass(annotation):
        fields = dataclasses.fields(annotation)
        optional = {
            f.name
            for f in fields
            if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        }
        hints = get_type_hints(annotation, include_extras=True)
        return _object({f.name: hints[f.name] for f in fields if f.init}, optional)
    if typing.is_typeddict(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        return _object(hints, set(annotation.__optional_keys__))  # type: ignore[attr-defined]
    raise TypeError(f"{annotation!r} has no JSON Schema; annotate with JSON types, or give the definition as a dict")


def _object(hints: Mapping[str, Any], optional: set[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: schema(hint) for name, hint in hints.items()},
        "required": [name for name in hints if name not in optional],
    }


def _union(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """A parameter that may be None may be left out, so only its other types are shown to the model."""
    kinds = [a for a in arguments if a is not type(None)]
    return schema(kinds[0]) if len(kinds) == 1 else {"anyOf": [schema(kind) for kind in kinds]}


def _annotated(plain: dict[str, Any], metadata: tuple[Any, ...]) -> dict[str, Any]:
    """A string describes; a mapping adds keywords; so do the fields of Pydantic and annotated-types."""
    names = {"description": "description", "ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}
    names |= {"lt": "exclusiveMaximum", "pattern": "pattern", "multiple_of": "multipleOf"}
    names |= {"min_length": "minLength", "max_length": "maxLength"}
    for item in metadata:
        if isinstance(item, str):
            plain["description"] = item
        elif isinstance(item, Mapping):
            plain |= item
        else:
            for part in (item, *getattr(item, "metadata", ())):
                found = {names[key]: value for key in names if (value := getattr(part, key, None)) is not None}
                if plain.get("type") == "array":
                    found = {k.replace("Length", "Items"): v for k, v in found.items()}
                plain |= found
    return plain


def _parameters(function: Callable[..., Any], described: dict[str, str]) -> dict[str, Any]:
    hints = get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"{function.__name__}: parameter {name} must be callable by its name")
        property = schema(hints.get(name, Any))
        if name in described:
            property.setdefault("description", described[name])
        properties[name] = property
        if parameter.default is parameter.empty:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _documentation(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The docstring's first paragraph, and what it says of parameters."""
    text = inspect.getdoc(function) or ""
    summary = " ".join(text.split("\n\n", 1)[0].split())
    described: dict[str, str] = {}
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if match := _SPHINX.match(line) or _GOOGLE.match(line):
            described.setdefault(match[1], match[2].strip())
        elif (match := _NUMPY.match(line)) and following.startswith("    "):
            described.setdefault(match[1], following.strip())
    return summary, described


def _is_generated_doc(kind: type) -> bool:
    """Dataclasses without a docstring get their signature as one."""
    return dataclasses.is_dataclass(kind) and (kind.__doc__ or "").startswith(f"{kind.__name__}(")
