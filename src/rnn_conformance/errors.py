"""Whose fault it is: each class of error names the one who has to act."""

from __future__ import annotations

from typing import Any


class NonConforming(AssertionError):
    """The implementation's fault: it does not do what a clause demands.

    ``calls`` are the calls that show it, in the order made; ``array`` names the
    result that differs (``output``, ``h_n``, ``c_n``) and ``index`` the element,
    in the layout of steps by samples by units, where one element can be named;
    ``excerpt`` are rows of (place, expected, got, error, bound), worst first; ``case`` is
    what was drawn, as far as it was drawn; ``backward`` the backward pass that shows it, if
    it takes one.
    """

    def __init__(
        self,
        message: str,
        *,
        calls: tuple[Any, ...] = (),
        array: str | None = None,
        index: tuple[int, ...] | None = None,
        expected: Any = None,
        got: Any = None,
        error: float | None = None,
        bound: float | None = None,
        excerpt: tuple[tuple[Any, ...], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.calls = calls
        self.array = array
        self.index = index
        self.expected = expected
        self.got = got
        self.error = error
        self.bound = bound
        self.excerpt = excerpt
        self.case: Any = None
        self.backward: Any = None


class Unsupported(Exception):
    """Nobody's fault: the check needs what the implementation does not declare."""


class Untested(Unsupported):
    """Nobody's fault: the check needs more than this run has, in time or installed packages."""


class AdapterError(Exception):
    """The adapter's fault: what it hands over is not what the interface says."""


class UsageError(Exception):
    """The caller's fault: the command is wrong or a target cannot be loaded (exit 2)."""


class SuiteError(Exception):
    """The suite's own fault (exit 3)."""
