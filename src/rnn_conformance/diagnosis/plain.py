"""What is plain from what an implementation gave, before any search: first things first.

Nobody needs a catalogue to be told that every result is zero. A fact counts if it holds in every
failing case that was answered, and if what is right is not so in some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_conformance.diagnosis.evidence import Evidence, Given, Place
from rnn_conformance.diagnosis.roundings import LEAST, MOST, relative
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Dtype

Arrays = Mapping[Place, Array]


@dataclass(frozen=True)
class Fact:
    """``words`` stand before "in … of … failing cases"; ``holds`` of what was given in one.

    ``whole`` facts leave nothing to search for; others may have a known cause.
    """

    words: str
    holds: Callable[[Evidence, Given], bool]
    whole: bool = True


def _own(piece: Evidence, place: Place, array: Array) -> Array:
    """What is of some sequence, and not of the padding."""
    call = piece.probe.calls[place[0]]
    if place[1] != "output" or call.lengths is None:
        return array
    steps = np.broadcast_to(call.steps[:, :, None], call.shape("output")).astype(np.float64)
    own = call.give("output", steps) > 0
    return array[own] if own.shape == array.shape else array


def _of(*names: str, test: Callable[[Array], bool]) -> Callable[[Evidence, Given], bool]:
    """Of the results of these names, or of all, of which there is one."""

    def holds(piece: Evidence, given: Given) -> bool:
        own = [
            _own(piece, place, array)
            for place, array in given.arrays.items()
            if not names or place[1] in names
        ]
        arrays = [array for array in own if array.size]
        return bool(arrays) and all(map(test, arrays))

    return holds


def _is_zero(array: Array) -> bool:
    return not array.any()


def _is_nan(array: Array) -> bool:
    return bool(np.isnan(array).all())


def _is_finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def _is_one_number(array: Array) -> bool:
    return bool((array == array.flat[0]).all())


def _is_argument(result: str, argument: str) -> Callable[[Evidence, Given], bool]:
    """Whether a result is an argument handed back."""

    def holds(piece: Evidence, given: Given) -> bool:
        for (number, name), array in given.arrays.items():
            if name != result:
                continue
            call = piece.probe.calls[number]
            canonical = getattr(call, argument)
            if canonical is None or canonical.shape != call.shape(result):
                return False
            if not np.array_equal(call.give(result, canonical), array, equal_nan=True):
                return False
        return True

    return holds


def _factor(piece: Evidence, given: Given, names: Collection[str]) -> float:
    """The number of which these results are that multiple of what is right; NaN if none is."""
    exact = {place: array for place, array in piece.exact.arrays.items() if place[1] in names}
    # A cell has no output.
    if not exact or any(
        place not in given.arrays or given.arrays[place].shape != array.shape
        for place, array in exact.items()
    ):
        return np.nan
    right = np.concatenate([array.ravel() for array in exact.values()])
    got = np.concatenate([given.arrays[place].ravel() for place in exact])
    square = float(right @ right)
    if not (np.isfinite(square) and square and np.isfinite(got).all()):
        return np.nan
    factor = float(right @ got) / square
    rest = np.abs(got - factor * right).max(initial=0.0)
    # As far off as one rounding of the largest, and a few more.
    return factor if rest <= 2.0**6 * piece.format.u_s * np.abs(got).max(initial=0.0) else np.nan


PARTS = {
    "every result is": ("output", "h_n", "c_n"),
    "the output is": ("output",),
    "the final states are": ("h_n", "c_n"),
    "h_n is": ("h_n",),
}
"""What may be off by a factor, the most first; c_n alone is not every kind's, nor is output."""

FACTS = (
    Fact("every result is zero", _of(test=_is_zero)),
    Fact("every result is NaN", _of(test=_is_nan)),
    Fact("every result is one and the same number throughout", _of(test=_is_one_number)),
    Fact("the output is the input, handed back", _is_argument("output", "input")),
    Fact("h_n is h_0, handed back", _is_argument("h_n", "h_0"), whole=False),
    Fact("c_n is c_0, handed back", _is_argument("c_n", "c_0"), whole=False),
    Fact("the output is zero", _of("output", test=_is_zero), whole=False),
    Fact("the final states are zero", _of("h_n", "c_n", test=_is_zero), whole=False),
    Fact("the output is NaN", _of("output", test=_is_nan), whole=False),
    Fact("the final states are NaN", _of("h_n", "c_n", test=_is_nan), whole=False),
)


def _answered(failing: Iterable[Evidence]) -> Iterator[tuple[Evidence, Given]]:
    """What came instead of numbers: what is made of NaN, be it multiplied by zero, is NaN."""
    for piece in failing:
        if piece.given is not None and all(map(_is_finite, piece.exact.arrays.values())):
            yield piece, piece.given


def facts(failing: Sequence[Evidence]) -> list[Fact]:
    """What is plain of all that failed and was answered, the most telling first."""
    answered = list(_answered(failing))
    if not answered:
        return []
    found = [
        fact
        for fact in FACTS
        if all(fact.holds(piece, given) for piece, given in answered)
        and not all(fact.holds(piece, piece.exact) for piece, _ in answered)
    ]
    return found[:1] if found and found[0].whole else found


def measured(failing: Sequence[Evidence]) -> Iterator[str]:
    """How far off the results are, where that is all alike: by a factor, or by another rounding."""
    answered = list(_answered(piece for piece in failing if piece.telling))
    if not answered:
        return
    for words, names in PARTS.items():
        factors = [_factor(piece, given, names) for piece, given in answered]
        factor = float(np.median(factors))
        finest = min(piece.format.u_s for piece, _ in answered)
        # In a bfloat16 three digits are a matter of rounding.
        if not np.isfinite(factors).all() or np.ptp(factors) > 2.0**-6 * abs(factor):
            continue
        if abs(factor - 1.0) > 2.0**8 * finest:
            yield f"{words} {factor:.4g} times what is right"
            return
    for dtype in (Dtype.FLOAT32, Dtype.BFLOAT16, Dtype.FLOAT16):
        unit = FORMATS[dtype].u_s
        sizes = [relative(piece, given) for piece, given in answered]
        finer = all(FORMATS[piece.probe.calls[0].dtype].u_s < unit for piece, _ in answered)
        if finer and all(LEAST * unit <= size <= MOST * unit for size in sizes):
            seen = sorted({str(piece.probe.calls[0].dtype) for piece, _ in answered})
            yield f"errors of the size of {dtype}'s rounding, in {' and '.join(seen)}"
            return
