"""The suite's power, measured: every mutant against the checks of the clauses that it breaks."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rnn_conformance import mutants
from rnn_conformance.mutants import Mutant
from rnn_conformance.results.kill_matrix import Power, Trial, document
from rnn_conformance.running.pool import in_processes
from rnn_conformance.running.trials import QUICK, Choice, try_out
from rnn_conformance.spec.config import Kind

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
) -> dict[str, Any]:
    """The kill matrix, as a document (see ``results.kill_matrix``).

    ``workers`` processes; 0 is this one, which a mutant that hangs or dies takes with it, as
    it does not elsewhere: there its check is recorded as timed out or crashed, which is no
    kill. ``timeout`` are the seconds that one check may take there. Raises ``UsageError`` if
    there is nothing to try.
    """
    begun, started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    asked, ended, survivors = choice.trials(), dict[int, Trial](), 0
    with _environment():
        ending = (
            in_processes(asked, choice, min(workers, len(asked)), timeout)
            if workers
            else (
                (number, try_out(mutant, kind, choice))
                for number, (mutant, kind) in enumerate(asked)
            )
        )
        for number, trial in ending:
            ended[number] = trial
            survivors += not trial.killed
            progress(len(ended), len(asked), survivors)
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
        complete=len(ended) == len(asked),
    )
    due = {check.id: check.clauses for trial in asked for check in choice.due(*trial)}
    known = [plain(mutant) for mutant in mutants.CATALOGUE]
    return document(run, known, due, [ended[number] for number in sorted(ended)])


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
        settings = {"OMP_NUM_THREADS": "1", "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis"}
        kept = {name: os.environ.get(name) for name in settings}
        os.environ |= settings
        try:
            yield
        finally:
            for name, value in kept.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value
