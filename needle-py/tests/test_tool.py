"""Whatever may be given as a tool."""

import dataclasses
import inspect
import types
from typing import Any

import pydantic
import pytest

import needle_rs
from needle_rs._tool import definition


class Address(pydantic.BaseModel):
    street: str


class Person(pydantic.BaseModel):
    """Someone.

    Who lives somewhere.
    """

    name: str
    address: Address | None = None


def test_functions_are_described_and_stay_functions():
    @needle_rs.tool
    def book(city: str, nights: int = 1, *rest: str, person: Person | None = None, **more: Any) -> str:
        """Book a room.

        Args:
            city: Where to stay.
        """
        return f"{city} {nights} {person!r}"

    parameters = book.definition["parameters"]
    assert (book.name, book.definition["description"]) == ("book", "Book a room.")
    assert list(parameters["properties"]) == ["city", "nights", "person"]
    assert parameters["properties"]["city"] == {"type": "string", "description": "Where to stay."}
    assert parameters["required"] == ["city"]
    assert book("Oslo", nights=2) == "Oslo 2 None"
    assert book.call({"city": "Oslo", "person": {"name": "Ann"}}) == f"Oslo 1 {Person(name='Ann')!r}"
    assert (book.__doc__ or "").startswith("Book") and "city" in inspect.signature(book).parameters
    assert repr(book) == "Tool(book)"


def test_names_and_descriptions_can_be_given():
    @needle_rs.tool(name="reserve", description="Reserve a room.")
    def book() -> None:
        """Book a room."""

    assert book.definition == {
        "name": "reserve",
        "description": "Reserve a room.",
        "parameters": {"type": "object", "properties": {}, "required": []},
    }


def test_methods_are_tools():
    class Hotel:
        def book(self, city: str) -> str:
            """Book a room."""
            return city

    plain, made = definition(Hotel().book)
    assert list(plain["parameters"]["properties"]) == ["city"]
    assert made is not None and made.call({"city": "Oslo"}) == "Oslo"


def test_classes_are_tools():
    @dataclasses.dataclass
    class Point:
        x: int

    plain, function = definition(Person)
    assert (plain["name"], plain["description"], function) == ("Person", "Someone.", None)
    assert definition(Point)[0] == {
        "name": "Point",
        "description": "",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
    }


@pytest.mark.parametrize("attribute", ["inputSchema", "input_schema"])
def test_mcp_objects_are_tools(attribute):
    class Hints(pydantic.BaseModel):
        readOnlyHint: bool = True

    schema = {"type": "object"}
    given = types.SimpleNamespace(name="go", description=None, annotations=Hints(), **{attribute: schema})
    plain = {"name": "go", "description": "", "inputSchema": schema, "annotations": {"readOnlyHint": True}}
    assert definition(given) == (plain, None)


def test_what_is_no_tool_is_refused():
    def positional(a: int, /) -> None: ...

    def unknown(a: object) -> None: ...

    for given, message in [(3, "is no tool"), (positional, "remove the `/`"), (unknown, "parameter a: .*JSON Schema")]:
        with pytest.raises(TypeError, match=message):
            definition(given)


def test_definitions_of_all_kinds_compile_together(model):
    def book(people: list[Person]) -> None:
        """Book a room."""

    tools = model.compile([book, Person, {"name": "wait", "parameters": {}}, {"function": {"name": "go"}}])
    assert tools.names == ["book", "Person", "wait", "go"]
    assert repr(tools) == "Toolset(book, Person, wait, go)"
