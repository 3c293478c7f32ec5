"""From JSON values to the Python types that they stand for."""

import collections.abc
import dataclasses
import enum
import types
import typing
from typing import Any, Union, get_args, get_origin, get_type_hints

from ._schema import TRANSPARENT


def construct(annotation: Any, value: Any) -> Any:
    """A value made into its type; left as it is where nothing is to be made.

    Raises:
        ValueError: if a Pydantic model refuses it.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is not None and origin in TRANSPARENT:
        return construct(arguments[0], value)
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value)
    if origin in (list, set, frozenset) and isinstance(value, list):
        return origin(construct(arguments[0], item) for item in value)
    if origin is collections.abc.Sequence and isinstance(value, list):
        return [construct(arguments[0], item) for item in value]
    if origin is tuple and isinstance(value, list):
        kinds = [arguments[0]] * len(value) if arguments[-1:] == (Ellipsis,) else arguments
        return tuple(construct(kind, item) for kind, item in zip(kinds, value, strict=True))
    if origin in (dict, collections.abc.Mapping) and isinstance(value, dict):
        return {key: construct(arguments[1], item) for key, item in value.items()}
    if isinstance(annotation, type) and origin is None:
        return _instance(annotation, value)
    return value


def _instance(kind: Any, value: Any) -> Any:
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    if issubclass(kind, enum.Enum):
        return kind(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dict) and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)):
        hints = get_type_hints(kind, include_extras=True)
        return kind(**{key: construct(hints.get(key, Any), item) for key, item in value.items()})
    return value


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """The value as the first of these types that takes it."""
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if isinstance(kind, type) and get_origin(kind) is None and isinstance(value, kind):
            return value
    for kind in kinds:
        try:
            made = construct(kind, value)
        except (TypeError, ValueError):
            continue
        if made is not value:
            return made
    return value
