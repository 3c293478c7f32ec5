"""Exceptions; the engine's stable code is in `code`."""


class NeedleError(Exception):
    """What every exception of this package is; `code` names its kind in all languages."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.code, str(self))


class ModelError(NeedleError):
    """A model's file cannot be read, or does not hold a model."""


class ToolDefinitionError(NeedleError, ValueError):
    """A tool cannot be understood; the message names it, the place in it and the remedy."""


class OptionError(NeedleError, ValueError):
    """An option has an impossible value, or an input is too large."""


class DeadlineExceeded(NeedleError, TimeoutError):
    """The deadline passed before the decision was finished."""


class Cancelled(NeedleError):
    """The decision was cancelled."""


class InternalError(NeedleError):
    """A broken promise of this library; please report it."""


_CLASSES: dict[str, type[NeedleError]] = {
    "io": ModelError,
    "checkpoint": ModelError,
    "config": ModelError,
    "tokenizer": ModelError,
    "tool": ToolDefinitionError,
    "provider_tool": ToolDefinitionError,
    "limit": OptionError,
    "option": OptionError,
    "row": NeedleError,
    "cancelled": Cancelled,
    "deadline_exceeded": DeadlineExceeded,
    "internal": InternalError,
}


def from_code(code: str, message: str) -> NeedleError:
    """The exception for an error of the engine, which calls this."""
    return _CLASSES[code](code, message)
