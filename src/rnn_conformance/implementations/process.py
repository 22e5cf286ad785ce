"""What an implementation changes in the process that it runs in: seen, and undone (ENV-1).

Every way into an implementation is :func:`contained`: what is set otherwise after it than before
is told to whoever :func:`watching`, and set back, so that it reaches neither our own computations
nor another check.

Left out are, with reasons: the generators of random numbers, which a constructor or dropout may
draw from, and whose state must go on from call to call (the checks look at it themselves); the
number of threads between operations, which can be set once in a process; inference mode, which
ends with the object that began it; the recursion limit, which torch's compiler raises; signal
handlers, which frameworks install at first use; internals of torch and NumPy that are no function
in a public module or class.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rnn_conformance.implementations.functions import ABSENT, Functions
from rnn_conformance.implementations.settings import File, Setting, settings


@dataclass(frozen=True)
class Change:
    """One thing that was changed, with what it was and what it had become, in words."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what} from {self.before} to {self.after}"


@dataclass(frozen=True, eq=False)
class _State:
    """The settings at one moment. ``modules`` is how many modules are loaded."""

    settings: tuple[Setting, ...]
    values: list[Any]
    modules: int

    @classmethod
    def now(cls) -> _State:
        known = settings("torch" in sys.modules)
        return cls(known, [setting.get() for setting in known], len(sys.modules))

    def restore(self, *, loading: bool) -> Iterator[Change]:
        """Set back what has changed since, and tell it.

        Importing a framework may change what computes nothing: that stays, and is not told.
        """
        values = [setting.get() for setting in self.settings]
        if values == self.values:
            return
        loading = loading or len(sys.modules) != self.modules
        for setting, before, after in zip(self.settings, self.values, values, strict=True):
            # None is what cannot be told, or was not there.
            if before is None or before == after or (loading and setting.imports_may):
                continue
            setting.put(before)
            yield from _told(setting.name, before, after)


_ENTERED = threading.RLock()
"""Held by the thread that is inside an implementation: state that all threads share is set back
when that one returns, not while others are at work."""


class _Watching(threading.local):
    """Who is to be told, in this thread."""

    def __init__(self) -> None:
        self.changes: list[list[Change]] = []


_WATCHING = _Watching()


_functions: Functions | None = None


def take_stock() -> None:
    """Take the functions of torch and NumPy as they are now for what they have to be."""
    global _functions
    _functions = Functions()


@contextmanager
def contained(*, loading: bool = False) -> Iterator[None]:
    """What is done in here leaves the process as it was, as far as can be seen.

    Functions are compared with those of when stock was last taken. With ``loading`` only that
    is set back which computations depend on. Of several threads the first one's counts.
    """
    if not _ENTERED.acquire(blocking=False):
        yield
        return
    try:
        if _functions is None or _functions.with_torch != ("torch" in sys.modules):
            take_stock()
        before = _State.now()
        try:
            yield
        finally:
            for change in _restored(before, loading):
                for changes in _WATCHING.changes:
                    changes.append(change)
    finally:
        _ENTERED.release()


def _restored(before: _State, loading: bool) -> Iterator[Change]:
    # First, since setting back calls functions.
    if _functions is not None and not _functions.unchanged():
        for name, was, became in _functions.restore():
            yield Change(name, _word(was), _word(became))
    yield from before.restore(loading=loading)


@contextmanager
def watching() -> Iterator[list[Change]]:
    """The changes that implementations make in here, in the order seen."""
    changes: list[Change] = []
    _WATCHING.changes.append(changes)
    try:
        yield changes
    finally:
        _WATCHING.changes.pop()


def _told(name: str, before: Any, after: Any) -> Iterator[Change]:
    """Each part that differs, for what has parts."""
    if isinstance(before, Mapping):
        for key in sorted(before.keys() | after.keys()):
            was, is_now = before.get(key, ABSENT), after.get(key, ABSENT)
            if was != is_now:
                yield Change(f"{name} {_text(key)}", _word(was), _word(is_now))
    elif isinstance(before, File):
        yield Change(name, "what it was", "closed" if after is None else "another file")
    elif isinstance(before, tuple) and len(before) != len(after):
        new = [value for value in after if value not in before]
        yield Change(
            name,
            f"{len(before)} entries",
            f"{len(after)}, new {', '.join(map(_word, new)) or 'none'}",
        )
    else:
        yield Change(name, _word(before), _word(after))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _word(value: Any) -> str:
    """A value for a reader, the same in every process: no address in memory."""
    if value is ABSENT:
        return "nothing"
    if isinstance(value, bytes):
        # A variable of the environment, which may be a secret: a report is shown around.
        return f"a value of {len(value)} characters"
    if isinstance(value, str):
        return repr(value[:80])
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) in (tuple, list):
        return f"({', '.join(map(_word, value))})"
    if type(value).__module__ == "torch":
        return str(value)
    try:
        module, name = value.__module__, getattr(value, "__qualname__", value.__name__)
    except Exception:  # It is somebody's, and may raise anything.
        module = name = None
    if isinstance(module, str) and isinstance(name, str):
        return f"{module}.{name}"
    return name if isinstance(name, str) else f"an object of the class {type(value).__name__}"
