"""The equations in more digits than float64 has, for what is computed in float64.

A reference that is rounded as the implementation is cannot say which of the two is off.
Where C's ``long double`` has 64 bits of significand, as on x86, it serves; elsewhere it is
float64 by another name, and mpmath's numbers do, with the digits of IEEE's quadruple.
What results is told in two float64 numbers: the nearest, and what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

import mpmath
import numpy as np

from rnn_conformance.reference.bounds import forward
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.oracle import Answer, Masks
from rnn_conformance.reference.pieces import Pieced
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Dtype

Widen: TypeAlias = Callable[[Array], Any]
"""From float64 numbers to the same numbers with more digits, as an array."""

QUADRUPLE = 113
"""Bits of significand of IEEE 754's binary128."""


def long_double(array: Array) -> Any:
    """As C's ``long double``."""
    return array.astype(np.longdouble)


def multiprecision() -> Widen:
    """As mpmath's numbers, in arrays of objects."""
    context = mpmath.MPContext()
    context.prec = QUADRUPLE
    # NumPy's tanh of an object is the object's own.
    context.mpf.tanh = context.tanh
    widen: Widen = np.frompyfunc(context.mpf, 1, 1)
    return widen


def widest() -> Widen:
    """The cheapest numbers of at least 64 bits that this platform has."""
    return long_double if np.finfo(np.longdouble).nmant >= 63 else multiprecision()


class Wide:
    """Computes in these numbers: to be mixed into the oracle and its derivative."""

    def __init__(self, widen: Widen, masks: Masks | None = None) -> None:
        super().__init__(masks)  # type: ignore[call-arg]  # that of what it is mixed into
        self.widen = widen

    def numbers(self, array: Array) -> Array:
        """With more digits."""
        wide: Array = self.widen(array)
        return wide


class Extended(Wide, Pieced):
    """The oracle in these numbers."""


class ExtendedAdjoint(Wide, Adjoint):
    """The derivative in these numbers."""


WIDE = 2.0**-63
"""The roundoff of these numbers, the narrowest of which have 64 bits."""


@lru_cache(maxsize=8)
def extended(problem: Problem) -> Answer | None:
    """The answer in more digits, where the call is computed in float64 and all is finite."""
    if problem.call.dtype is not Dtype.FLOAT64:
        return None
    answer = forward(problem).answer
    if not all(np.isfinite(trace.h).all() for row in answer.traces for trace in row):
        return None
    with np.errstate(all="ignore"):
        return Extended(widest(), problem.masks).answer(problem.call)


def split(wide: Array) -> tuple[Array, Array]:
    """The nearest float64 numbers, and what is left: together, twice the digits."""
    nearest: Array = wide.astype(np.float64)
    with np.errstate(invalid="ignore"):
        rest: Array = np.where(np.isfinite(nearest), wide - nearest, 0.0).astype(np.float64)
    return nearest, rest
