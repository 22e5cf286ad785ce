"""Gates in another order in some of the parameters alone: every order, in every such part.

Not in the catalogue: there are two hundred for an LSTM, and each breaks what its kind of fault
breaks. They are tried where nothing in the catalogue fits.
"""

from __future__ import annotations

from functools import cache
from itertools import permutations

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import Deviant, Deviation
from rnn_conformance.deviations.gates import in_order
from rnn_conformance.spec.config import Kind

PARTS = {
    ("w_ih",): "weight_ih",
    ("w_hh",): "weight_hh",
    ("b_ih",): "bias_ih",
    ("b_hh",): "bias_hh",
    ("w_ih", "w_hh"): "weight_ih and weight_hh",
    ("b_ih", "b_hh"): "bias_ih and bias_hh",
    ("w_ih", "b_ih"): "weight_ih and bias_ih",
    ("w_hh", "b_hh"): "weight_hh and bias_hh",
}


@cache
def part_orders(kind: Kind) -> tuple[Deviation[Deviant], ...]:
    """All of a kind's; none where there is one gate."""
    gates = kind.gates
    equation = "EQ-2" if kind.layer is Kind.LSTM else "EQ-3"
    return tuple(
        Deviation(
            name=f"{what} alone in the order {', '.join(order)}",
            breaks=frozenset({equation, "CEL-2"}),
            kinds=frozenset({kind.layer, kind.layer.cell}),
            needs=frozenset(),
            source=COMMON,
            fix=f"Read the blocks of rows of all four parameters in the order {', '.join(gates)}: "
            f"{what} alone {'are' if ' ' in what else 'is'} read in another.",
            variant=in_order(order, parts),
        )
        for parts, what in PARTS.items()
        for order in permutations(gates)
        if order != gates
    )
