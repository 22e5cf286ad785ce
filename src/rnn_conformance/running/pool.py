"""Trials in several processes, so that a mutant that hangs or dies ends none but its check.

Each process is handed one check at a time, so that it is known which it died in.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from time import monotonic

from rnn_conformance import mutants
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.errors import Sort, SuiteError
from rnn_conformance.mutants import Mutant
from rnn_conformance.results.kill_matrix import Attempt, Trial
from rnn_conformance.results.records import Outcome
from rnn_conformance.running import trials
from rnn_conformance.running.trials import Choice
from rnn_conformance.spec.config import Kind

STARTING = 300.0
"""Seconds that a process may take until it has loaded everything."""


@dataclass(eq=False)
class _Task:
    """A trial that is under way: what is left to run, and what came of it so far."""

    number: int
    mutant: Mutant
    kind: Kind
    left: list[Check]
    attempts: list[Attempt] = field(default_factory=list)

    def done(self, full: bool) -> bool:
        return not self.left or (not full and any(attempt.kill for attempt in self.attempts))

    def trial(self) -> Trial:
        return trials.trial(self.mutant, self.kind, self.attempts)


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
        # A process that has died meanwhile is met when it is waited for.
        with suppress(OSError):
            self.connection.send((self.task.mutant.name, self.task.kind.value, self.check.id))

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
    by_name = {mutant.name: mutant for mutant in mutants.CATALOGUE}
    by_id = {check.id: check for check in checks()}
    connection.send(None)
    with suppress(EOFError):
        while True:
            mutant, kind, check = connection.recv()
            connection.send(trials.attempt(by_name[mutant], Kind(kind), by_id[check], seed))


def in_processes(
    asked: Sequence[tuple[Mutant, Kind]], choice: Choice, workers: int, timeout: float
) -> Iterator[tuple[int, Trial]]:
    """Each trial's number and the trial, as they end.

    ``timeout`` are the seconds that one check may take. Raises ``SuiteError`` if a process
    cannot even begin.
    """
    waiting = (
        _Task(number, mutant, kind, choice.due(mutant, kind))
        for number, (mutant, kind) in enumerate(asked)
    )
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
    if outcome is Outcome.CRASHED:
        return Attempt(check.id, outcome, False, 0, 0.0, "the process died", Sort.CRASHED)
    message = f"it did not end in {timeout:g} s"
    return Attempt(check.id, outcome, False, 0, 0.0, message, Sort.TIMEOUT)
