"""The engine; see `needle_rs` for its Python form. Tools, options and decisions are JSON text."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import final

__all__ = ["Cancel", "Model", "Router", "Toolset", "after_fork", "before_fork", "command", "error_codes", "reasons"]

@final
class Cancel:
    """A flag that ends decisions from another thread."""

    def __new__(cls) -> Cancel: ...
    def cancel(self) -> None:
        """Sets it, for ever."""

@final
class Model:
    """A network with its tokenizer and calibration."""

    @staticmethod
    def default() -> Model:
        """The model that is compiled into the module."""
    @staticmethod
    def open(path: str | PathLike[str]) -> Model:
        """A model from a bundle directory or file."""
    def compile(self, tools: str, threads: int) -> Toolset:
        """Compiles a JSON list of tools; each decision over them shares its work among so many threads."""
    def config(self) -> str:
        """Sizes and options of the network."""
    @property
    def is_calibrated(self) -> bool:
        """Whether decisions have a confidence."""

@final
class Router:
    """Decides requests; any number of threads may use it at once."""

    def __new__(cls, model: Model, policy: str, threads: int) -> Router: ...
    def decide(self, api: str, body: str, cancel: Cancel | None = None) -> str:
        """Decides the JSON body of a request for `api`."""
    def nearest(self, api: str, body: str, count: int) -> list[tuple[str, float]]:
        """Names and cosines of the tools nearest to a request's ask, best first."""

@final
class Toolset:
    """Compiled tools; any number of threads may decide at once."""

    def decide(self, query: str, options: str, cancel: Cancel | None = None) -> str:
        """Decides one query."""
    def decide_batch(self, queries: Sequence[str], options: str) -> list[str]:
        """Decides queries one after the other."""
    def stream(self, query: str, options: str, cancel: Cancel, on_event: Callable[[str, int, str], None]) -> str:
        """Decides one query and calls `on_event(kind, call, text)`; an exception in it ends the decision."""
    def embed(self, query: str) -> list[float]:
        """The retrieval embedding of a query."""
    def names(self) -> list[str]:
        """Names of the tools, as the caller spelled them."""

def before_fork() -> None:
    """Waits until the engine does nothing, and lets it begin nothing until `after_fork`."""

def after_fork() -> None:
    """Lets the engine work again, in the parent and in the child."""

def command(arguments: list[str]) -> int:
    """Runs the `needle` command with these arguments, the program's name first; returns its exit code."""

def error_codes() -> list[str]:
    """The code of every error that the engine knows."""

def reasons() -> list[str]:
    """Every reason of a hand-off."""
