"""Objects out of text."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ._construct import construct
from ._model import Model
from ._tool import class_definition
from ._toolset import Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


def extract(text: str, kind: type[T], *, model: Model | None = None, **options: Unpack[Options]) -> T | None:
    """Reads an object of a class, a Pydantic model or a dataclass, out of a text; None where it is handed off.

    It compiles the class each time: for many texts, compile it yourself and decide.
    """
    decision = (model or Model.default()).compile([class_definition(kind)]).decide(text, **options)
    return construct(kind, decision.calls[0].arguments) if decision.is_call else None
