"""What a known wrong way is: a variant of the oracle, and what is known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, Unpack

import numpy as np

from rnn_conformance.deviations import defect
from rnn_conformance.deviations.defect import Defect, Facts
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.oracle import Answer, Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Kind

RNNS = frozenset({Kind.RNN, Kind.RNN_CELL})
LSTMS = frozenset({Kind.LSTM, Kind.LSTM_CELL})
GRUS = frozenset({Kind.GRU, Kind.GRU_CELL})

EQUATIONS = "EQ-1 EQ-2 EQ-3 CEL-2"
"""What a wrong equation breaks, in the kinds to which it applies."""

NEW_GATE = "n = tanh(W_in x + b_in + r * (W_hn h + b_hn))"
"""A GRU's new gate, for the fixes that say it (EQ-3)."""


def rows(number: int) -> str:
    """The block of rows of a gate, counted from 0, as an index: ``H:2H``."""
    return ":".join(("0", "H", "2H", "3H", "4H")[number : number + 2])


class Deviant(Oracle):
    """An oracle with one decision taken wrongly, which also hands its answer over.

    The wrong layouts are a matter of handing over. An instance stands for one layer: what
    leaks from call to call leaks through it.
    """

    def present(self, call: Call, answer: Answer) -> dict[str, Array]:
        """Each result by name, in the layout in which the caller receives it."""
        return {name: call.give(name, getattr(answer, name)) for name in call.results}

    def dtypes(self, call: Call) -> dict[str, str]:
        """The dtype in which each result comes back (TYP-1)."""
        return dict.fromkeys(call.results, call.dtype.value)

    def results(self, call: Call) -> dict[str, Array]:
        """The answer to a call, handed over; overflow and NaN are nothing unusual here."""
        with np.errstate(all="ignore"):
            return self.present(call, self.answer(call))


V = TypeVar("V", bound=Oracle | Adjoint)


@dataclass(frozen=True)
class Deviation(Defect, Generic[V]):
    """A known wrong way of computing a recurrent layer, or of differentiating it.

    ``name`` completes "your results equal those of a layer with …". ``fix`` says what
    ``torch.nn`` does there and what to change, in a sentence or two for whoever wrote such a
    layer; its symbols are those of ``spec``, but that layer ``k`` counts from 0, and ``h'``
    and ``c'`` are a step's new states; in products such as ``dz^T x``, each row belongs to a
    step and a sample. ``variant`` is the oracle, or its adjoint, that deviates.
    """

    fix: str
    variant: type[V]


class Chapter(defect.Chapter[Deviation[V]]):
    """The deviations of one chapter.

    ``breaks`` are the clauses that each breaks of which no others are named.
    """

    def __init__(self, breaks: str = "") -> None:
        super().__init__()
        self.breaks = breaks

    def add(
        self, name: str, breaks: str = "", *, fix: str, **facts: Unpack[Facts]
    ) -> Callable[[type[V]], type[V]]:
        """Add the decorated variant; ``breaks`` are clause ids separated by blanks."""

        def add(variant: type[V]) -> type[V]:
            described = self.described(name, breaks or self.breaks, **facts)
            self.append(Deviation(**described, fix=fix, variant=variant))
            return variant

        return add


def significant(array: Array, bits: int) -> Array:
    """Rounded to ``bits`` significant bits: 24 as in float32, 11 in float16, 8 in bfloat16."""
    mantissa, exponent = np.frexp(array)
    rounded: Array = np.ldexp(np.round(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded
