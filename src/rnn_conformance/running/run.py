"""A run: what is tested is found out, jobs are handed out, and what comes is kept as it comes."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from rnn_conformance.checking.subject import PROFILES
from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.report import render
from rnn_conformance.results.journal import Header, Journal, Recorded, document_of, read_journal
from rnn_conformance.results.records import Outcome, Run, Shard
from rnn_conformance.results.store import Store
from rnn_conformance.results.verdict import FAILING, required
from rnn_conformance.results.writing import probe, write
from rnn_conformance.running.gate import UNGATED, Gate
from rnn_conformance.running.isolation import warm
from rnn_conformance.running.jobs import (
    Begun,
    Candidate,
    Errand,
    Key,
    Limits,
    Trying,
    limited,
    shard,
)
from rnn_conformance.running.local import Executor, Here, Processes
from rnn_conformance.running.planning import plan
from rnn_conformance.running.schedule import Schedule
from rnn_conformance.running.selection import Selection
from rnn_conformance.running.versions import versions


class Watcher(Protocol):
    """Is told how a run goes."""

    def planned(self, checks: int) -> None:
        """So many checks are to be run."""

    def begun(self, name: str, kind: str, check: str, errand: Errand) -> None:
        """A check, or what explains its failure, was begun."""

    def found(self, record: Mapping[str, Any]) -> None:
        """A check has ended."""


class Unwatched:
    """Tells nobody."""

    def planned(self, checks: int) -> None:
        """Nothing."""

    def begun(self, name: str, kind: str, check: str, errand: Errand) -> None:
        """Nothing."""

    def found(self, record: Mapping[str, Any]) -> None:
        """Nothing."""


UNWATCHED = Unwatched()

NOTHING = Store()
"""Nothing is remembered."""


@dataclass(frozen=True)
class Options:
    """How to run: ``workers`` processes (0: in this one), and where to write.

    ``cluster`` is the address of a Dask scheduler, or ``local``; ``shard`` is the share of the
    work that is done here; ``resume`` goes on with the run in ``output``. ``diagnosis`` asks what
    is behind the failures. The ``gate`` is what the results are held to, and what is
    ``remembered`` is tried first.
    """

    selection: Selection
    output: Path = Path("reports/latest")
    workers: int = 0
    fail_fast: bool = False
    limits: Limits | None = None
    cluster: str = ""
    shard: Shard | None = None
    resume: bool = False
    diagnosis: bool = True
    gate: Gate = UNGATED
    remembered: Store = NOTHING

    def __post_init__(self) -> None:
        if self.shard and self.gate.baseline:
            raise UsageError("one shard is compared with no baseline; run without --shard")

    def limited(self) -> Limits:
        """The limits asked for, or those of the profile."""
        return self.limits or limited(self.selection.profile, {})


def run(options: Options, watcher: Watcher = UNWATCHED) -> dict[str, Any]:
    """Test, write ``records.jsonl``, ``results.json`` and ``index.html``; the document.

    Raises ``UsageError`` if a target cannot be loaded or the folder cannot be written, and
    ``SuiteError`` if the suite itself failed.
    """
    begun, selection, output = perf_counter(), options.selection, options.output
    for name in ("records.jsonl", "results.json", "index.html"):
        probe(output / name)
    baseline = options.gate.prepared(selection)
    with _executor(options) as executor:
        candidates = plan(selection, executor, options.limited())
        if options.shard:
            candidates = shard(candidates, *options.shard)
        candidates = [remembering(one, options.remembered) for one in candidates]
        header = _header(options, candidates)
        with _journal(options, header) as journal:
            _perform(options, executor, candidates, journal, watcher)
            recorded = journal.recorded
            ran = {
                (record["implementation"], record["kind"], record["check"])
                for record in recorded.records
            }
            due = {(*one.key, due.check) for one in candidates for due in one.due}
            seconds = perf_counter() - begun
            if options.resume:
                seconds += recorded.seconds
            explained = not (options.diagnosis and recorded.undiagnosed)
            journal.end(complete=due <= ran and explained, seconds=seconds)
            document = options.gate.applied(document_of(journal.recorded), baseline)
    write(output / "results.json", json.dumps(document, indent=1))
    write(output / "index.html", render(document))
    return document


def remembering(candidate: Candidate, store: Store) -> Candidate:
    """A candidate whose checks know how they failed before."""
    due = [
        replace(one, recipe=store.recipes.get((*candidate.key, one.check))) for one in candidate.due
    ]
    return replace(candidate, due=tuple(due))


def _perform(
    options: Options,
    executor: Executor,
    candidates: list[Candidate],
    journal: Journal,
    watcher: Watcher,
) -> None:
    selection = options.selection
    schedule = Schedule(
        candidates,
        Trying(PROFILES[selection.profile], selection.seed, selection.without),
        options.limited(),
        per_job=executor.share(sum(len(candidate.due) for candidate in candidates)),
        known=known(journal.recorded, options.diagnosis),
        explain=options.diagnosis,
    )
    watcher.planned(sum(len(candidate.due) for candidate in candidates))
    for record in journal.recorded.records:
        watcher.found(record)

    def stop() -> None:
        schedule.stop()
        executor.stop()

    with _interruptible(stop):
        for event in executor.perform(schedule):
            if isinstance(event, Begun):
                watcher.begun(*event.job.candidate.key, event.check, event.job.errand)
                continue
            if event.record is not None:
                journal.record(event.record)
                watcher.found(event.record)
                failed = event.record["outcome"] in FAILING and required(event.record["clauses"])
                if options.fail_fast and failed:
                    schedule.curtail()
            elif event.job.errand is Errand.DIAGNOSE:
                key = (*event.job.candidate.key, event.check)
                journal.diagnosis(key, event.answer["diagnosis"], event.answer["reason"])


def known(recorded: Recorded, diagnosis: bool = True) -> dict[Key, dict[str, Mapping[str, Any]]]:
    """What need not be run again, by candidate and check.

    What explains the failures of a candidate needs all of its counterexamples: where that was
    not done and is to be, its failing checks find them again.
    """
    unexplained = {key[:2] for key in recorded.undiagnosed} if diagnosis else set()
    by_candidate: dict[Key, dict[str, Mapping[str, Any]]] = {}
    for record in recorded.records:
        key = record["implementation"], record["kind"]
        if not (key in unexplained and record["outcome"] == Outcome.FAILED):
            by_candidate.setdefault(key, {})[record["check"]] = record
    return by_candidate


@contextmanager
def _interruptible(stop: Any) -> Iterator[None]:
    """A first interrupt stops what is being done, and the run ends as one that was cut short."""

    def interrupted(number: int, frame: object) -> None:
        # The next one ends the command at once.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _executor(options: Options) -> Iterator[Executor]:
    if options.cluster:
        from rnn_conformance.running.cluster import connected

        with connected(options.cluster, options.workers) as executor:
            yield executor
    elif options.workers:
        warm()
        yield Processes(options.workers)
    else:
        yield Here()


def _header(options: Options, candidates: list[Candidate]) -> Header:
    selection = options.selection
    run = Run(
        seed=selection.seed,
        profile=selection.profile,
        select=selection.clauses,
        versions=versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        complete=False,
        device=selection.device,
        kinds=selection.kinds,
        level=selection.level,
        without=selection.without,
        shard=options.shard,
    )
    entries = tuple(sorted((one.entry for one in candidates), key=lambda e: (e.name, e.kind)))
    return Header(run, entries, sum(len(candidate.due) for candidate in candidates))


def _journal(options: Options, header: Header) -> Journal:
    """A new journal, or the one that there is, if it is of this run."""
    path = options.output / "records.jsonl"
    if not options.resume:
        return Journal.begin(path, header)
    with suppress(OSError):
        if not path.stat().st_size:
            return Journal.begin(path, header)
    if not path.exists():
        raise UsageError(
            f"there is no run in {options.output} to go on with; run without --resume",
            Refusal.FILE,
        )
    there, wanted = read_journal(path).header.to_record(), header.to_record()
    for line in (there, wanted):
        del line["header"]["run"]["started"]
    if there != wanted:
        different = [
            name
            for name, value in {**wanted["header"], **wanted["header"]["run"]}.items()
            if name != "run" and {**there["header"], **there["header"]["run"]}.get(name) != value
        ]
        raise UsageError(
            f"{path} is of another run, with other {', '.join(different)}; run without --resume, "
            "or choose another --output",
            Refusal.FILE,
        )
    return Journal.resume(path)
