"""Whose fault it is, and of what sort: enumerations, never words to be searched for.

Each class of error names the one who has to act. What a program has to decide about an error
is in its fields; its message is for people alone.
"""

from __future__ import annotations

import dis
import signal
from enum import StrEnum
from types import TracebackType
from typing import Any


class Fault(StrEnum):
    """Who has to act."""

    IMPLEMENTATION = "implementation"
    ADAPTER = "adapter"
    SUITE = "suite"


class Sort(StrEnum):
    """What sort of failure it is."""

    VALUE = "wrong value"
    SHAPE = "wrong shape"
    TYPE = "wrong dtype or device"
    STRUCTURE = "wrong structure"
    ACCURACY = "errors larger than those of rounding"
    DISTRIBUTION = "improbable random numbers"
    SURFACE = "wrong attributes, parameters or return values"
    SIDE_EFFECT = "something else changed"
    SILENCE = "no warning where one is due"
    RAISED = "raised on a legal call"
    NOT_REFUSED = "answered where a refusal is due"
    ACCIDENT = "a fault met on the way where a refusal is due"
    TIMEOUT = "did not end in time"
    CRASHED = "the process died"
    MEMORY = "took more memory than it may"
    OUTPUT = "wrote more output than it may"
    UNUSABLE = "cannot be built or called at all"
    BROKEN = "the check itself could not run"


class Nature(StrEnum):
    """What an exception of an implementation was."""

    REFUSAL = "refusal"
    ACCIDENT = "accident"

    @classmethod
    def of(cls, error: BaseException) -> Nature:
        """An accident if it is of a class that nobody raises to refuse a call."""
        # By its type alone: an object may lie about its class.
        return cls.ACCIDENT if issubclass(type(error), ACCIDENTS) else cls.REFUSAL


ACCIDENTS = (NameError, SystemError, MemoryError, RecursionError, SystemExit, KeyboardInterrupt)
"""Exceptions that are no refusal of an illegal call but a fault met on the way;
``UnboundLocalError`` is a ``NameError``."""


DELIBERATE = (NotImplementedError, ValueError, TypeError)
"""Exceptions with which it is said that something is not taken."""


def deliberate(error: BaseException | None) -> bool:
    """Whether somebody wrote this refusal down, where accidents are refusals as well.

    Values that do not unpack and shapes that do not fit are ``ValueError`` and ``TypeError`` too:
    those of a ``raise`` statement count, if it is none of torch's or NumPy's own, and
    ``NotImplementedError`` always.
    """
    if not issubclass(type(error), DELIBERATE):
        return False
    if issubclass(type(error), NotImplementedError):
        return True
    assert error is not None
    if (trace := _innermost(error)) is None:
        return False
    owner = str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0]
    raising = trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raising and owner not in ("torch", "numpy")


class Gap(StrEnum):
    """Why a check could not be run, or why it is no pass that nothing failed."""

    NOT_IN_KIND = "the kind has no such feature"
    UNDECLARED = "not declared"
    DECLARED = "declared, and so held to other checks"
    REFUSED = "not declared, and refused or right"
    NO_MODULE = "no torch.nn.Module class"
    NO_GRADIENT = "no backward pass"
    NAMES = "parameters are not under torch.nn's names"
    NO_MEMORY = "its memory cannot be seen"
    NO_DEVICE = "computes on the CPU alone"
    NO_PACKING = "packs nothing"
    TORCH_FAILS = "torch.nn's own class fails too"
    EXCLUDED = "excluded by the implementation, with a reason"
    PROFILE = "left to a larger profile"
    PACKAGE = "a package is not installed"
    FORGOTTEN = "a remembered case cannot be drawn any more"


class Refusal(StrEnum):
    """Why a command is refused."""

    CALL = "the call is wrong"
    TARGET = "there is no such target"
    BROKEN = "the target cannot be imported"
    PACKAGE = "the target needs a package that is not installed"
    DECLARATION = "the target's declaration is wrong"
    DEVICE = "there is no such device"
    FILE = "a file cannot be read or written"


