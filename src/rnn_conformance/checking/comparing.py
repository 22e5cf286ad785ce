"""Comparing arrays within a bound; NaN and infinities by their class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.arrays import Array


@dataclass(frozen=True, eq=False)
class Comparison:
    """Elementwise: the errors of what is finite, where the class is another, what is off."""

    errors: Array
    other_class: NDArray[np.bool_]
    off: NDArray[np.bool_]

    def excess(self, bound: Array) -> Array:
        """Errors in multiples of the bound where something is off, else -1."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(self.errors > 0.0, self.errors / bound, 0.0)
        return np.where(self.off, np.where(self.other_class, np.inf, share), -1.0)


def compare(
    got: Array, expected: Array, bound: Array | float, low_order: Array | None = None
) -> Comparison:
    """``|got - expected| <= bound``, but NaN, +Inf and -Inf are the same or not.

    ``low_order`` is what is missing in ``expected``, being rounded to float64. Where the bound
    is infinite nothing is off.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(expected) & np.isfinite(got)
        apart = got - expected if low_order is None else (got - expected) - low_order
        errors = np.where(finite, np.abs(apart), 0.0)
        other_class = ~finite & ~((got == expected) | (np.isnan(got) & np.isnan(expected)))
        off = (other_class | (errors > bound)) & ~np.isposinf(bound)
    return Comparison(errors, other_class, off)


def are_close(first: Array, second: Array, bound: Array | float) -> bool:
    """Whether two arrays have one shape and are no further apart."""
    return first.shape == second.shape and not compare(first, second, bound).off.any()
