"""A program that runs beside this process and answers requests, one at a time.

What it sends, how much and how late is its own affair: it costs one :class:`EngineFault`, with
which the program is ended. The next request starts it again.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import IO, Any

from numpy.typing import NDArray

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.implementations.wire import Malformed, Message, Reader, Violation, encode
from rnn_conformance.texts import LINE, kept, said, shown

LIMIT = 50.0
"""Seconds for an answer: fewer than a check has for a case, so that it is said what happened."""

PIECE = 2**16
"""Bytes read or written at once: what a pipe holds."""

LAST_WORDS = 2048
"""Bytes of its standard error that are kept."""

SETTLING = 1.0
"""Seconds in which a program that has closed its output is expected to end."""


class EngineFault(SystemError):
    """The program died, fell silent, sent what is no answer, or met an error of its own.

    A ``SystemError``, and so never taken for a refusal.
    """

    def __init__(self, violation: Violation, text: str) -> None:
        super().__init__(text)
        self.violation = violation


class Engine:
    """A program with what leads to it; ``life`` counts how often it was started."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, limit: float = LIMIT) -> None:
        self.arguments, self.folder, self.limit = arguments, folder, limit
        self.life = 0
        self._requests = 0
        self._running: _Running | None = None
        self._forgotten: list[tuple[int, int]] = []
        self._lock = threading.RLock()

    def __str__(self) -> str:
        return shlex.join(self.arguments)

    def ask(
        self,
        fields: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        limit: float | None = None,
    ) -> Message:
        """The answer to a request, which may be a refusal.

        Raises ``EngineFault`` if there is none, ``UsageError`` if the program cannot be started.
        """
        with self._lock:
            running = self._started()
            while self._forgotten:
                number, life = self._forgotten.pop()
                if life == self.life:
                    self._exchange(running, {"do": "free", "layer": number}, {}, None)
            return self._exchange(running, fields, arrays, limit)

    def forget(self, number: int, life: int) -> None:
        """Have a layer freed, with the next request: this may be called at any time."""
        self._forgotten.append((number, life))

    def end(self) -> None:
        """End the program, whatever it is doing."""
        with self._lock:
            if self._running is not None:
                self._running.end()
                self._running = None

    def _started(self) -> _Running:
        # One that was started before this process was forked answers another.
        if self._running is not None and self._running.owner != os.getpid():
            self._running = None
        if self._running is None:
            self._running = _Running(self.arguments, self.folder)
            self.life += 1
        return self._running

    def _exchange(
        self,
        running: _Running,
        fields: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        limit: float | None,
    ) -> Message:
        self._requests += 1
        request = encode({"id": self._requests, **fields}, arrays)
        try:
            answer = running.exchange(request, limit or self.limit)
            self._answers(answer)
        except (Malformed, EngineFault) as error:
            last = running.last_words()
            self.end()
            heard = f"; its standard error ends with {last}" if last else ""
            raise EngineFault(error.violation, f"{error}{heard}") from None
        except BaseException:
            # Stopped half-way, by a limit or the user: what comes next would answer this.
            self.end()
            raise
        if "error" in answer.fields:
            raise EngineFault(Violation.FAILED, _text(answer.fields["error"]))
        return answer

    def _answers(self, answer: Message) -> None:
        number = answer.fields.get("id")
        if type(number) is not int or number != self._requests:
            raise EngineFault(
                Violation.ANSWER,
                f'the answer must have "id":{self._requests}, as its request has; it has '
                f"{shown(number, LINE)}",
            )


