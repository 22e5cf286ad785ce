"""The checks in ``conformance/``: what marks one, what runs one, and where they are.

A check is a function ``test_…(subject, case)`` marked with the clauses it tests and the
cases it is tried on::

    @clause("DIR-3")
    @for_all(cases(Feature.BIDIRECTIONAL))
    def test_the_final_states_are_the_ends_of_the_output(subject, case): ...

pytest collects and schedules them; :func:`examine` runs one without pytest.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from types import ModuleType
from typing import Any, Protocol, TypeAlias

import hypothesis
from hypothesis import Phase
from hypothesis import strategies as st

from rnn_conformance.agreement import RANK_ALPHA, Agreement, summary, worse_than_chance
from rnn_conformance.checks import locate
from rnn_conformance.clauses import CLAUSES
from rnn_conformance.ensemble import MEMBERS
from rnn_conformance.errors import (
    AdapterError,
    NonConforming,
    SuiteError,
    Unsupported,
    Untested,
)
from rnn_conformance.interface import Declaration
from rnn_conformance.locations import bundled
from rnn_conformance.reproduction import script
from rnn_conformance.results import Failure, Outcome, Record
from rnn_conformance.spec import Kind
from rnn_conformance.strategies import generating
from rnn_conformance.subject import Subject

Property: TypeAlias = Callable[[Subject, Any], Agreement | None]
Test: TypeAlias = Callable[[Subject], None]


@dataclass(frozen=True)
class Check:
    """One property. ``id`` is ``conformance/test_chapter.py::test_property``."""

    id: str
    clauses: tuple[str, ...]
    kinds: frozenset[Kind]
    test: Test

    @classmethod
    def of(cls, test: Any) -> Check:
        """From a marked function; raises ``SuiteError`` if it names no clause."""
        file = test.__code__.co_filename if not hasattr(test, "origin") else test.origin
        name = f"conformance/{file.replace(chr(92), '/').rpartition('/')[2]}::{test.__name__}"
        clauses = getattr(test, "clauses", ())
        if not clauses:
            raise SuiteError(f"{name} names no clause")
        return cls(name, clauses, test.kinds, test)


def clause(*ids: str, kinds: frozenset[Kind] | None = None) -> Callable[[Test], Test]:
    """Name the clauses that a check tests; it applies to the kinds that all of them do.

    ``kinds`` narrows them. Raises ``SuiteError`` for a clause that does not exist.
    """
    if unknown := [each for each in ids if each not in CLAUSES]:
        raise SuiteError(f"no such clause: {', '.join(unknown)}")
    applicable = frozenset.intersection(*(CLAUSES[each].kinds for each in ids))

    def mark(test: Any) -> Test:
        test.clauses = ids
        test.kinds = applicable if kinds is None else applicable & kinds
        return test  # type: ignore[no-any-return]

    return mark


class Family(Protocol):
    """What is drawn for a check, narrowed to one kind of one implementation."""

    def strategy(self, kind: Kind, declaration: Declaration) -> st.SearchStrategy[Any]:
        """Draws that are comparable and have a ``to_record``; may raise ``Unsupported``."""

    def conclude(self) -> None:
        """When nothing failed: may raise ``Unsupported`` where that is no pass."""


def for_all(family: Family, *, examples: float = 1.0) -> Callable[[Property], Test]:
    """Try a property on drawn cases; the first failure is shrunk, and is what is raised.

    ``examples`` multiplies the profile's number of cases, for a property that needs more
    of them or whose cases cost more than most. The draws depend on the run's seed and on
    the property, not on the implementation, so that references are shared and two
    implementations are shown the same cases.

    A property may return how well its case agreed with the equations; when all have passed,
    their agreements are judged together.
    """

    def decorate(check: Property) -> Test:
        def test(subject: Subject) -> None:
            strategy = family.strategy(subject.kind, subject.implementation.declaration)
            failed: dict[Any, NonConforming] = {}
            unsupported: list[Unsupported] = []
            agreements: list[tuple[Any, Agreement]] = []
            shrinks = iter(range(subject.profile.shrinks))

            def attempt(case: Any) -> None:
                if case in failed:
                    raise failed[case]
                # Shrinking ends after a number of cases, not of seconds: the same seed
                # gives the same counterexample on every machine.
                if unsupported or (failed and next(shrinks, None) is None):
                    return
                subject.tally.cases += 1
                try:
                    agreement = check(subject, case)
                    if agreement is not None:
                        agreements.append((case, agreement))
                        subject.tally.agreements.append((case, agreement))
                except NonConforming as error:
                    error.case = case
                    failed[case] = error
                    raise
                except Unsupported as reason:
                    # Not raised to Hypothesis, which would try it again and shrink it.
                    unsupported.append(reason)

            digest = hashlib.sha256(f"{subject.seed} {origin} {check.__name__}".encode()).digest()
            decide = hypothesis.given(strategy)(attempt)
            decide = hypothesis.seed(int.from_bytes(digest[:8], "big"))(decide)
            count = max(1, round(subject.profile.cases * examples))
            generating(count, (Phase.generate, Phase.shrink))(decide)()
            if unsupported:
                raise unsupported[0]
            judged_together(agreements)
            family.conclude()

        origin = check.__code__.co_filename.replace("\\", "/").rpartition("/")[2]
        # Not functools.wraps: pytest would follow it and take `case` for a fixture.
        functools.update_wrapper(test, check)
        del test.__wrapped__  # type: ignore[attr-defined]
        # What is drawn is no argument of the test.
        test.__annotations__ = {"subject": Subject, "return": None}
        test.origin = origin  # type: ignore[attr-defined]
        return test

    return decorate


def judged_together(agreements: Sequence[tuple[Any, Agreement]]) -> None:
    """Raises ``NonConforming`` if too many cases agree worse than every noisy run."""
    found = worse_than_chance([agreement for _, agreement in agreements])
    if found is None:
        return
    hits, allowed = found
    worst = hits[0]
    error = NonConforming(
        f"in {len(hits)} of {len(agreements)} cases the errors of all {worst.of} together are "
        f"larger than those of each of {MEMBERS} runs of the equations with the noise of "
        f"rounding, in this one {worst.rank:.3g} times the scatter where the worst run has "
        f"{worst.reach:.3g}; chance would do that in at most {allowed} cases, with a probability "
        f"of {RANK_ALPHA:g}. No error is large, but they are not those of rounding",
        calls=(worst.call,),
    )
    error.case = next(case for case, agreement in agreements if agreement is worst)
    raise error


@functools.cache
def checks() -> tuple[Check, ...]:
    """Every check in ``conformance/``, by file and then in the order of the file."""
    return tuple(
        Check.of(value)
        for path in sorted(bundled("conformance").glob("test_*.py"))
        for name, value in vars(_module(path.stem, str(path))).items()
        if name.startswith("test_")
    )


def _module(stem: str, path: str) -> ModuleType:
    name = f"rnn_conformance_checks.{stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def examine(check: Check, subject: Subject) -> Record:
    """Run one check on one subject."""
    begun = perf_counter()
    error: BaseException | None = None
    try:
        check.test(subject)
    except Exception as raised:
        error = raised
    return record(check, subject, error, perf_counter() - begun)


def record(
    check: Check,
    subject: Subject,
    error: BaseException | None,
    seconds: float,
    outcome: Outcome | None = None,
) -> Record:
    """What a check found, from the exception that ended it; ``outcome`` overrides."""
    reason: str | None = None
    failure: Failure | None = None
    match error:
        case None:
            found, reason = Outcome.PASSED, "; ".join(subject.tally.notes) or None
        case Untested():
            found, reason = Outcome.UNTESTED, str(error)
        case Unsupported():
            found, reason = Outcome.UNSUPPORTED, str(error)
        case NonConforming():
            found, failure = Outcome.FAILED, _failure(subject, error)
        case _:
            fault = "adapter" if isinstance(error, AdapterError) else "suite"
            found = Outcome.ERROR
            message = f"{type(error).__name__}: {error}"
            failure = Failure(fault, message, traceback=_traceback(error))
    return Record(
        implementation=subject.implementation.name,
        kind=str(subject.kind),
        check=check.id,
        clauses=check.clauses,
        outcome=found if outcome is None else outcome,
        cases=subject.tally.cases,
        seconds=seconds,
        seconds_inside=subject.tally.seconds_inside,
        reason=reason,
        failure=failure,
        accuracy=summary(subject.tally.agreements),
    )


def _failure(subject: Subject, error: NonConforming) -> Failure:
    call = error.calls[-1] if error.calls else None
    where = None
    if call is not None and error.array is not None:
        where = (
            {"array": error.array}
            if error.index is None
            else locate(call, error.array, error.index)
        )
    cause = error.__cause__
    return Failure(
        fault="implementation",
        message=error.message,
        calls=tuple(str(each) for each in error.calls),
        case=None if error.case is None else error.case.to_record(),
        where=where,
        expected=error.expected,
        got=error.got,
        error=error.error,
        bound=error.bound,
        excerpt=error.excerpt,
        script=None if call is None else script(subject.implementation, call, error.backward),
        traceback=None if cause is None else _traceback(cause),
    )


def _traceback(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    # By the places where Python finds them: a report should read the same on every machine.
    folders = {str(bundled("conformance").parent), *filter(None, sys.path)}
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(folder.rstrip("/\\") + os.sep, "")
    return text
