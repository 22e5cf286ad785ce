"""What the engine costs, and where it stops scaling; ``python -m benchmarks.engine``.

``measured`` runs the command in pairs, on this machine: what isolation costs (one process beside
none), what a second process brings, and how long it takes until the first record is written.
``simulated`` performs the schedule of 1,000 implementations on up to 400 workers by a clock of its
own, with jobs of the lengths that a results file tells. Times are ratios within one call.
"""

from __future__ import annotations

import heapq
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import click

from rnn_conformance.checking.subject import PROFILES
from rnn_conformance.results.records import Entry, Outcome
from rnn_conformance.running.cluster import PER_JOB, share
from rnn_conformance.running.jobs import Candidate, Due, Errand, Found, Job, Limits, Source, Trying
from rnn_conformance.running.schedule import Schedule

HANDING = 0.005
"""Seconds in which one job is handed to a cluster's worker and taken back: one at a time, by the
one who decides. Dask tells of 200 µs to 1 ms for its scheduler; the rest is ours, for a job's 25
records."""

PASSED = {"outcome": Outcome.PASSED, "seconds": 0.0}
"""What the schedule reads of a record."""

LOADING = 1.0
"""Seconds that a worker takes to have an implementation in a process."""


@click.group()
def main() -> None:
    """What the engine costs, and where it stops scaling."""


def timed(targets: Sequence[str], workers: int, select: Sequence[str]) -> tuple[float, float]:
    """Seconds of a run, and those up to its first record."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = [f"--select={clause}" for clause in select]
        chosen += ["--store", "none"]
        command = [sys.executable, "-m", "rnn_conformance", "run", *targets, *chosen]
        begun, first = perf_counter(), 0.0
        process = subprocess.Popen([*command, "-n", str(workers), "--quiet", "--output", folder])
        journal = Path(folder) / "records.jsonl"
        while process.poll() is None:
            # The header is the first line.
            if not first and journal.exists() and journal.read_bytes().count(b"\n") > 1:
                first = perf_counter() - begun
            sleep(0.01)
        return perf_counter() - begun, first


@main.command()
@click.argument("targets", nargs=-1)
@click.option("--select", multiple=True)
@click.option("--pairs", default=3, show_default=True)
def measured(targets: tuple[str, ...], select: tuple[str, ...], pairs: int) -> None:
    """Run TARGETS (everything bundled, without any) in no, one and two processes, in turn."""
    runs: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: []}
    for _ in range(pairs):
        for workers, times in runs.items():
            times.append(timed(targets, workers, select))
            click.echo(
                f"-n {workers}: {times[-1][0]:.1f} s, the first record after {times[-1][1]:.2f}"
            )
    for one, other in ((1, 0), (1, 2)):
        ratios = [a[0] / b[0] for a, b in zip(runs[one], runs[other], strict=True)]
        click.echo(
            f"-n {one} to -n {other}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


@main.command()
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--implementations", default=1000, show_default=True)
def simulated(results: Path, implementations: int) -> None:
    """Perform the schedule of many implementations, with the lengths that RESULTS tell."""
    document = json.loads(results.read_text(encoding="utf-8"))
    known = [one for one in document["implementations"] if len(one["checks"]) > PER_JOB]
    alone = 0.0
    for workers in (1, 10, 50, 100, 200, 400):
        seconds, work = simulate(known, implementations, workers)
        alone = alone or seconds
        click.echo(
            f"{workers:4} workers: {seconds / 3600:6.2f} h, {alone / seconds:6.1f} times as fast "
            f"as one, {work / seconds / workers:.0%} of their time at work"
        )


def simulate(known: list[dict[str, Any]], count: int, workers: int) -> tuple[float, float]:
    """Seconds until all is done, and the seconds of work in it."""
    lengths: dict[tuple[str, str], dict[str, float]] = {}
    candidates = []
    for number in range(count):
        like = known[number % len(known)]
        entry = Entry(f"{like['name']} {number}", like["kind"], "", "inference", (), ())
        due = tuple(Due(check["check"], tuple(check["clauses"])) for check in like["checks"])
        candidates.append(Candidate(entry, Source(entry.name), due))
        lengths[candidates[-1].key] = {check["check"]: check["seconds"] for check in like["checks"]}
    checks = sum(len(candidate.due) for candidate in candidates)
    schedule = Schedule(
        candidates,
        Trying(PROFILES["quick"], 0),
        Limits(),
        per_job=share(checks, workers),
        explain=False,
    )
    held: list[object] = [None] * workers
    free, ending = list(range(workers)), list[tuple[float, int, Job]]()
    clock = decided = work = 0.0
    while True:
        while free and (job := schedule.take(wait=False)) is not None:
            worker = free.pop()
            decided = max(decided, clock) + HANDING
            length = sum(lengths[job.candidate.key][due.check] for due in job.due)
            if held[worker] != job.candidate.source.holding:
                length += LOADING
                held[worker] = job.candidate.source.holding
            work += length
            heapq.heappush(ending, (decided + length, worker, job))
        if not ending:
            return clock, work
        clock, worker, job = heapq.heappop(ending)
        free.append(worker)
        if job.errand is Errand.PROBE:
            schedule.give(Found(job, answer={"unusable": "", "without": []}))
        for one in job.due:
            schedule.give(Found(job, one.check, PASSED))
        schedule.end(job)


if __name__ == "__main__":
    main()