class _Running:
    """A process, its pipes, and the thread that keeps its standard error from filling one."""

    def __init__(self, arguments: tuple[str, ...], folder: Path) -> None:
        self.owner = os.getpid()
        if not hasattr(select, "poll"):
            reason = "a program is asked through pipes that can be polled, which this system lacks"
            raise UsageError(reason, Refusal.PACKAGE, missing=reason)
        try:
            self.process = subprocess.Popen(
                arguments,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            absent = isinstance(error, FileNotFoundError)
            raise UsageError(
                f"{arguments[0]!r} cannot be started: {said(error, LINE)}; check the command, "
                "and that it may be executed",
                Refusal.PACKAGE if absent else Refusal.TARGET,
                missing=f"{arguments[0]} is not installed" if absent else "",
            ) from error
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.input, False)
        os.set_blocking(self.output, False)
        self._heard = bytearray()
        self._listener = threading.Thread(
            target=_listen, args=(self.process.stderr, self._heard), daemon=True
        )
        self._listener.start()
        # With the interpreter at the latest: it may not heed the end of its input.
        self._finalizer = weakref.finalize(self, _end, self.process, self._listener, self.owner)

    def end(self) -> None:
        """At once."""
        self._finalizer()

    def last_words(self) -> str:
        """The end of its standard error, quoted; empty if there is none."""
        if self.process.poll() is not None:
            self._listener.join(SETTLING)
        heard = bytes(self._heard).decode("utf-8", "replace").strip()
        return repr(kept(heard, LINE)) if heard else ""

    def exchange(self, request: bytes, limit: float) -> Message:
        """Write a request and read its answer, both at once: neither side waits for the other.

        Raises ``Malformed`` and ``EngineFault``.
        """
        self._silent()
        left, reader, answer = memoryview(request), Reader(), None
        poll, deadline = select.poll(), monotonic() + limit
        poll.register(self.output, select.POLLIN)
        poll.register(self.input, select.POLLOUT)
        while left or answer is None:
            remaining = deadline - monotonic()
            ready = poll.poll(1000 * remaining) if remaining > 0 else []
            if not ready:
                raise EngineFault(Violation.SILENCE, self._waited(reader, bool(left), limit))
            for descriptor, _ in ready:
                if descriptor == self.input:
                    left = left[self._write(left) :]
                    if not left:
                        poll.unregister(self.input)
                else:
                    # An answer that is whole already is not: what follows it is trailing.
                    answer = reader.feed(self._read(reader))
        return answer

    def _silent(self) -> None:
        """Raise if something came that nobody asked for."""
        with suppress(BlockingIOError):
            if data := os.read(self.output, PIECE):
                raise Malformed(
                    Violation.TRAILING,
                    f"after an answer, before the next request, came {data[:100]!r}: standard "
                    "output is for answers alone, and what is printed belongs on standard error",
                )

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self.input, data[:PIECE])
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise EngineFault(Violation.END, self._ended(None)) from None

    def _read(self, reader: Reader) -> bytes:
        try:
            data = os.read(self.output, PIECE)
        except BlockingIOError:
            return b""
        if not data:
            raise EngineFault(Violation.END, self._ended(reader))
        return data

    def _ended(self, reader: Reader | None) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(SETTLING)
        code = self.process.returncode
        if code is None:
            how = "it closed its standard input or output"
        elif code < 0:
            # Those of real time have no names.
            known = -code in {known.value for known in signal.Signals}
            how = f"it died of {signal.Signals(-code).name if known else f'signal {-code}'}"
        else:
            how = f"it exited with code {code}"
        return f"{how}, before its answer was whole" + (f": {reader.missing()}" if reader else "")

    def _waited(self, reader: Reader, writing: bool, limit: float) -> str:
        unread = "; the request was not read to its end" if writing else ""
        return (
            f"within {limit:g} s {reader.missing()}{unread}; is standard output flushed after "
            "each answer, and are as many bytes written as the line says?"
        )


def _listen(stream: IO[bytes], heard: bytearray) -> None:
    """Keep the end of what is said, however much that is."""
    with suppress(OSError, ValueError):
        while data := stream.read(PIECE):
            heard += data
            del heard[:-LAST_WORDS]


def _end(process: subprocess.Popen[bytes], listener: threading.Thread, owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    # A child of its own may hold the other end of its standard error open.
    listener.join(SETTLING)
    if not listener.is_alive() and process.stderr is not None:
        process.stderr.close()


def _text(value: Any) -> str:
    return kept(value, LINE) if isinstance(value, str) else shown(value, LINE)
