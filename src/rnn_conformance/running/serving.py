"""Inside a process that holds an implementation: it answers requests until there are no more.

What an implementation can do to its process it can do to all that is here; what is here keeps
that from the others, and from the terminal.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from rnn_conformance.errors import no_keyboard

GONE = 70
"""The exit code of a process whose device no longer answers: ``EX_SOFTWARE`` of sysexits.h."""

fcntl: Any = importlib.import_module("fcntl") if sys.platform == "linux" else None


def serve(connection: Connection, life: Connection, folder: str) -> None:
    """Answer what comes through ``connection``, until nothing does; ``folder`` is its scratch.

    Nothing ever comes through ``life``: it ends with whoever asks, and so does this.
    """
    # A process group of its own: neither a terminal's interrupt nor what an implementation
    # does to its group reaches the others.
    if hasattr(os, "setsid"):
        os.setsid()
    no_keyboard()
    _leave_no_core()
    _let_go()
    _end_with(life)
    # What it leaves behind there goes with it, and what it deletes there is its own.
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    output = os.open(f"{folder}/output", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    seen = os.open(f"{folder}/seen", os.O_RDWR | os.O_CREAT)
    _redirect(output)
    # Kept by the interpreter: what an implementation does to the streams leaves it alone.
    faulthandler.enable(output)
    warnings.simplefilter("ignore")

    limit = 0.0
    at = step({})

    def observe(what: Mapping[str, Any]) -> None:
        nonlocal at
        # One that closes every file loses what would have been said of its death, no more.
        with suppress(OSError):
            os.pwrite(seen, json.dumps(what).encode() + b"\n", 0)
        if (now := step(what)) != at:
            at = now
            _say_where(limit, output)

    from rnn_conformance.running.session import Session

    session = Session(observe)
    while True:
        try:
            token, limit, request = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        with suppress(OSError):
            os.ftruncate(output, 0)
            os.ftruncate(seen, 0)
        at = step({})
        _say_where(limit, output)
        answer = session.answer(request)
        if session.lost:
            # What the check found after its device was gone is not what it was asked for.
            os.write(output, session.lost.encode())
            os._exit(GONE)
        faulthandler.cancel_dump_traceback_later()
        _flush()
        _redirect(output)
        connection.send_bytes(json.dumps([token, answer]).encode())


def step(seen: Mapping[str, Any]) -> tuple[Any, Any]:
    """Which case or question of a request it is: each has the whole limit."""
    return seen.get("cases"), seen.get("asked")


def _say_where(seconds: float, output: int) -> None:
    """Have it said where this process is, before it is ended."""
    with suppress(OSError):
        faulthandler.dump_traceback_later(seconds, file=output)


def _end_with(life: Connection) -> None:
    """Have this process ended with ``life``, lest one that hangs be left to nobody."""
    if fcntl is not None:
        # By the kernel: also one that holds the interpreter's lock, or ignores signals.
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
        return

    def wait() -> None:
        life.poll(None)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _leave_no_core() -> None:
    with suppress(ImportError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _let_go() -> None:
    """Close what leads to the server and to its tracker of resources: written to, they end."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver, resource_tracker

    for owner, name in (
        (forkserver._forkserver, "_forkserver_alive_fd"),
        (resource_tracker._resource_tracker, "_fd"),
    ):
        # What needs a tracker of its own starts one where it finds none.
        if (descriptor := getattr(owner, name, None)) is not None:
            os.close(descriptor)
            setattr(owner, name, None)


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
