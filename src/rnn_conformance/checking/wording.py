"""What is said of an array that is off: one sentence, and the worst elements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_conformance.checking.comparing import Comparison
from rnn_conformance.checking.locating import axes, in_words, locate, pattern
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import gradient_of
from rnn_conformance.spec.calls import Call

ROWS = 8
"""Elements of an excerpt at most."""


DRAWN = 1024
"""Elements of an array that are kept to be drawn at most: thirty-two steps of as many units."""

DIGITS = 5
"""Of each of these: a picture shows no more, and a file holds many."""


@dataclass(frozen=True, eq=False)
class Mismatch:
    """An array that is off: what was compared, and how that came out.

    ``name`` is that of a result, or of the argument whose ``gradient`` it is. ``hard`` is the
    bound that holds for any rounding at all, where ``bound`` is narrower.
    """

    call: Call
    name: str
    got: Array
    expected: Array
    bound: Array
    comparison: Comparison
    gradient: bool = False
    hard: Array | None = None

    @property
    def label(self) -> str:
        """What the array is called."""
        return gradient_of(self.name) if self.gradient else self.name

    @property
    def worst(self) -> tuple[int, ...]:
        """The element furthest off in multiples of its bound."""
        excess = self.comparison.excess(self.bound)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))

    @property
    def distance(self) -> float | None:
        """By how much that is off; ``None`` where its class is another, which is no number."""
        worst = self.worst
        if self.comparison.other_class[worst]:
            return None
        return float(self.comparison.errors[worst])

    def sentence(self, what: str = "") -> str:
        """Which element, what it is and should be, by how much it is off, and how many are."""
        index, off = self.worst, self.comparison.off
        place = in_words(self.located(index))
        return (
            f"{what + ': ' if what else ''}{self.label} at {place} is "
            f"{float(self.got[index]):.9g}, not {float(self.expected[index]):.9g}; "
            f"{self._allowed(index)}{int(off.sum())} of {off.size} elements are off"
            + pattern(self.call, self.name, off, gradient=self.gradient)
        )

    def located(self, index: tuple[int, ...]) -> dict[str, Any]:
        """An element's place in words of the field."""
        return locate(self.call, self.name, index, gradient=self.gradient)

    def _allowed(self, index: tuple[int, ...]) -> str:
        """By how much it is off where what is allowed, and whose limit that is."""
        distance, bound, hard = self.distance, self.bound, self.hard
        if distance is None:
            return ""
        allowed = f"off by {distance:.3g} where {float(bound[index]):.3g} is allowed"
        if hard is None or not bound[index] < hard[index]:
            return f"{allowed}; "
        worst = "more than" if distance > hard[index] else "though no more than"
        return (
            f"{allowed}, by how far correct implementations scatter here ({worst} the "
            f"{float(hard[index]):.3g} that rounding at its worst could do); "
        )

    def excerpt(self) -> tuple[tuple[Any, ...], ...]:
        """The worst elements: ``(place, expected, got, error, bound)``."""
        excess = self.comparison.excess(self.bound)
        ranked = np.argsort(-excess, axis=None, kind="stable")[:ROWS]
        indices = [tuple(int(i) for i in np.unravel_index(flat, excess.shape)) for flat in ranked]
        return tuple(
            (
                f"{self.label}: {in_words(self.located(index))}",
                float(self.expected[index]),
                float(self.got[index]),
                float(self.comparison.errors[index]),
                float(self.bound[index]),
            )
            for index in indices
            if excess[index] >= 0.0
        )

    def elements(self) -> dict[str, Any] | None:
        """The array to be drawn, or the part around the worst element; nothing of a scalar.

        Errors are in units of the bound, infinite where the class is another.
        """
        shape = self.got.shape
        if not shape:
            return None
        start, size = window(shape, self.worst)
        part = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(self.comparison.errors > 0.0, self.comparison.errors / self.bound, 0.0)
        share = np.where(self.comparison.other_class, np.inf, share)
        return {
            "array": self.label,
            "axes": [*axes(self.call, self.name, len(shape), gradient=self.gradient)],
            "shape": [*shape],
            "start": [*start],
            "size": [*size],
            "expected": _rounded(self.expected[part]),
            "got": _rounded(self.got[part]),
            "error": _rounded(share[part]),
        }


def window(
    shape: tuple[int, ...], around: tuple[int, ...], most: int = DRAWN
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first index and the size of a part of at most so many elements around one of them.

    The longest axes are cut first, so that short ones stay whole.
    """
    size = [*shape]
    while math.prod(size) > most:
        longest = size.index(max(size))
        size[longest] = (size[longest] + 1) // 2
    start = [
        min(max(at - count // 2, 0), of - count)
        for at, count, of in zip(around, size, shape, strict=True)
    ]
    return tuple(start), tuple(size)


def _rounded(values: Array) -> list[float]:
    return [float(f"{float(value):.{DIGITS}g}") for value in values.ravel()]
