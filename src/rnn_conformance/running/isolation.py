"""A process that holds one implementation: started from one that has everything else loaded.

``multiprocessing``'s processes and pipes, without a pool: a process here holds one
implementation, which is what a pool would share; and the pools that were tried lose what
matters here (see ARCHITECTURE.md).
"""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from types import ModuleType
from typing import Any

import psutil

from rnn_conformance.errors import Sort
from rnn_conformance.running.jobs import Limits, Source
from rnn_conformance.texts import kept

LARGEST_ANSWER = 64 * 2**20
"""Bytes of an answer; a process that sends more has had its pipe written to by something else."""

TAIL = 16 * 2**10
"""Bytes at the end of a dead process's output that are looked at: where it was stands there."""

BEAT = 0.1
"""Seconds between two looks at a process's memory and output."""

GRACE = 10.0
"""Seconds after its time at which a process ends itself, should nobody else have done so."""

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
    _process: Any = None
    _connection: Connection | None = None
    _life: Connection | None = None
    _folder: Path | None = None

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

        Raises ``Stopped`` if the run is stopped meanwhile.
        """
        if self._process is None:
            self._start()
        assert self._connection is not None
        watch = _Watch(self._process.pid)
        # A process that is dead already is met when it is waited for.
        with suppress(OSError):
            self._connection.send_bytes(json.dumps([seconds, request]).encode())
        while True:
            ready = wait([self._connection, self._process.sentinel], timeout=BEAT)
            if self._connection in ready:
                answer = self._received()
                if answer is not None:
                    return answer
                return self._died(Sort.CRASHED, None)
            if ready and not self._alive():
                return self._died(Sort.CRASHED, None)
            if self.stop.is_set():
                self.end()
                raise Stopped
            if excess := self._excess(watch.seconds(), seconds):
                return self._died(*excess)

    def end(self) -> None:
        """At once, whatever it is doing."""
        if self._process is not None:
            assert self._connection and self._life and self._folder
            with suppress(OSError):
                self._process.kill()
            self._connection.close()
            self._life.close()
            self._process.join(GRACE)
            for file in self._folder.iterdir():
                file.unlink(missing_ok=True)
            with suppress(OSError):
                self._folder.rmdir()
        self._process = self._connection = self._life = self._folder = self.holding = None

    def _start(self) -> None:
        self._folder = Path(mkdtemp(prefix="rnn_conformance_"))
        context = _context()
        self._connection, theirs = context.Pipe()
        life, self._life = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_serve, args=(theirs, life, str(self._folder)), name="rnn-conformance"
        )
        with _STARTING, _without_main():
            self._process.start()
        theirs.close()
        life.close()

    def _received(self) -> dict[str, Any] | None:
        """What a process sent, if it is an answer; one that stops half-way is ended."""
        assert self._connection is not None
        timer = threading.Timer(GRACE, self._process.kill)
        timer.start()
        try:
            answer = json.loads(self._connection.recv_bytes(LARGEST_ANSWER))
        except (EOFError, OSError, ValueError):
            return None
        finally:
            timer.cancel()
        return answer if isinstance(answer, dict) else None

    def _alive(self) -> bool:
        """Whether it runs: a sentinel is also lost with the server from which it was forked."""
        try:
            return bool(psutil.Process(self._process.pid).status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def _excess(self, elapsed: float, seconds: float) -> tuple[Sort, str] | None:
        """What a process takes too much of."""
        assert self._folder is not None
        if elapsed > seconds:
            return Sort.TIMEOUT, f"it did not end in {seconds:g} s"
        with suppress(psutil.Error):
            if psutil.Process(self._process.pid).memory_info().rss > self.limits.memory:
                return (
                    Sort.MEMORY,
                    f"its process took more than {self.limits.memory / 2**20:,.0f} MiB of memory",
                )
        with suppress(OSError):
            if (self._folder / "output").stat().st_size > self.limits.output:
                return (
                    Sort.OUTPUT,
                    f"it wrote more than {self.limits.output / 2**20:,.0f} MiB of output",
                )
        return None

    def _died(self, sort: Sort, message: str | None) -> Death:
        assert self._folder is not None
        if message is None:
            # What holds the pipe may be a child of its own; and its end is known a little later.
            self._process.join(GRACE)
            message = _ending(self._process.exitcode)
        death = Death(sort, message, _seen(self._folder / "seen"), _tail(self._folder / "output"))
        self.end()
        return death


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
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"its process died of {name}"
    return f"its process exited with code {code}"


def _tail(file: Path) -> str:
    """The end of what a process wrote."""
    try:
        with file.open("rb") as stream:
            length = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, length - TAIL))
            return kept(stream.read().decode("utf-8", "backslashreplace"))
    except OSError:
        return ""


def _seen(file: Path) -> dict[str, Any]:
    """The case and the call that a process noted last."""
    try:
        seen = json.loads(file.read_bytes().partition(b"\n")[0])
    except (OSError, ValueError):
        return {}
    return seen if isinstance(seen, dict) else {}


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


def _serve(connection: Connection, life: Connection, folder: str) -> None:
    """Answer requests until there are no more; in the child.

    Nothing ever comes through ``life``: it ends with whoever asks, and so does this.
    """
    # A process group of its own: neither a terminal's interrupt nor what an implementation
    # does to its group reaches the others.
    if hasattr(os, "setsid"):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    output = os.open(f"{folder}/output", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    seen = os.open(f"{folder}/seen", os.O_RDWR | os.O_CREAT)
    _redirect(output)
    # Kept by the interpreter: what an implementation does to the streams leaves it alone.
    faulthandler.enable(output)
    warnings.simplefilter("ignore")

    def observe(what: Mapping[str, Any]) -> None:
        # One that closes every file loses what would have been said of its death, no more.
        with suppress(OSError):
            os.pwrite(seen, json.dumps(what).encode() + b"\n", 0)

    from rnn_conformance.running.session import Session

    session = Session(observe)
    with suppress(EOFError, OSError):
        while True:
            seconds, request = json.loads(connection.recv_bytes())
            with suppress(OSError):
                os.ftruncate(output, 0)
                os.ftruncate(seen, 0)
            # Says where it was, and ends a process that nobody watches any more.
            faulthandler.dump_traceback_later(seconds, file=output)
            answer = session.answer(request)
            faulthandler.cancel_dump_traceback_later()
            _flush()
            _redirect(output)
            connection.send_bytes(json.dumps(answer).encode())


def _end_with(life: Connection) -> None:
    # Lest a process that allocates or computes without end be left to nobody.
    life.poll(None)
    os._exit(1)


def _redirect(output: int) -> None:
    """Standard input from nowhere, standard output and error to a file."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        os.dup2(output, 1)
        os.dup2(output, 2)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = open(  # noqa: SIM115 - it stands for as long as the process
            descriptor, "w", buffering=1, closefd=False, errors="backslashreplace"
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Whatever an implementation has put there.
        with suppress(Exception):
            stream.flush()
