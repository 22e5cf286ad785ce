"""Jobs on the workers of a Dask cluster, each in a process of its own beside the worker.

No implementation is loaded in a worker: what it kills is its own process, which costs a check.
A worker that is lost costs nothing: Dask has its jobs done elsewhere. What loses several workers
is no longer tried (``distributed.scheduler.allowed-failures``).
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rnn_conformance.errors import Fault, Refusal, Sort, UsageError
from rnn_conformance.results.records import Failure, Outcome, Record
from rnn_conformance.running.isolation import Death, Isolated
from rnn_conformance.running.jobs import Begun, Errand, Found, Job, Limits
from rnn_conformance.running.performing import perform
from rnn_conformance.running.schedule import Schedule

PER_JOB = 25
"""Checks of a job at least: some seconds, beside which handing it out and loading it is little."""

ROUNDS = 4
"""Jobs for each worker at least, so that none waits long for the last of the others."""


def share(checks: int, workers: int) -> int:
    """The checks of a job, of so many in all: as many as leave enough jobs for all workers.

    Each job may meet a worker that holds another implementation, and has to load its own.
    """
    return max(PER_JOB, checks // (ROUNDS * max(1, workers)))


CONNECTING = 30.0
"""Seconds until a scheduler must have answered."""


@dataclass(eq=False)
class Cluster:
    """The workers that a Dask client has."""

    client: Any
    _stop: threading.Event = field(default_factory=threading.Event)

    def share(self, checks: int) -> int:
        """See :func:`share`; a worker counts as often as it has threads."""
        return share(checks, sum(self.client.nthreads().values()))

    def describe(self, requests: Sequence[Mapping[str, Any]], limits: Limits) -> list[Any]:
        """Each by a process of its own, beside a worker."""
        futures = [
            self.client.submit(_described, request, limits, pure=False) for request in requests
        ]
        return [
            Death(Sort.CRASHED, "it takes workers with it", {}, "")
            if isinstance(answer, BaseException)
            else answer
            for answer in (_outcome(future) for future in futures)
        ]

    def perform(self, schedule: Schedule) -> Iterator[Begun | Found]:
        """Jobs are handed over as soon as there are some, and taken back as they end."""
        from distributed import as_completed

        jobs: dict[Any, Job] = {}
        ending = as_completed([])
        while not self._stop.is_set():
            while (job := schedule.take(wait=False)) is not None:
                future = self.client.submit(_performed, job, pure=False)
                jobs[future.key] = job
                ending.add(future)
            if not jobs:
                return
            future = next(ending)
            job = jobs.pop(future.key)
            outcome = _outcome(future)
            came = _lost(job, outcome) if isinstance(outcome, BaseException) else outcome
            yield from schedule.follow(
                job, (event for found in came for event in (Begun(job, found.check), found))
            )

    def stop(self) -> None:
        """Ask for nothing more; what is underway on workers ends by itself, or by its limit."""
        self._stop.set()


def _outcome(future: Any) -> Any:
    """What a future gives, or the exception with which Dask gave it up."""
    error = future.exception()
    return future.result() if error is None else error


def _lost(job: Job, error: BaseException) -> list[Found]:
    """What comes of a job that no worker survived."""
    message = f"no worker survived it: {type(error).__name__}"
    if job.errand is Errand.PROBE:
        return [Found(job, answer={"unusable": message, "without": [], "fatal": []})]
    if job.errand is Errand.DIAGNOSE:
        reason = {"diagnosis": None, "reason": f"it could not be diagnosed: {message}"}
        return [Found(job, failing.due.check, answer=reason) for failing in job.failing]
    failure = Failure(Fault.IMPLEMENTATION, Sort.CRASHED, message)
    return [
        Found(
            job,
            due.check,
            Record(
                *job.candidate.key, due.check, due.clauses, Outcome.CRASHED, failure=failure
            ).to_record(),
            died=True,
        )
        for due in job.due
    ]


_held = threading.local()
"""What each thread of a worker keeps between two jobs: a process that holds an implementation."""


def _described(request: Mapping[str, Any], limits: Limits) -> Any:
    """The answer to a request, by a process beside this worker."""
    process = _process(limits)
    try:
        return process.ask(request, limits.loading)
    finally:
        process.end()


def _performed(job: Job) -> list[Found]:
    """What comes of a job, by a process beside this worker."""
    return [found for found in perform(_process(job.limits), job) if isinstance(found, Found)]


def _process(limits: Limits) -> Isolated:
    # A worker that a nanny started is daemonic, which multiprocessing forbids to have children:
    # lest they be left behind. Ours end with the pipe to this worker.
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    process: Isolated | None = getattr(_held, "process", None)
    if process is None or process.limits != limits:
        if process is not None:
            process.end()
        process = _held.process = Isolated(limits)
    return process


@contextmanager
def connected(address: str, workers: int) -> Iterator[Cluster]:
    """The cluster at an address; ``local`` is one of ``workers`` workers on this machine.

    Raises ``UsageError`` if there is none, or Dask is not installed.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError(
            "--cluster needs Dask: install rnn-conformance[cluster]", Refusal.PACKAGE, str(error)
        ) from error
    if address == "local":
        with (
            LocalCluster(
                n_workers=max(1, workers),
                threads_per_worker=1,
                dashboard_address=None,
                host="127.0.0.1",
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield Cluster(client)
        return
    try:
        client = Client(address, timeout=CONNECTING)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"there is no Dask scheduler at {address}: {error}", Refusal.DEVICE
        ) from error
    with client:
        yield Cluster(client)
