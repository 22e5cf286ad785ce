"""What is worse, what is better and what is merely other between two runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rnn_conformance.results.baseline import RAN, Baseline, Standing
from rnn_conformance.results.identity import Identity
from rnn_conformance.results.records import Outcome, plain
from rnn_conformance.results.verdict import FAILING


class Change(StrEnum):
    """What became of something; what is told first comes first."""

    BROKEN = "broken"
    """It did not fail, and does now."""
    CHANGED = "changed"
    """It failed, and fails in another way."""
    GONE = "gone"
    """It was tested, and is not any more."""
    ADDED = "added"
    """An implementation that was not there."""
    FIXED = "fixed"
    """It failed, and passes now."""


@dataclass(frozen=True)
class Difference:
    """One of them, of an implementation in a kind.

    ``check`` and ``clauses`` are what it is of, empty for the implementation as a whole;
    ``text`` says what it was and what it is.
    """

    change: Change
    implementation: str
    kind: str
    text: str
    worse: bool
    clauses: tuple[str, ...] = ()
    check: str = ""

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        written: dict[str, Any] = plain(asdict(self))
        return written


def differences(old: Baseline, new: Baseline) -> tuple[Difference, ...]:
    """All of them, by what became of it; then in the order of the new run.

    An implementation that the old run does not know is held to what any is without a baseline.
    """
    before = {standing.key: standing for standing in old.standings}
    after = {standing.key: standing for standing in new.standings}
    found: list[Difference] = []
    for key, now in after.items():
        found += _between(before[key], now) if key in before else [_added(now)]
    found += [_gone(was) for key, was in before.items() if key not in after]
    return tuple(sorted(found, key=lambda one: list(Change).index(one.change)))


def _added(now: Standing) -> Difference:
    return Difference(
        Change.ADDED, *now.key, f"was not there, {now.judgement}", worse=not now.conforms
    )


def _gone(was: Standing) -> Difference:
    return Difference(Change.GONE, *was.key, f"{was.judgement}, is not there", worse=was.conforms)


def _between(was: Standing, now: Standing) -> list[Difference]:
    found = [*_failures(was, now), *_untested(was, now)]
    if now.checks < was.checks:
        text = f"{was.checks} checks had an answer, {now.checks} have one"
        found.append(Difference(Change.GONE, *now.key, text, worse=True))
    if was.conforms and not now.conforms and not any(one.worse for one in found):
        # Nothing can be said clause by clause: it could not be run, or should have failed.
        text = f"{was.judgement}; now {now.judgement}"
        found.append(Difference(Change.BROKEN, *now.key, text, worse=True))
    return found


def _failures(was: Standing, now: Standing) -> Iterator[Difference]:
    """Check by check, which is finer than clause by clause."""
    before = {failure.check: failure for failure in was.failures}
    after = {failure.check: failure for failure in now.failures}
    for check, failure in after.items():
        if check not in before:
            # A check of a clause that failed by others: what failed there is no excuse.
            failed = any(was.clauses.get(id) in FAILING for id in failure.clauses)
            change = Change.CHANGED if failed else Change.BROKEN
            # What was behind a failure of the clause, and by other draws is seen by more checks.
            known = failed and any(failure.of_cause(one) for one in was.failures)
            text = f"now {failure}{', as other checks of it before' if known else ''}"
            yield _of(change, failure, text, worse=not known)
        elif not failure.same(before[check]):
            text = f"{before[check]}; now {failure}"
            yield _of(Change.CHANGED, failure, text, worse=True)
    for check, failure in before.items():
        if check not in after and any(now.clauses.get(id) in RAN for id in failure.clauses):
            yield _of(Change.FIXED, failure, f"{failure}; now it passes", worse=False)


def _untested(was: Standing, now: Standing) -> Iterator[Difference]:
    """Clauses of which nothing is known any more."""
    for id, outcome in was.clauses.items():
        is_now = now.clauses.get(id)
        if outcome in RAN and is_now not in FAILING and is_now is not Outcome.PASSED:
            text = f"{outcome}; now {is_now or 'not there'}"
            worse = outcome is Outcome.PASSED
            yield Difference(Change.GONE, *now.key, text, worse=worse, clauses=(id,))


def _of(change: Change, failure: Identity, text: str, *, worse: bool) -> Difference:
    return Difference(
        change, failure.implementation, failure.kind, text, worse, failure.clauses, failure.check
    )
