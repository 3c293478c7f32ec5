"""Models."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import _native
from ._tool import definition
from ._toolset import Toolset


class Model:
    """A network with its tokenizer and calibration; immutable, shared by all that is compiled for it."""

    def __init__(self, native: _native.Model, source: Path | None) -> None:
        self._native = native
        self._source = source

    @classmethod
    def default(cls) -> Model:
        """The model that comes with this package."""
        return cls(_native.Model.default(), None)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Model:
        """A model from a bundle directory or file.

        Raises:
            ModelError: if there is none, or it is damaged.
        """
        return cls(_native.Model.open(path), Path(path).absolute())

    def compile(self, tools: Sequence[Any] | str, *, threads: int = 1) -> Toolset:
        """Compiles tools, once for any number of decisions.

        Args:
            tools: functions, definitions of any common format as dicts, dataclasses, Pydantic models, MCP tools; or a
                list of definitions as JSON text.
            threads: threads that share the work of compiling and of one decision.

        Raises:
            ToolDefinitionError: if a definition cannot be understood.
            TypeError: if something is no tool, or a function's annotation has no JSON Schema.
        """
        if isinstance(tools, str):
            return Toolset(self, self._native.compile(tools, threads), {})
        given = [definition(tool) for tool in tools]
        functions = {function.name: function for _, function in given if function is not None}
        text = json.dumps([plain for plain, _ in given])
        return Toolset(self, self._native.compile(text, threads), functions)

    @property
    def config(self) -> dict[str, Any]:
        """Sizes and options of the network."""
        return dict(json.loads(self._native.config()))

    @property
    def is_calibrated(self) -> bool:
        """Whether decisions have a confidence."""
        return self._native.is_calibrated

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as its source, which the other process opens again."""
        return (Model.default, ()) if self._source is None else (Model.open, (self._source,))

    def __repr__(self) -> str:
        return f"Model({self._source or 'default'})"
