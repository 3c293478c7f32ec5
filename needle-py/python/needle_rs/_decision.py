"""What a decision is made of."""

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Reason(str, Enum):
    """Why a query is handed off."""

    LOW_CONFIDENCE = "low_confidence"
    NO_MATCHING_TOOL = "no_matching_tool"
    MULTI_STEP = "multi_step"
    UNSUPPORTED_SCHEMA = "unsupported_schema"
    INPUT_TOO_LONG = "input_too_long"
    NOT_A_USER_TURN = "not_a_user_turn"
    UNGROUNDED_ARGUMENTS = "ungrounded_arguments"
    OUTPUT_LIMIT = "output_limit"
    INVALID_ARGUMENTS = "invalid_arguments"
    UNSUPPORTED_REQUEST = "unsupported_request"
    DENIED_TOOL = "denied_tool"
    DEADLINE = "deadline"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Call:
    """One call of one tool, by the name that the caller gave it."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Ungrounded:
    """An argument that the query does not contain."""

    call: int
    pointer: str
    value: str


@dataclass(frozen=True)
class Timings:
    """Where the time went, in milliseconds."""

    encode_ms: float
    decode_ms: float
    total_ms: float


@dataclass(frozen=True)
class Decision:
    """Calls to make, or a hand-off to a larger model.

    `reason` is None for a call. `confidence` is the probability that the answer is right; None if the model is not
    calibrated or was not asked. `suppressed_calls` are those that a hand-off would have made: never make them unseen.
    """

    calls: list[Call]
    confidence: float | None
    reason: Reason | None
    timings: Timings
    detail: str = ""
    suppressed_calls: list[Call] = field(default_factory=list)
    ungrounded: list[Ungrounded] = field(default_factory=list)

    @property
    def is_call(self) -> bool:
        """Whether there are calls to make."""
        return self.reason is None

    def to_dict(self) -> dict[str, Any]:
        """The decision as plain data, in the form that all languages share (`schemas/decision.json`)."""
        calls = [{"name": c.name, "arguments": c.arguments} for c in self.calls or self.suppressed_calls]
        plain: dict[str, Any] = {"decision": "call" if self.is_call else "handoff"}
        if self.reason is not None:
            plain |= {"reason": self.reason.value, "detail": self.detail}
        else:
            plain["calls"] = calls
        plain["confidence"] = self.confidence
        if self.reason is not None:
            plain["suppressed_calls"] = calls
        if self.ungrounded:
            plain["ungrounded"] = [vars(u).copy() for u in self.ungrounded]
        plain["timings"] = vars(self.timings).copy()
        return plain

    @classmethod
    def from_json(cls, text: str) -> "Decision":
        """Reads the engine's form."""
        plain = json.loads(text)
        reason = plain.get("reason")
        return cls(
            calls=[Call(**call) for call in plain.get("calls", ())],
            confidence=plain["confidence"],
            reason=None if reason is None else Reason(reason),
            timings=Timings(**plain["timings"]),
            detail=plain.get("detail", ""),
            suppressed_calls=[Call(**call) for call in plain.get("suppressed_calls", ())],
            ungrounded=[Ungrounded(**item) for item in plain.get("ungrounded", ())],
        )


@dataclass(frozen=True)
class Text:
    """More of the answer's JSON text; provisional, like all events before `Done`."""

    text: str


@dataclass(frozen=True)
class ToolNamed:
    """The tool of a call is known."""

    call: int
    name: str


@dataclass(frozen=True)
class CallFinished:
    """All arguments of a call are written."""

    call: int


@dataclass(frozen=True)
class Done:
    """The decision, which alone says whether calls may be made; nothing follows."""

    decision: Decision


Event = Text | ToolNamed | CallFinished | Done
