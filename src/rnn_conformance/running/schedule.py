"""Who does what next: jobs are handed out, and what came of them is taken back.

For each candidate in turn: what can be asked of it at all; then its checks, in order, by as many
processes as are free; then what explains its failures, in one process and in the order of the
checks, so that it is the same whoever ran which check, and when.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rnn_conformance.checking.probing import ANSWERS
from rnn_conformance.results.records import Outcome, Record
from rnn_conformance.running.jobs import (
    Begun,
    Candidate,
    Due,
    Errand,
    Failing,
    Found,
    Job,
    Key,
    Limits,
    Trying,
    cost,
)

JOINED = 8
"""Checks left from which on it pays that another process loads the implementation as well."""


@dataclass(eq=False)
class _Progress:
    """How far a candidate is. ``errand`` is what is to be done next, ``None`` when all is."""

    candidate: Candidate
    trying: Trying
    errand: Errand | None
    waiting: list[Due]
    records: dict[str, Mapping[str, Any]]
    deaths: set[str]
    seconds: float
    underway: int = 0
    evidence: dict[str, str] = field(default_factory=dict)
    abandoned: str = ""

    @property
    def free(self) -> bool:
        """Whether a job could be handed out now."""
        if self.errand is Errand.EXAMINE:
            # A family's members take turns: one of them may be over after any check.
            return bool(self.waiting) and not (self.candidate.source.family and self.underway)
        return self.errand is not None and not self.underway

    def last(self, deaths: int) -> int | None:
        """The number of checks up to that death after which the rest is not run.

        Counted in the order of the checks, and only as far as all have ended, so that it is
        the same in whatever order they end.
        """
        count = 0
        for number, due in enumerate(self.candidate.due, 1):
            if due.check not in self.records:
                break
            count += due.check in self.deaths
            if count == deaths:
                return number
        return None


class Schedule:
    """The jobs of a run; for several threads.

    A job has ``per_job`` checks at most. ``known`` are records that there are already, by
    candidate and check, explained where they failed. ``probe`` asks what can be asked at all,
    and ``explain`` for diagnoses. ``enough`` says of a record whether its candidate's other
    checks are not needed any more.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        trying: Trying,
        limits: Limits,
        *,
        per_job: int = 1,
        probe: bool = True,
        explain: bool = True,
        known: Mapping[Key, Mapping[str, Mapping[str, Any]]] | None = None,
        enough: Callable[[Candidate, Mapping[str, Any]], bool] | None = None,
    ) -> None:
        self._enough = enough or (lambda candidate, record: False)
        self.limits, self.per_job, self.explain = limits, per_job, explain
        self._order = sorted(candidates, key=lambda candidate: (-cost(candidate), candidate.key))
        first = Errand.PROBE if probe else Errand.EXAMINE
        self._progress = {
            candidate.key: self._begun(candidate, trying, first, (known or {}).get(candidate.key))
            for candidate in self._order
        }
        # In this order; those that are over are taken out.
        self._live = [one for one in self._progress.values() if one.errand is not None]
        self._hands = Counter[object]()
        self._changed = threading.Condition()
        self._stopped = False

    def _begun(
        self,
        candidate: Candidate,
        trying: Trying,
        first: Errand,
        known: Mapping[str, Mapping[str, Any]] | None,
    ) -> _Progress:
        records = dict(known or {})
        waiting = [due for due in candidate.due if due.check not in records]
        deaths = {
            check
            for check, record in records.items()
            if record["outcome"] in (Outcome.CRASHED, Outcome.TIMEOUT)
        }
        seconds = sum(record["seconds"] for record in records.values())
        return _Progress(
            candidate, trying, first if waiting else None, waiting, records, deaths, seconds
        )

    def take(self, holding: object = None, *, wait: bool = True) -> Job | None:
        """The next job, if possible for what a process holds already.

        Waits while there is none but may yet be; ``None`` if there is, or will be, none.
        """
        with self._changed:
            while not self._stopped:
                if progress := self._next(holding):
                    progress.underway += 1
                    self._hands[progress.candidate.source.holding] += 1
                    return self._job(progress)
                if not wait or not self._live:
                    return None
                self._changed.wait()
        return None

    def give(self, found: Found) -> None:
        """Take what came of an item of a job."""
        with self._changed:
            progress = self._progress[found.job.candidate.key]
            if found.job.errand is Errand.PROBE:
                without = (*progress.trying.without, *found.answer["without"])
                fatal = tuple(map(tuple, found.answer["fatal"]))
                progress.trying = replace(progress.trying, without=without, fatal=fatal)
                progress.abandoned = found.answer["unusable"]
                if progress.abandoned:
                    # One check says so; the others would say the same, once each.
                    answering = [due for due in progress.waiting if ANSWERS in due.clauses]
                    progress.waiting = answering[:1]
            elif found.job.errand is Errand.EXAMINE and found.record is not None:
                progress.records[found.check] = found.record
                progress.seconds += found.record["seconds"]
                if found.record["outcome"] == Outcome.FAILED:
                    progress.evidence[found.check] = found.evidence
                if found.died:
                    progress.deaths.add(found.check)
                if self._enough(progress.candidate, found.record):
                    progress.waiting.clear()

    def end(self, job: Job) -> list[dict[str, Any]]:
        """All that comes of a job has been given; the records of what is not run after it."""
        with self._changed:
            progress = self._progress[job.candidate.key]
            progress.underway -= 1
            self._hands[progress.candidate.source.holding] -= 1
            given_up = self._proceed(progress)
            self._changed.notify_all()
            return given_up

    def follow(self, job: Job, events: Iterable[Begun | Found]) -> Iterator[Begun | Found]:
        """What comes of a job that was taken, each given back as it comes, up to its end."""
        for event in events:
            if isinstance(event, Found):
                self.give(event)
            yield event
        for record in self.end(job):
            yield Found(job, record["check"], record)

    def curtail(self, key: Key | None = None) -> None:
        """Run no more checks, of a candidate or of all; what has failed is still explained."""
        with self._changed:
            for progress in self._progress.values():
                if key is None or progress.candidate.key == key:
                    progress.waiting.clear()
                    if not progress.underway:
                        self._proceed(progress)
            self._changed.notify_all()

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next(self, holding: object) -> _Progress | None:
        free = [progress for progress in self._live if progress.free]
        for progress in free:
            if progress.candidate.source.holding == holding:
                return progress
        for progress in free:
            if not self._hands[progress.candidate.source.holding]:
                return progress
        # Another process for something that one has loaded already, where enough is left.
        joined = max(free, key=lambda progress: len(progress.waiting), default=None)
        if joined and (joined.candidate.source.family or len(joined.waiting) >= JOINED):
            return joined
        return None

    def _job(self, progress: _Progress) -> Job:
        assert progress.errand is not None
        job = Job(progress.candidate, progress.errand, progress.trying, self.limits)
        if progress.errand is Errand.EXAMINE:
            due = tuple(progress.waiting[: self.per_job])
            del progress.waiting[: self.per_job]
            return replace(job, due=due)
        if progress.errand is Errand.DIAGNOSE:
            failing = tuple(
                Failing(due, progress.evidence[due.check])
                for due in progress.candidate.due
                if due.check in progress.evidence
            )
            return replace(job, failing=failing)
        return job

    def _proceed(self, progress: _Progress) -> list[dict[str, Any]]:
        """Go on to the next errand, if this one is done; the records of what is given up."""
        if progress.errand is Errand.PROBE:
            progress.errand = Errand.EXAMINE
        elif progress.errand is Errand.DIAGNOSE:
            progress.errand = None
        if progress.errand is not Errand.EXAMINE:
            self._close(progress)
            return []
        count = progress.last(self.limits.deaths)
        if count is not None:
            progress.abandoned = f"its process has died in {self.limits.deaths} checks before"
            progress.waiting.clear()
        elif progress.waiting and progress.seconds > self.limits.implementation:
            progress.abandoned = (
                f"the checks before took more than {self.limits.implementation:g} s"
            )
            progress.waiting.clear()
        if progress.waiting or progress.underway:
            return []
        given_up = self._given_up(progress, count) if progress.abandoned else []
        explained = self.explain and progress.evidence
        progress.errand = Errand.DIAGNOSE if explained else None
        self._close(progress)
        return given_up

    def _close(self, progress: _Progress) -> None:
        if progress.errand is None and progress in self._live:
            self._live.remove(progress)

    def _given_up(self, progress: _Progress, count: int | None) -> list[dict[str, Any]]:
        """Records of the checks beyond ``count``, or of those that have none."""
        records = []
        for number, due in enumerate(progress.candidate.due):
            if number >= count if count is not None else due.check not in progress.records:
                progress.evidence.pop(due.check, None)
                records.append(
                    Record(
                        *progress.candidate.key,
                        due.check,
                        due.clauses,
                        Outcome.NOT_RUN,
                        reason=progress.abandoned,
                    ).to_record()
                )
        return records
