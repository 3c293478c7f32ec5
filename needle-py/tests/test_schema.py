"""Schemas from Python types, and values made back into them."""

import dataclasses
import enum
from typing import Annotated, Any, Literal, TypedDict

import pydantic
import pytest

import needle_rs
from needle_rs._schema import construct, definition, schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Person(pydantic.BaseModel):
    """Someone."""

    name: str
    age: int | None = None


class Place(TypedDict, total=False):
    city: str


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"type": "string"}),
        (int | None, {"type": "integer"}),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Colour, {"enum": ["red", "blue"]}),
        (Any, {}),
        (Annotated[int, "How many", {"minimum": 1}], {"type": "integer", "description": "How many", "minimum": 1}),
        (
            Annotated[int, pydantic.Field(ge=1, le=9, description="D")],
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "D"},
        ),
        (
            Point,
            {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x"]},
        ),
        (Place, {"type": "object", "properties": {"city": {"type": "string"}}, "required": []}),
    ],
)
def test_types_have_schemas(annotation, expected):
    assert schema(annotation) == expected


def test_types_without_schema_are_refused():
    with pytest.raises(TypeError, match="has no JSON Schema"):
        schema(object)


def test_functions_become_tools():
    @needle_rs.tool
    def book(city: str, nights: int = 1, *, colour: Colour = Colour.RED) -> str:
        """Book a room
        in a hotel.

        Args:
            city: Where to stay.
            nights (int): How long.
        """
        return f"{city} {nights} {colour.name}"

    assert book.definition == {
        "name": "book",
        "description": "Book a room in a hotel.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where to stay."},
                "nights": {"type": "integer", "description": "How long."},
                "colour": {"enum": ["red", "blue"]},
            },
            "required": ["city"],
        },
    }
    assert book("Oslo") == "Oslo 1 RED"
    assert book.call({"city": "Oslo", "colour": "blue"}) == "Oslo 1 BLUE"


def test_docstrings_of_other_styles_describe_parameters():
    def sphinx(a: int, b: int) -> None:
        """S.

        :param a: the first
        :param int b: the second
        """

    def numpy(a: int, b: int) -> None:
        """S.

        Parameters
        ----------
        a : int
            the first
        b : int
            the second
        """

    for function in (sphinx, numpy):
        properties = needle_rs.tool(function).definition["parameters"]["properties"]
        assert [p["description"] for p in properties.values()] == ["the first", "the second"]


def test_values_are_made_into_their_types():
    assert construct(Point, {"x": 1}) == Point(1.0)
    assert construct(list[Colour], ["red"]) == [Colour.RED]
    assert construct(Person | None, {"name": "Ann"}) == Person(name="Ann")
    assert construct(tuple[int, str], [1, "a"]) == (1, "a")
    assert construct(int | None, None) is None


def test_classes_and_mcp_tools_have_definitions():
    plain, function = definition(Person)
    assert (plain["name"], plain["description"], function) == ("Person", "Someone.", None)
    assert plain["parameters"]["properties"]["name"]["type"] == "string"

    class McpTool:
        name, description, annotations = "go", None, None
        inputSchema = {"type": "object", "properties": {}}  # noqa: RUF012

    assert definition(McpTool())[0] == {"name": "go", "description": "", "inputSchema": McpTool.inputSchema}


def test_functions_are_run_with_the_decided_arguments():
    @needle_rs.tool
    def dim_lights(level: int, room: str = "all") -> str:
        """Set the brightness of the lights in a room."""
        return f"{room}: {level}"

    @needle_rs.tool(name="wait_for")
    async def wait(minutes: int) -> int:
        """Start a countdown timer."""
        return minutes

    tools = needle_rs.Model.default().compile([dim_lights, wait])
    assert tools.names == ["dim_lights", "wait_for"]
    assert tools.run("dim the bedroom lights to 30 percent", threshold=0.0).results == ["bedroom: 30"]


async def test_asynchronous_functions_are_awaited():
    async def set_timer(minutes: int) -> int:
        """Start a countdown timer."""
        return minutes

    tools = needle_rs.Model.default().compile([set_timer])
    run = await tools.arun("set a timer for 10 minutes", threshold=0.0)
    assert run.results == [10]


def test_tools_without_function_are_not_run():
    tools = needle_rs.Model.default().compile(
        [{"name": "set_timer", "description": "Start a timer.", "parameters": {}}]
    )
    with pytest.raises(TypeError, match="was not compiled from a function"):
        tools.run("start a timer", threshold=0.0)


def test_objects_are_extracted():
    @dataclasses.dataclass
    class Timer:
        """Start a countdown timer."""

        minutes: int

    assert needle_rs.extract("set a timer for 10 minutes", Timer, threshold=0.0) == Timer(10)
    assert needle_rs.extract("set a timer for 10 minutes", Timer, threshold=1.0) is None
