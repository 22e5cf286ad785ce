"""The suite's power, measured: every mutant against the checks of the clauses that it breaks.

A kill counts only if a check of a clause that the mutant breaks fails by what came back: an
exception on a legal call is no kill, unless the exception is the defect itself.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import platform
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter
from typing import Any

import torch

from rnn_conformance.clauses import CHAPTERS, CLAUSES
from rnn_conformance.errors import SuiteError, UsageError
from rnn_conformance.matrix import Attempt, Power, Trial, document
from rnn_conformance.mutants import CATALOGUE, Mutant
from rnn_conformance.results import Outcome, Record
from rnn_conformance.spec import Kind
from rnn_conformance.subject import PROFILES, Profile, Subject
from rnn_conformance.suite import Check, checks, examine

QUICK = Profile("quick, without shrinking", PROFILES["quick"].cases, 0)
"""As many cases as in the quick profile; only whether a check fails, not the smallest case."""

TIMEOUT = 60.0
"""Seconds that one check of one mutant may take, its references included."""

Progress = Callable[[int, int, int], None]
"""Called with the trials done, the trials in all, and the survivors so far."""


@dataclass(frozen=True)
class Choice:
    """What to try; empty means everything.

    ``full`` asks for every check that can kill, not only for those up to the first kill.
    ``mutant`` is a part of the names, ``clauses`` are clauses or chapters: mutants that break
    them, and their checks alone. Raises ``UsageError`` for what does not exist.
    """

    full: bool = False
    kinds: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    mutant: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for each in self.kinds:
            if each not in list(Kind):
                raise UsageError(f"there is no kind {each!r}; choose {', '.join(Kind)}")
        for each in self.clauses:
            if each not in CLAUSES and each not in CHAPTERS:
                raise UsageError(
                    f"there is no clause or chapter {each!r}; chapters are "
                    f"{', '.join(CHAPTERS)}; see `rnn-conformance list --clauses`"
                )

    def selects(self, clause: str) -> bool:
        """Whether a clause is chosen."""
        return not self.clauses or bool({clause, CLAUSES[clause].chapter} & set(self.clauses))

    def trials(self) -> list[tuple[Mutant, Kind]]:
        """The mutants and kinds to try, kind by kind; raises ``UsageError`` if there are none."""
        named = [each for each in CATALOGUE if self.mutant.lower() in each.name.lower()]
        if not named:
            raise UsageError(
                f"no mutant has {self.mutant!r} in its name; names are such as "
                f"{CATALOGUE[0].name!r} and {CATALOGUE[-1].name!r}"
            )
        found = [
            (mutant, kind)
            for kind in Kind
            for mutant in named
            if kind in mutant.kinds
            and (not self.kinds or kind.value in self.kinds)
            and any(map(self.selects, mutant.clauses(kind)))
        ]
        if not found:
            chosen = " and ".join([*self.kinds, *self.clauses]) or "everything"
            raise UsageError(
                f"none of the mutants with {self.mutant!r} in their names is tried in {chosen}"
                if self.mutant
                else f"no mutant breaks {' or '.join(self.clauses)} in {' or '.join(self.kinds)}"
            )
        return found

    def due(self, mutant: Mutant, kind: Kind) -> list[Check]:
        """The checks to run, those first that are most likely to kill."""
        own = [
            check
            for check in checks()
            if kind in check.kinds
            and any(map(self.selects, check.clauses))
            # Another check's failure would be no kill.
            and mutant.clauses(kind).intersection(check.clauses)
        ]
        return sorted(own, key=functools.partial(likelihood, mutant, kind), reverse=True)


def likelihood(mutant: Mutant, kind: Kind, check: Check) -> float:
    """How likely a check is to kill a mutant, on a scale of its own; ties keep their order."""
    return len(mutant.clauses(kind).intersection(check.clauses)) / len(check.clauses)


def attempt(mutant: Mutant, kind: Kind, check: Check, seed: int = 0) -> Attempt:
    """Run one check on one mutant."""
    # What a mutant draws is drawn alike in every order of the checks and every process.
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    return judged(
        mutant, check, examine(check, Subject(mutant.implementation(kind), kind, QUICK, seed))
    )


def judged(mutant: Mutant, check: Check, record: Record) -> Attempt:
    """What a check found, and whether it counts as a kill."""
    failure = record.failure
    return Attempt(
        check=record.check,
        outcome=str(record.outcome),
        kill=kills(mutant, check, record),
        cases=record.cases,
        seconds=round(record.seconds, 4),
        message=record.reason if failure is None else failure.message,
    )


def kills(mutant: Mutant, check: Check, record: Record) -> bool:
    """Whether a check's failure is a kill."""
    if record.outcome is not Outcome.FAILED or not mutant.breaks.intersection(check.clauses):
        return False
    assert record.failure is not None
    # A fault met where a refusal is due is shown with its traceback, and is the defect.
    fault = "fault met on the way, not a refusal" in record.failure.message
    return record.failure.traceback is None or mutant.crashes or fault


def try_out(mutant: Mutant, kind: Kind, choice: Choice = Choice()) -> Trial:
    """One mutant in one kind, in this process, up to the first kill or by every check."""
    attempts: list[Attempt] = []
    for check in choice.due(mutant, kind):
        attempts.append(attempt(mutant, kind, check, choice.seed))
        if attempts[-1].kill and not choice.full:
            break
    return Trial(mutant.name, str(kind), tuple(sorted(mutant.clauses(kind))), tuple(attempts))


