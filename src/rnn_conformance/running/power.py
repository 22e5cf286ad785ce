"""The suite's power, measured: every mutant against the checks of the clauses that it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from rnn_conformance import mutants
from rnn_conformance.mutants import Mutant
from rnn_conformance.results.kill_matrix import Attempt, Power, Trial, document
from rnn_conformance.results.records import Entry
from rnn_conformance.running.isolation import warm
from rnn_conformance.running.jobs import Begun, Candidate, Due, Key, Limits, Source, Trying
from rnn_conformance.running.local import Executor, Here, Processes
from rnn_conformance.running.schedule import Schedule
from rnn_conformance.running.trials import QUICK, Choice, judged, kills, trial
from rnn_conformance.running.versions import versions
from rnn_conformance.spec.config import Kind

FAMILY = "rnn_conformance.mutants:CATALOGUE"
"""Where a process finds the mutants."""

TIMEOUT = 60.0
"""Seconds that one check of one mutant may take, its references included."""

Progress = Callable[[int, int, int], None]
"""Called with the trials done, the trials in all, and the survivors so far."""


def measure(
    choice: Choice,
    *,
    workers: int = 0,
    progress: Progress = lambda done, total, survivors: None,
    timeout: float = TIMEOUT,
    family: str = FAMILY,
) -> dict[str, Any]:
    """The kill matrix, as a document (see ``results.kill_matrix``).

    ``workers`` processes; 0 is this one, which a mutant that hangs or dies takes with it, as
    it does not elsewhere: there its check is recorded as timed out or crashed, which is no
    kill. ``timeout`` are the seconds that one check may take there, ``family`` is where those
    processes find the mutants, as ``module:name``. Raises ``UsageError`` if
    there is nothing to try.
    """
    begun, started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    asked = choice.trials()
    candidates = {_candidate(*trial, choice, family).key: trial for trial in asked}
    attempts: dict[Key, list[Attempt]] = {key: [] for key in candidates}
    trials: dict[Key, Trial] = {}

    def enough(candidate: Candidate, record: Mapping[str, Any]) -> bool:
        mutant, _ = candidates[candidate.key]
        return not choice.full and kills(mutant, record)

    schedule = Schedule(
        [_candidate(*trial, choice, family) for trial in asked],
        Trying(QUICK, choice.seed),
        Limits(check=timeout),
        probe=False,
        explain=False,
        enough=enough,
    )
    if workers:
        warm()
    executor: Executor = Processes(min(workers, len(asked))) if workers else Here()
    for event in executor.perform(schedule):
        if isinstance(event, Begun) or event.record is None:
            continue
        key = event.job.candidate.key
        mutant, kind = candidates[key]
        attempts[key].append(judged(mutant, event.record))
        if len(attempts[key]) == len(event.job.candidate.due) or (
            not choice.full and attempts[key][-1].kill
        ):
            trials[key] = trial(mutant, kind, attempts[key])
            survivors = sum(not one.killed for one in trials.values())
            progress(len(trials), len(asked), survivors)
    run = Power(
        seed=choice.seed,
        full=choice.full,
        cases=QUICK.cases,
        kinds=choice.kinds,
        select=choice.clauses,
        mutant=choice.mutant,
        versions=versions(),
        started=started,
        seconds=perf_counter() - begun,
        complete=len(trials) == len(asked),
    )
    due = {check.id: check.clauses for one in asked for check in choice.due(*one)}
    known = [plain(mutant) for mutant in mutants.CATALOGUE]
    return document(run, known, due, [trials[key] for key in candidates if key in trials])


def _candidate(mutant: Mutant, kind: Kind, choice: Choice, family: str) -> Candidate:
    """A mutant in a kind, as what an executor knows."""
    return Candidate(
        Entry(mutant.name, str(kind), mutant.name, "", (), ()),
        Source(family, mutants.CATALOGUE.index(mutant), family=True),
        tuple(Due(check.id, check.clauses) for check in choice.due(mutant, kind)),
    )


def plain(mutant: Mutant) -> dict[str, Any]:
    """A mutant as a record."""
    return {
        "name": mutant.name,
        "chapter": mutant.chapter,
        "breaks": sorted(mutant.breaks),
        "kinds": [kind.value for kind in Kind if kind in mutant.kinds],
        "needs": sorted(mutant.needs),
        "source": mutant.source,
        "crashes": mutant.crashes,
    }
