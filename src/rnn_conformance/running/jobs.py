"""What is to be done, as plain data that goes to another process or another machine.

A *candidate* is one implementation in one of its kinds, with the checks that it is held to; a
*job* is a piece of the work on it, which an executor performs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from rnn_conformance.checking.subject import Profile
from rnn_conformance.results.records import Entry, Recipe

Key: TypeAlias = tuple[str, str]
"""A candidate's name and kind."""

CHECK_SECONDS = {"quick": 60.0, "standard": 300.0, "thorough": 1800.0}
"""Seconds that one case of a check may take, by profile: a thousand times what torch takes."""

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """What an implementation may take before its process is ended.

    ``check`` are the seconds of one case of a check, ``loading`` those of importing it,
    ``implementation`` those of all of its checks in one kind, on all processes together. ``memory``
    and ``output`` are bytes: of a process, and of what one check writes. After ``deaths`` checks
    that a process did not survive, the rest of that implementation is not run. Raises
    ``ValueError`` for what is not positive.
    """

    check: float = CHECK_SECONDS["quick"]
    loading: float = 300.0
    implementation: float = 3600.0
    memory: int = 8192 * MEBIBYTE
    output: int = 64 * MEBIBYTE
    deaths: int = 10

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise ValueError(f"the limit {name} is {value}, and must be positive")


def limited(profile: str, chosen: Mapping[str, float | None]) -> Limits:
    """The limits of a profile, but for those chosen; memory in MiB."""
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if "memory" in given:
        given["memory"] *= MEBIBYTE
    return Limits(**{"check": CHECK_SECONDS[profile], **given})


@dataclass(frozen=True)
class Source:
    """What a process holds: the implementation at a ``position`` of what a target names.

    ``kind`` is for a single class that does not tell its own; ``folder`` is where the command
    was called. A ``family`` is a target whose implementations may share a process.
    """

    target: str
    position: int = 0
    kind: str = ""
    device: str = "cpu"
    folder: str = ""
    family: bool = False

    @property
    def holding(self) -> object:
        """Two sources that are equal in this may share a process."""
        return self.target if self.family else self


@dataclass(frozen=True)
class Due:
    """A check that is to be run, and the clauses that it tests.

    Where it failed before, ``recipe`` is how it did, which is tried first; ``alone`` says that
    nothing else is tried.
    """

    check: str
    clauses: tuple[str, ...]
    recipe: Recipe | None = None
    alone: bool = False


@dataclass(frozen=True)
class Candidate:
    """One implementation in one kind: what the results say of it, and its checks, in order."""

    entry: Entry
    source: Source
    due: tuple[Due, ...]

    @property
    def key(self) -> Key:
        """Its name and its kind."""
        return self.entry.name, self.entry.kind


@dataclass(frozen=True)
class Trying:
    """How much is tried, from which seed; ``without`` are features taken as undeclared.

    ``fatal`` says of those that are declared, and of which the process does not survive the first
    call, how it ended: the sentence and the sort.
    """

    profile: Profile
    seed: int
    without: tuple[str, ...] = ()
    fatal: tuple[tuple[str, str], ...] = ()


class Errand(StrEnum):
    """What a job is: to find out what can be asked at all, to run checks, or to explain."""

    PROBE = "probe"
    EXAMINE = "examine"
    DIAGNOSE = "diagnose"


@dataclass(frozen=True)
class Failing:
    """A check that failed, to be explained: ``evidence`` is what its process gave for that."""

    due: Due
    evidence: str


@dataclass(frozen=True)
class Job:
    """A piece of the work on a candidate: checks to run, or failures to explain, in order."""

    candidate: Candidate
    errand: Errand
    trying: Trying
    limits: Limits
    due: tuple[Due, ...] = ()
    failing: tuple[Failing, ...] = ()


@dataclass(frozen=True)
class Begun:
    """An item of a job has been begun; ``check`` is empty for a probe."""

    job: Job
    check: str = ""


@dataclass(frozen=True)
class Found:
    """What came of an item of a job.

    ``record`` is a check's, as plain values; ``evidence``, opaque here, explains its failure
    later; ``died`` says that the process did not survive it. ``answer`` is what a probe or a
    diagnosis gave.
    """

    job: Job
    check: str = ""
    record: Mapping[str, Any] | None = None
    evidence: str = ""
    died: bool = False
    answer: Mapping[str, Any] = field(default_factory=dict)


def cost(candidate: Candidate) -> int:
    """What a candidate is expected to take: checks of one implementation cost much the same."""
    return len(candidate.due)


def shard(candidates: Sequence[Candidate], number: int, count: int) -> list[Candidate]:
    """The share ``number`` (from 1) of ``count`` machines, by cost; the same on every one.

    A candidate is never divided: what explains its failures needs all of them.
    """
    shares: list[list[Candidate]] = [[] for _ in range(count)]
    for candidate in sorted(candidates, key=lambda candidate: (-cost(candidate), candidate.key)):
        min(shares, key=lambda share: sum(map(cost, share))).append(candidate)
    return shares[number - 1]
