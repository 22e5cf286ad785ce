"""Runs a check without pytest, and tells what it found as a record."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch

from rnn_conformance.checking.checks import Check
from rnn_conformance.checking.locating import locate
from rnn_conformance.checking.proving import shown_alone
from rnn_conformance.checking.reproduction import again, script
from rnn_conformance.checking.subject import PROFILES, Subject, Tally
from rnn_conformance.errors import (
    AdapterError,
    Excluded,
    Fault,
    NonConforming,
    Sort,
    Unsupported,
    Untested,
    interrupts,
)
from rnn_conformance.reference.tolerance import summary
from rnn_conformance.results.records import Failure, Memory, Outcome, Recipe, Record
from rnn_conformance.spec.backward import gradient_of
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.texts import LONGEST, kept, said, traced, worded


def examine(check: Check, subject: Subject) -> Record:
    """Run one check on one subject."""
    return examined(check, subject)[0]


def recalled(
    check: Check, subject: Subject, recipe: Recipe, *, alone: bool = False
) -> tuple[Record, BaseException | None]:
    """Try a failure that is remembered first, and the check only if it is none any more.

    One that still fails stands as it is: it was searched and made simpler before. ``alone`` says
    that the check is not run in any case. What ended it is told too.
    """
    again = replace(
        subject,
        seed=recipe.seed,
        profile=PROFILES.get(recipe.profile, subject.profile),
        draw=recipe.draw,
        tally=Tally(observe=subject.tally.observe),
    )
    record, error = examined(check, again)
    if record.outcome is Outcome.FAILED:
        return replace(record, remembered=Memory.FAILS), error
    lost = record.outcome is not Outcome.PASSED
    memory = Memory.FORGOTTEN if lost else Memory.PASSES
    whole = not recipe.draw and (again.seed, again.profile) == (subject.seed, subject.profile)
    if not (alone or whole):
        record, error = examined(check, subject)
    return replace(record, remembered=memory), error


def examined(check: Check, subject: Subject) -> tuple[Record, BaseException | None]:
    """Run one check on one subject; also what ended it, for whoever explains it."""
    settle(f"{subject.seed} {check.id}")
    begun = perf_counter()
    error: BaseException | None = None
    try:
        check.test(subject)
    except BaseException as raised:
        if interrupts(raised):
            raise
        error = raised
    return record(check, subject, error, perf_counter() - begun), error


def settle(text: str) -> None:
    """Begin from generators that follow from ``text`` alone, whatever ran before."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


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
            ended, reason = Outcome.UNTESTED, said(error)
        case Unsupported():
            ended, reason = Outcome.UNSUPPORTED, said(error)
        case NonConforming():
            ended, failure = Outcome.FAILED, _failure(subject, check, error)
        case _:
            fault = Fault.ADAPTER if isinstance(error, AdapterError) else Fault.SUITE
            ended = Outcome.ERROR
            failure = Failure(fault, Sort.BROKEN, worded(error), traceback=traced(error))
    return Record(
        implementation=subject.implementation.name,
        kind=str(subject.kind),
        check=check.id,
        clauses=check.clauses,
        outcome=ended,
        cases=subject.tally.cases,
        seconds=seconds,
        seconds_inside=subject.tally.seconds_inside,
        reason=None if reason is None else kept(reason),
        failure=failure,
        accuracy=summary(subject.tally.agreements),
    )


def _failure(subject: Subject, check: Check, error: NonConforming) -> Failure:
    recipe = Recipe(subject.seed, subject.profile.name, error.draw)
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
        message=kept(error.message),
        nature=error.nature,
        calls=tuple(kept(str(call)) for call in error.calls),
        case=None if error.case is None else error.case.to_record(),
        where=where,
        expected=_kept(error.expected),
        got=_kept(error.got),
        error=error.error,
        bound=error.bound,
        excerpt=error.excerpt,
        elements=error.elements,
        script=_script(subject, check, error, recipe),
        traceback=None if error.exception is None else traced(error.exception),
        recipe=recipe,
    )


def _script(subject: Subject, check: Check, error: NonConforming, recipe: Recipe) -> str:
    """A proof of a failure: by one call where that shows it, and else by the check's own steps."""
    clauses = "; ".join(f"{id} {CLAUSES[id].title}" for id in check.clauses)
    shown = shown_alone(subject, error)
    if shown is not None:
        said = f"{clauses}\n\n{_line(shown.message)}\n"
        if (plain := script(subject.implementation, shown, said)) is not None:
            return plain
    said = f"{clauses}\n\n{_line(error.message)}"
    return again(subject.implementation, said, str(subject.kind), check.id, recipe)


def _line(message: str) -> str:
    """A message in a line."""
    return " ".join(kept(message).split())


def _kept(value: Any) -> Any:
    """A value of a result; one that is long is told in words."""
    if isinstance(value, str):
        return kept(value)
    words = repr(value)
    return value if len(words) <= LONGEST else kept(words)
