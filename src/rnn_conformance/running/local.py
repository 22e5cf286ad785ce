"""The executors of this machine: several processes, each with one implementation, or this one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from rnn_conformance.running.isolation import Death, Isolated, Stopped
from rnn_conformance.running.jobs import Begun, Found, Limits, Source
from rnn_conformance.running.performing import perform
from rnn_conformance.running.schedule import Schedule


class Executor(Protocol):
    """Performs jobs, and answers questions about targets before there are any."""

    def share(self, checks: int) -> int:
        """The checks of a job, of so many in all: more where handing one out takes long."""

    def describe(self, requests: Sequence[Mapping[str, Any]], limits: Limits) -> list[Any]:
        """The answers to requests of no implementation in particular, in their order."""

    def perform(self, schedule: Schedule) -> Iterator[Begun | Found]:
        """What comes of the jobs of a schedule, as it comes, each given back to it before."""

    def stop(self) -> None:
        """End what is being done, at once."""


@dataclass(eq=False)
class Processes:
    """Several processes on this machine."""

    workers: int
    _stop: threading.Event = field(default_factory=threading.Event)

    def share(self, checks: int) -> int:
        """One at a time: a process is at hand, and knows what it holds."""
        return 1

    def describe(self, requests: Sequence[Mapping[str, Any]], limits: Limits) -> list[Any]:
        """Each by a process of its own."""
        answers: list[Any] = [None] * len(requests)
        waiting = iter(enumerate(requests))
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    number, request = next(waiting, (None, None))
                if number is None or request is None:
                    return
                process = Isolated(limits, self._stop)
                try:
                    answers[number] = process.ask(request, limits.loading)
                except Stopped:
                    return
                finally:
                    process.end()

        self._join([threading.Thread(target=work, daemon=True) for _ in range(self.workers)])
        return answers

    def perform(self, schedule: Schedule) -> Iterator[Begun | Found]:
        """Each thread keeps one process and takes what suits it."""
        events: queue.SimpleQueue[Begun | Found | BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            process = Isolated(schedule.limits, self._stop)
            try:
                while (job := schedule.take(process.holding)) is not None:
                    for event in schedule.follow(job, perform(process, job)):
                        events.put(event)
            except Stopped:
                pass
            except BaseException as error:
                # A fault of the suite's own is raised where the run is.
                events.put(error)
                schedule.stop()
            finally:
                process.end()
                events.put(None)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        left = len(threads)
        while left:
            event = events.get()
            if event is None:
                left -= 1
            elif isinstance(event, BaseException):
                raise event
            else:
                yield event

    def stop(self) -> None:
        """End the processes."""
        self._stop.set()

    @staticmethod
    def _join(threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@dataclass(eq=False)
class Here:
    """This process, for a debugger: nothing is isolated, and nothing has a limit."""

    def share(self, checks: int) -> int:
        """One at a time."""
        return 1

    def describe(self, requests: Sequence[Mapping[str, Any]], limits: Limits) -> list[Any]:
        """One after the other."""
        from rnn_conformance.running.session import Session

        return [Session().answer(request) for request in requests]

    def perform(self, schedule: Schedule) -> Iterator[Begun | Found]:
        """One after the other."""
        holder = _Session()
        while (job := schedule.take(holder.holding, wait=False)) is not None:
            yield from schedule.follow(job, perform(holder, job))

    def stop(self) -> None:
        """Nothing else is being done."""


class _Session:
    """What holds one implementation after the other in this process."""

    def __init__(self) -> None:
        from rnn_conformance.running.session import Session

        self.holding: object = None
        self._make = Session
        self._session = Session()

    def hold(self, source: Source) -> Mapping[str, Any] | Death:
        """Load it, if it is not held already."""
        if self.holding == source.holding:
            return {}
        self._session = self._make()
        answer = self._session.answer({"do": "hold", "source": asdict(source)})
        self.holding = None if answer else source.holding
        return answer

    def ask(self, request: Mapping[str, Any], seconds: float) -> Mapping[str, Any] | Death:
        """The answer, however long it takes."""
        return self._session.answer(request)
