"""Schemas from Python types, and values made back into them."""

import collections.abc
import dataclasses
import enum
from typing import Annotated, Any, Literal, Optional, TypedDict

import pydantic
import pytest

from needle_rs._construct import construct
from needle_rs._schema import schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    norm: float = dataclasses.field(init=False, default=0.0)


@dataclasses.dataclass
class Line:
    points: list[Point]
    colour: Colour | None = None


@dataclasses.dataclass
class Node:
    next: Optional["Node"] = None


class Place(TypedDict, total=False):
    at: Point


class Town(Place):
    name: str


class Address(pydantic.BaseModel):
    street: str


class Person(pydantic.BaseModel):
    name: str
    homes: list[Address] = []


POINT = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (list, {"type": "array"}),
        (int | None, {"type": "integer"}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (collections.abc.Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (Colour, {"enum": ["red", "blue"]}),
        (Annotated[int, "How many", {"minimum": 1}], {"type": "integer", "description": "How many", "minimum": 1}),
        (
            Annotated[int, pydantic.Field(ge=1, le=9, description="D")],
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "D"},
        ),
        (
            Annotated[list[str], pydantic.Field(min_length=1)],
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ),
        (Point, POINT),
        (
            Line,
            {
                "type": "object",
                "properties": {"points": {"type": "array", "items": POINT}, "colour": {"enum": ["red", "blue"]}},
                "required": ["points"],
            },
        ),
        (Town, {"type": "object", "properties": {"at": POINT, "name": {"type": "string"}}, "required": ["name"]}),
    ],
)
def test_types_have_schemas(annotation, expected):
    assert schema(annotation) == expected


def test_definitions_of_pydantic_models_move_to_the_root():
    found = schema(tuple[Person, dict[str, Person]])
    first, second = found["prefixItems"]
    assert first["properties"]["homes"]["items"] == {"$ref": "#/$defs/Address"}
    assert second["additionalProperties"]["properties"]["homes"]["items"] == {"$ref": "#/$defs/1.Address"}
    assert list(found["$defs"]) == ["Address", "1.Address"]
    assert "$defs" not in first


@pytest.mark.parametrize("annotation", [object, complex, int | bytes, "int", [int]])
def test_types_without_values_in_json_are_refused(annotation):
    with pytest.raises(TypeError, match="has no JSON Schema; annotate"):
        schema(annotation)


def test_types_that_contain_themselves_are_refused():
    with pytest.raises(TypeError, match="Node contains itself"):
        schema(Node)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Point, {"x": 1}, Point(1.0)),
        (Line, {"points": [{"x": 1}], "colour": "red"}, Line([Point(1.0)], Colour.RED)),
        (Town, {"name": "Oslo", "at": {"x": 1}}, {"name": "Oslo", "at": Point(1.0)}),
        (list[Colour], ["red"], [Colour.RED]),
        (set[int], [1, 1], {1}),
        (collections.abc.Sequence[Colour], ["red"], [Colour.RED]),
        (dict[str, Colour], {"a": "red"}, {"a": Colour.RED}),
        (tuple[int, Colour], [1, "red"], (1, Colour.RED)),
        (tuple[Colour, ...], ["red", "blue"], (Colour.RED, Colour.BLUE)),
        (Person | None, {"name": "Ann"}, Person(name="Ann")),
        (Person | Point, {"x": 1}, Point(1.0)),
        (int | str, "1", "1"),
        (Colour | str, "green", "green"),
        (int | None, None, None),
        (Annotated[float, "D"], 2**60, 2.0**60),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_values_are_made_into_their_types(annotation, value, expected):
    made = construct(annotation, value)
    assert made == expected and type(made) is type(expected)