def measure(
    choice: Choice,
    *,
    workers: int = 0,
    progress: Progress = lambda done, total, survivors: None,
    timeout: float = TIMEOUT,
) -> dict[str, Any]:
    """The kill matrix, as a document (see ``matrix``).

    ``workers`` processes; 0 is this one, which a mutant that hangs or dies takes with it, as
    it does not elsewhere: there its check is recorded as timed out or crashed, which is no
    kill. ``timeout`` are the seconds that one check may take there. Raises ``UsageError`` if
    there is nothing to try.
    """
    begun, started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    trials, found, survivors = choice.trials(), dict[int, Trial](), 0
    with _environment():
        every = (
            _in_processes(trials, choice, min(workers, len(trials)), timeout)
            if workers
            else ((n, try_out(*each, choice)) for n, each in enumerate(trials))
        )
        for number, trial in every:
            found[number] = trial
            survivors += not trial.killed
            progress(len(found), len(trials), survivors)
    run = Power(
        seed=choice.seed,
        full=choice.full,
        cases=QUICK.cases,
        kinds=choice.kinds,
        select=choice.clauses,
        mutant=choice.mutant,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("rnn-conformance", "torch", "numpy", "hypothesis")},
        },
        started=started,
        seconds=perf_counter() - begun,
        complete=len(found) == len(trials),
    )
    ran = {each.id: each.clauses for trial in trials for each in choice.due(*trial)}
    mutants = [plain(mutant) for mutant in CATALOGUE]
    return document(run, mutants, ran, [found[number] for number in sorted(found)])


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


@contextmanager
def _environment() -> Iterator[None]:
    """What processes begun in it inherit: one thread each, and Hypothesis's notes thrown away."""
    with TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = {"OMP_NUM_THREADS": "1", "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis"}
        kept = {name: os.environ.get(name) for name in own}
        os.environ |= own
        try:
            yield
        finally:
            for name, value in kept.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


# Processes, each of which is handed one check at a time, so that it is known which it died in.

STARTING = 300.0
"""Seconds that a process may take until it has loaded everything."""


@dataclass(eq=False)
class _Task:
    """A trial that is under way: what is left to run, and what was found."""

    number: int
    mutant: Mutant
    kind: Kind
    left: list[Check]
    attempts: list[Attempt] = field(default_factory=list)

    def done(self, full: bool) -> bool:
        return not self.left or (not full and any(each.kill for each in self.attempts))

    def trial(self) -> Trial:
        clauses = tuple(sorted(self.mutant.clauses(self.kind)))
        return Trial(self.mutant.name, str(self.kind), clauses, tuple(self.attempts))


class _Worker:
    """A process and the task that it is at work on; it is ready once it has said so."""

    def __init__(self, seed: int, task: _Task | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, seed), daemon=True)
        self.process.start()
        theirs.close()
        self.task = task
        self.check: Check | None = None
        self.begun = monotonic()

    def ask(self) -> None:
        """Hand over the next check of the task."""
        assert self.task is not None
        self.check, self.begun = self.task.left.pop(0), monotonic()
        asked = (self.task.mutant.name, self.task.kind.value, self.check.id)
        # A process that has died meanwhile is met when it is waited for.
        with suppress(OSError):
            self.connection.send(asked)

    def overdue(self, timeout: float) -> bool:
        """Whether it takes longer than it may."""
        return monotonic() - self.begun > (STARTING if self.check is None else timeout)

    def end(self) -> None:
        """At once, whatever it is doing."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(connection: Connection, seed: int) -> None:
    """Say that all is loaded, and then attempt what is asked for by mutant, kind and check."""
    warnings.simplefilter("ignore")
    mutants = {mutant.name: mutant for mutant in CATALOGUE}
    by_id = {check.id: check for check in checks()}
    connection.send(None)
    with suppress(EOFError):
        while True:
            mutant, kind, check = connection.recv()
            connection.send(attempt(mutants[mutant], Kind(kind), by_id[check], seed))


def _in_processes(
    trials: Sequence[tuple[Mutant, Kind]], choice: Choice, workers: int, timeout: float
) -> Iterator[tuple[int, Trial]]:
    """Each trial's number and what was found, as they end."""
    waiting = (_Task(n, *each, choice.due(*each)) for n, each in enumerate(trials))
    pool = [_Worker(choice.seed) for _ in range(workers)]
    try:
        while pool:
            ready = wait([worker.connection for worker in pool], timeout=0.5)
            for worker in list(pool):
                if worker.connection in ready:
                    lost = _received(worker)
                elif worker.overdue(timeout):
                    lost = Outcome.TIMEOUT
                else:
                    continue
                if lost is not None:
                    if worker.check is None or worker.task is None:
                        raise SuiteError("a process ended before it had loaded the mutants")
                    worker.task.attempts.append(_lost(worker.check, lost, timeout))
                    worker.end()
                task = worker.task
                if task is not None and task.done(choice.full):
                    yield task.number, task.trial()
                    task = None
                task = next(waiting, None) if task is None else task
                if lost is not None:
                    pool.remove(worker)
                    if task is not None:
                        pool.append(_Worker(choice.seed, task))
                elif task is None:
                    worker.end()
                    pool.remove(worker)
                else:
                    worker.task = task
                    worker.ask()
    finally:
        for worker in pool:
            worker.end()


def _received(worker: _Worker) -> Outcome | None:
    """Take what a process sent; ``CRASHED`` if it is no more."""
    try:
        answer = worker.connection.recv()
    except (EOFError, OSError):
        return Outcome.CRASHED
    # The first thing that a process says is that it is ready.
    if answer is not None:
        assert worker.task is not None
        worker.task.attempts.append(answer)
    return None


def _lost(check: Check, outcome: Outcome, timeout: float) -> Attempt:
    """A check that did not end by itself."""
    died = "the process died" if outcome is Outcome.CRASHED else f"it did not end in {timeout:g} s"
    return Attempt(check.id, str(outcome), False, 0, 0.0, died)
