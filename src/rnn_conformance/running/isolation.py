"""A process that holds one implementation: started from one that has everything else loaded.

``multiprocessing``'s processes and pipes, without a pool: a process here holds one
implementation, which is what a pool would share; and the pools that were tried lose what
matters here (see ARCHITECTURE.md).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from time import monotonic, sleep
from types import ModuleType
from typing import Any

import psutil

from rnn_conformance.errors import Sort
from rnn_conformance.running.jobs import Limits, Source
from rnn_conformance.running.scratch import Scratch
from rnn_conformance.running.serving import serve, step

LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer; a process that sends more has had its pipe written to by something else."""

BEAT = 0.1
"""Seconds between two looks at a process's memory and output."""

COUNTING = 1.0
"""Seconds between two looks at what it has started: all processes are gone through for it."""

GRACE = 10.0
"""Seconds that are waited for what takes no time at all where nothing is wrong."""

SETTLING = 1.0
"""Seconds in which a process has ended whose pipe has, unless it has closed it itself."""

LOST = 255
"""``multiprocessing``'s exit code of a process whose own it could not get to know."""

_STARTING = threading.Lock()


class Stopped(Exception):
    """The run is being stopped; nothing more is to be asked."""


@dataclass(frozen=True)
class Death:
    """How a process ended before it had answered.

    ``seen`` are the case and the call at which it was, as far as known, ``output`` the end of
    what it had written.
    """

    sort: Sort
    message: str
    seen: Mapping[str, Any]
    output: str


