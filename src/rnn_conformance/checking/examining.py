"""Runs a check without pytest, and tells what it found as a record."""

from __future__ import annotations

import traceback
from time import perf_counter

from rnn_conformance.checking.checks import Check
from rnn_conformance.checking.locating import locate
from rnn_conformance.checking.reproduction import script
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import (
    AdapterError,
    Excluded,
    Fault,
    NonConforming,
    Sort,
    Unsupported,
    Untested,
)
from rnn_conformance.locations import relative
from rnn_conformance.reference.tolerance import summary
from rnn_conformance.results.records import Failure, Outcome, Record
from rnn_conformance.spec.backward import gradient_of


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
) -> Record:
    """What a check found, from the exception that ended it."""
    reason: str | None = None
    failure: Failure | None = None
    match error:
        case None:
            ended, reason = Outcome.PASSED, "; ".join(subject.tally.notes) or None
        case Excluded():
            ended, reason = Outcome.EXCLUDED, str(error)
        case Untested():
            ended, reason = Outcome.UNTESTED, str(error)
        case Unsupported():
            ended, reason = Outcome.UNSUPPORTED, str(error)
        case NonConforming():
            ended, failure = Outcome.FAILED, _failure(subject, error)
        case _:
            fault = Fault.ADAPTER if isinstance(error, AdapterError) else Fault.SUITE
            message = relative(f"{type(error).__name__}: {error}")
            ended = Outcome.ERROR
            failure = Failure(fault, Sort.BROKEN, message, traceback=_traceback(error))
    return Record(
        implementation=subject.implementation.name,
        kind=str(subject.kind),
        check=check.id,
        clauses=check.clauses,
        outcome=ended,
        cases=subject.tally.cases,
        seconds=seconds,
        seconds_inside=subject.tally.seconds_inside,
        reason=None if reason is None else relative(reason),
        failure=failure,
        accuracy=summary(subject.tally.agreements),
    )


def _failure(subject: Subject, error: NonConforming) -> Failure:
    call = error.calls[-1] if error.calls else None
    where = None
    if call is not None and error.array is not None:
        if error.index is None:
            where = {"array": gradient_of(error.array) if error.gradient else error.array}
        else:
            where = locate(call, error.array, error.index, gradient=error.gradient)
    return Failure(
        fault=Fault.IMPLEMENTATION,
        sort=error.sort,
        message=relative(error.message),
        nature=error.nature,
        calls=tuple(str(call) for call in error.calls),
        case=None if error.case is None else error.case.to_record(),
        where=where,
        expected=error.expected,
        got=error.got,
        error=error.error,
        bound=error.bound,
        excerpt=error.excerpt,
        script=None if call is None else script(subject.implementation, call, error.backward),
        traceback=None if error.exception is None else _traceback(error.exception),
    )


def _traceback(error: BaseException) -> str:
    return relative("".join(traceback.format_exception(error)))
