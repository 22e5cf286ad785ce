"""An approximation of tanh or the sigmoid in one place alone: every one, in every place.

Not in the catalogue, which has each of them everywhere: there are some forty of an LSTM. They are
tried where nothing in the catalogue fits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from rnn_conformance.deviations.activations import SIGMOIDS, TANHS, Function, of_dtype
from rnn_conformance.deviations.deviation import Deviant, Deviation
from rnn_conformance.deviations.gate_functions import gate_of_gru, gate_of_lstm
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Kind


def _of_output(function: Function) -> type[Deviant]:
    class OfOutput(Deviant):
        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            _, c = super().lstm_step(gates, c, w_hr)
            h = gates[:, 3 * c.shape[-1] :] * function(c)
            return (h if w_hr is None else h @ w_hr.T), c

    return OfOutput


@cache
def part_functions(kind: Kind) -> tuple[Deviation[Deviant], ...]:
    """All of a kind's; none where there is one gate."""
    if len(kind.gates) == 1:
        return ()
    is_lstm = kind.layer is Kind.LSTM
    make: Callable[[int, Function], type[Deviant]] = gate_of_lstm if is_lstm else gate_of_gru
    found = []
    for number, gate in enumerate(kind.gates):
        functions = TANHS if gate in ("g", "n") else SIGMOIDS
        found += [(f"the gate {gate}", name, make(number, f)) for name, f in functions.items()]
    if is_lstm:
        found += [("the output, of c,", name, _of_output(f)) for name, f in TANHS.items()]
    return tuple(
        Deviation(
            name=f"{what} put through {name}",
            breaks=frozenset({"EQ-2" if is_lstm else "EQ-3", "CEL-2"}),
            kinds=frozenset({kind.layer, kind.layer.cell}),
            needs=frozenset(),
            source="approximations in use",
            fix=f"Put {what.rstrip(',')} through {'tanh' if name in TANHS else 'a sigmoid'} as "
            "accurately as the dtype allows, as the other gates are.",
            variant=of_dtype(variant) if "overflows" in name else variant,
        )
        for what, name, variant in found
    )