class NonConforming(AssertionError):
    """The implementation's fault: it does not do what a clause demands.

    ``sort`` says what is wrong. ``calls`` are the calls that show it, in the order made;
    ``array`` names the result that differs (``output``, ``h_n``, ``c_n``), or the argument
    whose ``gradient`` does, and ``index`` the element, in the layout of steps by samples by
    units, where one element can be named; ``excerpt`` are rows of
    (place, expected, got, error, bound), worst first; ``elements`` the array, or the part of it
    around that (``checking.wording``); ``case`` is what was drawn, as far as it
    was drawn; ``backward`` the backward pass that shows it, if it takes one. ``exception`` is
    what the implementation raised, if that is what is wrong, and ``nature`` what that was.
    ``draw`` is what led to the case, so that it can be had again (see ``checking.recalling``).
    """

    def __init__(
        self,
        message: str,
        *,
        sort: Sort,
        calls: tuple[Any, ...] = (),
        array: str | None = None,
        gradient: bool = False,
        index: tuple[int, ...] | None = None,
        expected: Any = None,
        got: Any = None,
        error: float | None = None,
        bound: float | None = None,
        excerpt: tuple[tuple[Any, ...], ...] = (),
        elements: Any = None,
        backward: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.sort = sort
        self.calls = calls
        self.array = array
        self.gradient = gradient
        self.index = index
        self.expected = expected
        self.got = got
        self.error = error
        self.bound = bound
        self.excerpt = excerpt
        self.elements = elements
        self.exception = exception
        self.backward = backward
        self.case: Any = None
        self.draw = ""

    @property
    def nature(self) -> Nature | None:
        """What its exception was; ``None`` where there was none."""
        return None if self.exception is None else Nature.of(self.exception)

    def __str__(self) -> str:
        return self.message


class Unsupported(Exception):
    """Nobody's fault: the check needs what the implementation does not declare."""

    def __init__(self, message: str, gap: Gap) -> None:
        super().__init__(message)
        self.gap = gap


class Excluded(Unsupported):
    """Nobody's fault: the implementation asks not to be checked, and says why."""


class Untested(Unsupported):
    """Nobody's fault: the check needs more than this run has, in time or installed packages."""


class AdapterError(Exception):
    """The adapter's fault: what it hands over is not what the interface says."""


class UsageError(Exception):
    """The caller's fault: the command is wrong or a target cannot be loaded (exit 2).

    ``missing`` is what the import of a package that is not installed said, for
    ``Refusal.PACKAGE``.
    """

    def __init__(self, message: str, refusal: Refusal = Refusal.CALL, missing: str = "") -> None:
        super().__init__(message)
        self.refusal = refusal
        self.missing = missing

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: a line, since nothing in our code is at fault."""
        return [f"{type(self).__name__}: {self}"]


class SuiteError(Exception):
    """The suite's own fault (exit 3)."""


_deaf = False


def no_keyboard() -> None:
    """Nobody interrupts this process, whatever an implementation does to its signals."""
    global _deaf
    _deaf = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Overdue(BaseException):
    """A check did not end in time; no ``Exception``, which an implementation may catch."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"it did not end in {limit:g} s")


def interrupts(error: BaseException) -> bool:
    """Whether an exception is nobody's that is tested: a limit's, or the user's Ctrl-C.

    Where the keyboard is not heard it is the implementation that raised ``KeyboardInterrupt``.
    """
    # Not isinstance, which believes what an object says of its class.
    if issubclass(type(error), Overdue):
        return True
    heard = not _deaf and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    return issubclass(type(error), KeyboardInterrupt) and heard


def ours(error: BaseException) -> bool:
    """Whether the suite's own code raised it: an implementation may raise our classes too."""
    trace = _innermost(error)
    name = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return name.partition(".")[0] in ("rnn_conformance", "rnn_conformance_checks")


def _innermost(error: BaseException) -> TracebackType | None:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace
