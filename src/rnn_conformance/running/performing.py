"""A job performed, item by item, by what holds its implementation: a process, or this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from time import perf_counter
from typing import Any, Protocol

from rnn_conformance.checking.probing import ANSWERS
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.locations import relative
from rnn_conformance.results.records import Failure, Memory, Outcome, Recipe, Record
from rnn_conformance.running.isolation import Death
from rnn_conformance.running.jobs import Begun, Due, Errand, Failing, Found, Job, Source
from rnn_conformance.spec.config import Dtype

DIAGNOSIS = 2.0
"""Times the limit of a check that its explanation may take, which asks more than it did."""


class Holder(Protocol):
    """What answers requests about the implementation that it holds."""

    def hold(self, source: Source) -> Mapping[str, Any] | Death:
        """Load an implementation, if it is not held already."""

    def ask(self, request: Mapping[str, Any], seconds: float) -> Mapping[str, Any] | Death:
        """The answer to a request, or how its process died of it."""


def perform(holder: Holder, job: Job) -> Iterator[Begun | Found]:
    """What comes of a job, as it comes."""
    match job.errand:
        case Errand.PROBE:
            yield Begun(job)
            yield _probe(holder, job)
        case Errand.EXAMINE:
            for due in job.due:
                yield Begun(job, due.check)
                yield _examine(holder, job, due)
        case Errand.DIAGNOSE:
            for failing in job.failing:
                yield Begun(job, failing.due.check)
                yield Found(job, failing.due.check, answer=_diagnose(holder, job, failing))


def _ask(
    holder: Holder, job: Job, request: Mapping[str, Any], seconds: float
) -> Mapping[str, Any] | Death:
    """The answer of what holds the job's implementation, of which the request is."""
    loaded = holder.hold(job.candidate.source)
    if isinstance(loaded, Death) or loaded:
        return loaded
    which = {
        "position": job.candidate.source.position,
        "name": job.candidate.entry.name,
        "kind": job.candidate.entry.kind,
        "without": job.trying.without,
    }
    return holder.ask({**request, **which}, seconds)


def _probe(holder: Holder, job: Job) -> Found:
    """What can be asked at all; what its process dies of is asked for once, and left out."""
    fatal: dict[str, tuple[str, str]] = {}
    while True:
        without = (*job.trying.without, *fatal)
        trying = replace(job.trying, without=without)
        answer = _ask(holder, replace(job, trying=trying), {"do": "probe"}, job.limits.check)
        if not isinstance(answer, Death):
            # What cannot be loaded again, or is the suite's own fault, the checks will say.
            return _probed(job, answer.get("unusable", ""), fatal)
        asked = answer.seen.get("asked", "")
        # What hangs in a plain call is not waited for in every dtype.
        hangs = answer.sort is Sort.TIMEOUT and asked in list(Dtype)
        if not asked or asked in without or hangs:
            call = answer.seen.get("call", "loading it")
            return _probed(job, f"{call}: {answer.message}", fatal)
        call = answer.seen.get("call", "the call")
        fatal[asked] = f"{asked} is declared, and {call}: {answer.message}", str(answer.sort)


def _probed(job: Job, unusable: str, fatal: Mapping[str, tuple[str, str]]) -> Found:
    answer = {"unusable": unusable, "without": list(fatal), "fatal": list(fatal.values())}
    return Found(job, answer=answer)


def _examine(holder: Holder, job: Job, due: Due) -> Found:
    begun = perf_counter()
    request = {
        "do": "examine",
        "check": due.check,
        "profile": asdict(job.trying.profile),
        "seed": job.trying.seed,
        "recipe": None if due.recipe is None else asdict(due.recipe),
        "alone": due.alone,
    }
    answer = _ask(holder, job, request, job.limits.check)
    seconds = perf_counter() - begun
    if isinstance(answer, Death):
        return Found(job, due.check, _dead(job, due, answer, seconds).to_record(), died=True)
    if "record" in answer:
        record = answer["record"]
        if job.trying.fatal and ANSWERS in due.clauses and record["outcome"] == Outcome.PASSED:
            # What is left answers; what is left out does not.
            record = _fatal(job, due, seconds).to_record()
        return Found(job, due.check, record, answer["evidence"])
    return Found(job, due.check, _broken(job, due, answer, seconds).to_record())


def _dead(job: Job, due: Due, death: Death, seconds: float) -> Record:
    """The record of a check that its process did not survive."""
    call = death.seen.get("call")
    failure = Failure(
        Fault.IMPLEMENTATION,
        death.sort,
        death.message,
        calls=(call,) if call else (),
        case=death.seen.get("case"),
        output=death.output or None,
        # In a process that is no more nobody knows what was drawn: it is the whole check.
        recipe=due.recipe or Recipe(job.trying.seed, job.trying.profile.name),
    )
    outcome = Outcome.TIMEOUT if death.sort is Sort.TIMEOUT else Outcome.CRASHED
    return Record(
        *job.candidate.key,
        due.check,
        due.clauses,
        outcome,
        cases=death.seen.get("cases", 0),
        seconds=seconds,
        failure=failure,
        remembered=None if due.recipe is None else Memory.FAILS,
    )


def _fatal(job: Job, due: Due, seconds: float) -> Record:
    """The record of what is declared, and of which the process does not survive the first call."""
    sentences, (sort, *_) = zip(*job.trying.fatal, strict=True)
    failure = Failure(Fault.IMPLEMENTATION, Sort(sort), "; ".join(sentences))
    outcome = Outcome.TIMEOUT if failure.sort is Sort.TIMEOUT else Outcome.CRASHED
    return Record(
        *job.candidate.key, due.check, due.clauses, outcome, seconds=seconds, failure=failure
    )


def _broken(job: Job, due: Due, answer: Mapping[str, Any], seconds: float) -> Record:
    """The record of a check that could not be run, though the process lives."""
    if "refusal" in answer:
        message, _, _, trace = answer["refusal"]
        fault = Fault.ADAPTER
    else:
        trace = answer["fault"]
        message, fault = trace.strip().rpartition("\n")[2], Fault.SUITE
    failure = Failure(fault, Sort.BROKEN, relative(message), traceback=trace)
    return Record(
        *job.candidate.key, due.check, due.clauses, Outcome.ERROR, seconds=seconds, failure=failure
    )


def _diagnose(holder: Holder, job: Job, failing: Failing) -> Mapping[str, Any]:
    """A diagnosis, or the reason why there is none: the failure stands without."""
    if not failing.evidence:
        return {"diagnosis": None, "reason": None}
    clauses, evidence = failing.due.clauses, failing.evidence
    request = {"do": "diagnose", "clauses": clauses, "evidence": evidence}
    answer = _ask(holder, job, request, DIAGNOSIS * job.limits.check)
    if isinstance(answer, Death):
        return {"diagnosis": None, "reason": f"it could not be diagnosed: {answer.message}"}
    if "diagnosis" in answer:
        return answer
    why = answer["fault"] if "fault" in answer else answer["refusal"][0]
    last = why.strip().rpartition("\n")[2]
    return {"diagnosis": None, "reason": f"it could not be diagnosed: {last}"}
