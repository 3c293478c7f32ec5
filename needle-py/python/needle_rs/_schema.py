"""From a Python type to the JSON Schema of its values."""

import collections.abc
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

_SIMPLE: dict[Any, dict[str, Any]] = {
    Any: {},
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    dict: {"type": "object"},
}

_LISTS = (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

# What stands around a type without changing its values; Python 3.10 lacks the last ones.
TRANSPARENT = (Annotated, getattr(typing, "Required", None), getattr(typing, "NotRequired", None))

# Attributes of what Pydantic and annotated-types put into `Annotated`, and the keywords that say the same.
_KEYWORDS = {
    "description": "description",
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}


def schema(annotation: Any) -> dict[str, Any]:
    """The schema of a type's values.

    Raises:
        TypeError: for a type that JSON has no values for.
    """
    reader = _Reader()
    return reader.with_definitions(reader.read(annotation))


def parameters(function: Callable[..., Any], described: Mapping[str, str]) -> dict[str, Any]:
    """The schema of a function's arguments by name; `*args` and `**kwargs` are left out.

    Raises:
        TypeError: as `schema`, or for a parameter that has no name for its caller.
    """
    reader = _Reader()
    hints = get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"parameter {name} is positional only; tools are called with names, so remove the `/`")
        try:
            property = reader.read(hints.get(name, Any))
        except TypeError as problem:
            raise TypeError(f"parameter {name}: {problem}") from None
        if name in described:
            property.setdefault("description", described[name])
        properties[name] = property
        if parameter.default is parameter.empty:
            required.append(name)
    return reader.with_definitions({"type": "object", "properties": properties, "required": required})


class _Reader:
    """Reads the types of one schema."""

    def __init__(self) -> None:
        # Of Pydantic's models, which refer to them from the root of the schema.
        self.definitions: dict[str, Any] = {}
        # Classes inside of which the reader is.
        self.open: list[type] = []

    def with_definitions(self, plain: dict[str, Any]) -> dict[str, Any]:
        return plain | {"$defs": self.definitions} if self.definitions else plain

    def read(self, annotation: Any) -> dict[str, Any]:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is not None and origin in TRANSPARENT:
            return _annotated(self.read(arguments[0]), arguments[1:])
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return self.read_union(arguments)
        if origin in _LISTS:
            return {"type": "array", "items": self.read(arguments[0])}
        if origin in _MAPPINGS:
            return {"type": "object", "additionalProperties": self.read(arguments[1])}
        if origin is tuple:
            return self.read_tuple(arguments)
        if isinstance(annotation, collections.abc.Hashable) and annotation in _SIMPLE:
            return dict(_SIMPLE[annotation])
        if isinstance(annotation, type):
            return self.read_class(annotation)
        raise TypeError(_refusal(annotation))

    def read_union(self, kinds: tuple[Any, ...]) -> dict[str, Any]:
        """A value that may be None may be left out, so only its other types are shown to the model."""
        kinds = tuple(kind for kind in kinds if kind is not type(None))
        return self.read(kinds[0]) if len(kinds) == 1 else {"anyOf": [self.read(kind) for kind in kinds]}

    def read_tuple(self, kinds: tuple[Any, ...]) -> dict[str, Any]:
        if len(kinds) == 2 and kinds[1] is Ellipsis:
            return {"type": "array", "items": self.read(kinds[0])}
        items = [self.read(kind) for kind in kinds]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def read_class(self, kind: type) -> dict[str, Any]:
        if issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if hasattr(kind, "model_json_schema"):
            return self.read_pydantic(kind)
        if kind in self.open:
            raise TypeError(f"{kind.__name__} contains itself; give the definition as a dict")
        self.open.append(kind)
        try:
            return self.read_object(kind)
        finally:
            self.open.pop()

    def read_object(self, kind: type) -> dict[str, Any]:
        if dataclasses.is_dataclass(kind):
            fields = [field for field in dataclasses.fields(kind) if field.init]
            required = {field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING}
            hints = get_type_hints(kind, include_extras=True)
            names = [field.name for field in fields]
        elif typing.is_typeddict(kind):
            required = kind.__required_keys__  # type: ignore[attr-defined]
            hints = get_type_hints(kind, include_extras=True)
            names = list(hints)
        else:
            raise TypeError(_refusal(kind))
        properties = {name: self.read(hints[name]) for name in names}
        return {"type": "object", "properties": properties, "required": [name for name in names if name in required]}

    def read_pydantic(self, model: Any) -> dict[str, Any]:
        # Two models may define different things under one name.
        prefix = f"{len(self.definitions)}." if self.definitions else ""
        plain = dict(model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}"))
        definitions = plain.pop("$defs", {})
        self.definitions |= {prefix + name: definition for name, definition in definitions.items()}
        return plain


def _annotated(plain: dict[str, Any], metadata: tuple[Any, ...]) -> dict[str, Any]:
    """A string describes, a mapping adds keywords, and so do Pydantic's and annotated-types' objects."""
    for item in metadata:
        if isinstance(item, str):
            plain["description"] = item
        elif isinstance(item, Mapping):
            plain |= item
        else:
            for part in (item, *getattr(item, "metadata", ())):
                for attribute, keyword in _KEYWORDS.items():
                    if (value := getattr(part, attribute, None)) is not None:
                        of_list = plain.get("type") == "array"
                        plain[keyword.replace("Length", "Items") if of_list else keyword] = value
    return plain


def _refusal(annotation: Any) -> str:
    return f"{annotation!r} has no JSON Schema; annotate with JSON types, or give the tool's definition as a dict"