@dataclass(eq=False)
class Isolated:
    """A process, and what it holds; restarted when it is asked after it has died."""

    limits: Limits
    stop: threading.Event = field(default_factory=threading.Event)
    holding: object = None
    _counted: float = 0.0
    _others: int = 0
    _process: Any = None
    _connection: Connection | None = None
    _life: Connection | None = None
    _scratch: Scratch | None = None

    def hold(self, source: Source) -> dict[str, Any] | Death:
        """Have a process that has loaded this and nothing else; its answer, or how it died."""
        if self._process is not None and self.holding == source.holding:
            return {}
        self.end()
        answer = self.ask({"do": "hold", "source": asdict(source)}, self.limits.loading)
        if isinstance(answer, dict) and not answer:
            self.holding = source.holding
        return answer

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any] | Death:
        """The answer to a request, or how the process died of it.

        ``seconds`` are those of each case or question that it tells of, so what is slow is waited
        for while it goes on, up to the limit of all checks of an implementation.
        Raises ``Stopped`` if the run is stopped meanwhile.
        """
        if self._process is None:
            self._start()
        assert self._connection is not None and self._scratch is not None
        whole = watch = _Watch(self._process.pid)
        at = step({})
        # What else comes through the pipe is no answer, whoever wrote it there.
        token = secrets.token_hex(8)
        # A process that is dead already is met when it is waited for.
        with suppress(OSError):
            self._connection.send_bytes(json.dumps([token, seconds, request]).encode())
        signs = [self._connection, self._process.sentinel]
        while True:
            ready = wait(signs, timeout=BEAT)
            if self._connection in ready:
                answer = self._received(token)
                if answer is not None:
                    return answer
                return self._died(Sort.CRASHED, None)
            if ready:
                if not self._alive():
                    return self._died(Sort.CRASHED, None)
                # Lost with the server that it was forked from: the pipe alone tells its end.
                del signs[1:]
            if self.stop.is_set():
                self.end()
                raise Stopped
            if (now := step(self._scratch.seen())) != at:
                at, watch = now, _Watch(self._process.pid)
            if whole.seconds() > self.limits.implementation:
                return self._died(*_overdue(self.limits.implementation))
            if excess := self._excess(watch.seconds(), seconds):
                return self._died(*excess)

    def end(self) -> None:
        """At once, whatever it is doing, with all that it has started."""
        if self._process is not None:
            assert self._connection and self._life and self._scratch
            started = _started(self._process.pid)
            with suppress(OSError):
                self._process.kill()
            for process in started:
                with suppress(psutil.Error):
                    process.kill()
            self._connection.close()
            self._life.close()
            self._process.join(GRACE)
            self._scratch.remove()
        self._process = self._connection = self._life = self._scratch = self.holding = None
        self._counted, self._others = 0.0, 0

    def _start(self) -> None:
        self._scratch = Scratch()
        context = _context()
        self._connection, theirs = context.Pipe()
        life, self._life = context.Pipe(duplex=False)
        self._process = context.Process(
            target=serve, args=(theirs, life, str(self._scratch.folder)), name="rnn-conformance"
        )
        with _STARTING, _without_main():
            try:
                self._process.start()
            except OSError:
                # The server has just ended: by what an implementation did to it, as often as not.
                self._process.start()
        theirs.close()
        life.close()

    def _received(self, token: str) -> dict[str, Any] | None:
        """What a process sent, if it is the answer; one that stops half-way is ended."""
        assert self._connection is not None
        timer = threading.Timer(GRACE, self._process.kill)
        timer.start()
        try:
            match json.loads(self._connection.recv_bytes(LARGEST_ANSWER)):
                case [str(echo), dict(answer)] if echo == token:
                    return answer
        except (EOFError, OSError, ValueError):
            pass
        finally:
            timer.cancel()
        return None

    def _alive(self) -> bool:
        """Whether it runs: a sentinel is also lost with the server from which it was forked."""
        try:
            return bool(psutil.Process(self._process.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def _excess(self, elapsed: float, seconds: float) -> tuple[Sort, str] | None:
        """What a process takes too much of."""
        assert self._scratch is not None
        if elapsed > seconds:
            return _overdue(seconds)
        with suppress(psutil.Error):
            if self._memory() > self.limits.memory:
                return (
                    Sort.MEMORY,
                    f"its process took more than {self.limits.memory / 2**20:,.0f} MiB of memory",
                )
        if self._scratch.written() > self.limits.output:
            return (
                Sort.OUTPUT,
                f"it wrote more than {self.limits.output / 2**20:,.0f} MiB of output",
            )
        return None

    def _memory(self) -> int:
        """Bytes that it takes, with what it has started, such as a program that it asks."""
        process = psutil.Process(self._process.pid)
        if monotonic() - self._counted > COUNTING:
            self._counted = monotonic()
            children = process.children(recursive=True)
            self._others = sum(child.memory_info().rss for child in children)
        return int(process.memory_info().rss) + self._others

    def _died(self, sort: Sort, message: str | None) -> Death:
        assert self._scratch is not None
        if message is None:
            # What holds the pipe may be a child of its own; and its end is known a little later.
            begun = monotonic()
            while self._alive() and monotonic() - begun < SETTLING:
                sleep(BEAT)
            if not self._alive():
                self._process.join(GRACE)
            message = _ending(self._process.exitcode)
        death = Death(sort, message, self._scratch.seen(), self._scratch.tail())
        self.end()
        return death


def _overdue(seconds: float) -> tuple[Sort, str]:
    return Sort.TIMEOUT, f"it did not end in {seconds:g} s"


class _Watch:
    """The seconds that a process has taken, which do not grow because others keep it waiting.

    While it sleeps they are the clock's, while it could run those of the processor.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._taken = 0.0
        self._clock, self._processor = monotonic(), self._used()

    def seconds(self) -> float:
        """Up to now; to be asked often."""
        clock, processor = monotonic(), self._used()
        running = False
        with suppress(psutil.Error):
            running = psutil.Process(self._pid).status() == psutil.STATUS_RUNNING
        # One that has run meanwhile and sleeps now has taken at least what it ran.
        self._taken += processor - self._processor if running else clock - self._clock
        self._clock, self._processor = clock, processor
        return self._taken

    def _used(self) -> float:
        try:
            times = psutil.Process(self._pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def _ending(code: int | None) -> str:
    """How a process ended, from its exit code."""
    if code is None:
        return "its process no longer answers"
    if code == LOST:
        return "its process ended, and how is not known"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"its process died of {name}"
    return f"its process exited with code {code}"


def _started(pid: int) -> list[psutil.Process]:
    """What a process has started, and what that has: its descendants, and its session."""
    started = set()
    with suppress(psutil.Error):
        started.update(psutil.Process(pid).children(recursive=True))
    if hasattr(os, "getsid"):
        for other in psutil.pids():
            with suppress(OSError, psutil.Error):
                # The one that leads it has an end of its own.
                if other != pid and os.getsid(other) == pid:
                    started.add(psutil.Process(other))
    return list(started)


@contextmanager
def _without_main() -> Any:
    """Start a process that does not import the caller's script, which may have no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _context() -> Any:
    """From a server that has torch and the suite loaded, where the platform has such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rnn_conformance.running.preload"])
    return context


def warm() -> None:
    """Start the server now, so that it loads while something else is done."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        _context()
        # What is computed is small: threads would only wait for one another.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with _STARTING:
            forkserver.ensure_running()
