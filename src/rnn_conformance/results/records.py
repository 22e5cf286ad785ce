"""The records that a run emits: plain values, one record a check.

A run writes each :class:`Record` as a line of JSON, at once, so that what was found survives
whatever happens next. Its JSON schema is ``schemas/record.json`` beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from rnn_conformance.errors import Fault, Nature, Sort


class Outcome(StrEnum):
    """What a check found; a clause's outcome is the worst of its checks', first is worst."""

    CRASHED = "crashed"
    TIMEOUT = "timeout"
    FAILED = "failed"
    ERROR = "error"
    NOT_RUN = "not run"
    UNTESTED = "untested"
    EXCLUDED = "excluded"
    PASSED = "passed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Entry:
    """An implementation in one of its kinds, and what it claims, as plain values.

    ``excluded`` are the clauses that it excludes, each with the reason. ``versions`` are those
    of the engine and of what it stands on, by package; ``notes`` say where its adapter chose.
    """

    name: str
    kind: str
    target: str
    level: str
    features: tuple[str, ...]
    dtypes: tuple[str, ...]
    fails_on_purpose: str = ""
    excluded: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Entry:
        """From plain values, as ``asdict`` gives and JSON keeps them."""
        return cls(**{field: _frozen(value) for field, value in record.items()})


@dataclass(frozen=True)
class Recipe:
    """How a failure is had again: the run's seed and profile, and what was drawn.

    ``draw`` is opaque (see ``checking.recalling``); without one it is the whole check.
    """

    seed: int
    profile: str
    draw: str = ""


class Memory(StrEnum):
    """What came of a failure that was remembered, and tried first."""

    FAILS = "fails again"
    PASSES = "passes now"
    FORGOTTEN = "cannot be drawn any more"


@dataclass(frozen=True)
class Failure:
    """A check's smallest counterexample.

    ``fault`` is who has to act, ``sort`` what is wrong. ``calls`` are the calls that show it,
    in words; ``case`` what was drawn, to replay it; ``where`` names the element (``array``,
    ``time`` and so on). ``excerpt`` holds rows of ``(index, expected, got, error, bound)``;
    ``elements`` the array that is off, or the part around the worst of it, with the error in
    units of the tolerance (``elements`` in the schema); ``diagnosis`` says what is behind it
    (see ``diagnosis.Diagnosis``); ``script`` shows it with torch and the implementation alone.
    Where an exception was raised, ``nature`` is what that was, and ``traceback`` is there; where
    the process died, ``output`` is the end of what it had written. The ``recipe`` is how it is
    had again.
    """

    fault: Fault
    sort: Sort
    message: str
    calls: tuple[str, ...] = ()
    case: Mapping[str, Any] | None = None
    where: Mapping[str, Any] | None = None
    expected: Any = None
    got: Any = None
    error: float | None = None
    bound: float | None = None
    excerpt: tuple[tuple[Any, ...], ...] = ()
    elements: Mapping[str, Any] | None = None
    diagnosis: Mapping[str, Any] | None = None
    script: str | None = None
    nature: Nature | None = None
    traceback: str | None = None
    output: str | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Record:
    """One check of one implementation in one kind.

    ``cases`` is the number of cases tried, shrinking included; ``seconds`` the check's
    wall time, ``seconds_inside`` the share of it spent in the implementation. ``accuracy``
    says how far inside what is allowed the errors lie, by dtype (see ``tolerance.summary``).
    ``remembered`` is what came of its earlier failure, where one was tried first.
    """

    implementation: str
    kind: str
    check: str
    clauses: tuple[str, ...]
    outcome: Outcome
    cases: int = 0
    seconds: float = 0.0
    seconds_inside: float = 0.0
    reason: str | None = None
    failure: Failure | None = None
    accuracy: tuple[Mapping[str, Any], ...] = ()
    remembered: Memory | None = None

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values (see :func:`plain`)."""
        written: dict[str, Any] = plain(asdict(self))
        return written


Shard: TypeAlias = tuple[int, int]
"""``(K, N)``: the K-th of N shares of a run's checks, from 1."""


@dataclass(frozen=True)
class Run:
    """How the records came about. ``complete`` is false for a run that was cut short.

    ``device`` is where ``torch``'s classes computed. ``kinds``, ``level`` and ``without`` are
    further choices, empty where there was none. ``shard`` is the share of the checks that ran,
    if not all; of shards that were put together, ``missing`` are those that are not there,
    without which it is not complete. Raises ``ValueError`` for a shard that cannot be.
    """

    seed: int
    profile: str
    select: tuple[str, ...]
    versions: Mapping[str, str]
    started: str
    seconds: float
    complete: bool
    device: str = "cpu"
    kinds: tuple[str, ...] = ()
    level: str = ""
    without: tuple[str, ...] = ()
    shard: Shard | None = None
    missing: tuple[Shard, ...] = ()

    def __post_init__(self) -> None:
        for number, of in filter(None, (self.shard, *self.missing)):
            if not 1 <= number <= of:
                raise ValueError(f"there is no shard {number} of {of}")
        if self.missing and self.complete:
            raise ValueError("a run of which shards are missing is not complete")

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Run:
        """From plain values; what an older file does not say is as it was then."""
        return cls(**{field: _frozen(value) for field, value in record.items()})


def plain(value: Any) -> Any:
    """``value`` as JSON can write it: tuples as lists, enumerations as their texts.

    Floats that JSON cannot write are ``"nan"``, ``"inf"`` and ``"-inf"``.
    """
    match value:
        case StrEnum():
            return value.value
        case float() if not math.isfinite(value):
            return str(float(value))
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return value


def _frozen(value: Any) -> Any:
    """Lists as the tuples that they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
