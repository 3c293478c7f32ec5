"""Docstrings of every style."""

import inspect

import pytest

from needle_rs._docstring import parse

GOOGLE = """Book a room
in a hotel.

It is cheaper in winter.

Args:
    city (str, optional): Where to stay,
        in one word.
    nights: How long.
    *extras:
        What else.

Returns:
    dict: nights of the booking
"""

NUMPY = """Book a room in a hotel.

Parameters
----------
city : str, optional
    Where to stay,
    in one word.
nights, extras : int
    How long.

Returns
-------
dict
    nights of the booking
"""

SPHINX = """Book a room in a hotel.
:param str city: Where to stay,
    in one word.
:param nights: How long.
:type nights: int
:returns: nights of the booking
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX])
def test_all_styles_describe_parameters(text):
    summary, described = parse(text)
    assert summary == "Book a room in a hotel."
    assert described["city"] == "Where to stay, in one word."
    assert described["nights"] == "How long."


def test_rarer_forms():
    assert parse(GOOGLE)[1]["extras"] == "What else."
    assert parse(NUMPY)[1]["extras"] == "How long."
    assert parse("") == ("", {})
    assert parse(inspect.cleandoc(":param a: One.")) == ("", {"a": "One."})
