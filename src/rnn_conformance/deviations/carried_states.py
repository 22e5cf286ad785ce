"""States that are carried on in the wrong way, or stand in the wrong place (STA, LAY)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import LSTMS, Chapter, Deviant
from rnn_conformance.deviations.states import GIVEN, changed, from_place
from rnn_conformance.reference.oracle import Answer, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import ALL, LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind

CARRIED = Chapter[Deviant]()


# The state from step to step and from call to call.


def restarting(every: int) -> type[Deviant]:
    """An oracle that starts anew from the initial state after so many steps."""

    class Restarting(Deviant):
        def scan(
            self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
        ) -> Trace:
            pieces = [
                super(Restarting, self).scan(
                    call, layer, direction, x[start : start + every], steps[start : start + every]
                )
                for start in range(0, len(x), every)
            ]
            first = pieces[0]

            def states(name: str) -> Array:
                arrays = [getattr(piece, name) for piece in pieces]
                return np.concatenate([arrays[0], *(array[1:] for array in arrays[1:])])

            def joined(name: str) -> Array:
                return np.concatenate([getattr(piece, name) for piece in pieces])

            return Trace(
                first.weights,
                x,
                joined("zx"),
                joined("zh"),
                joined("gates"),
                states("h"),
                None if first.c is None else states("c"),
                steps,
            )

    return Restarting


CARRIED.add(
    "every step started from the initial state",
    "STA-2 EQ-1 EQ-2 EQ-3",
    fix="Carry the state from step to step: each step starts from h' (and c') of the step "
    "before, only the first from the initial state.",
    kinds=LAYERS,
    source="tracel-ai/burn#2701",
)(restarting(1))
CARRIED.add(
    "the state reset every 16 steps",
    "EQ-5",
    fix="Carry the state over the whole sequence: each block of 16 steps starts from the last "
    "state of the block before.",
    kinds=LAYERS,
)(restarting(16))


@CARRIED.add(
    "c reset at every step",
    "STA-2 EQ-2",
    fix="Carry c from step to step: c' = f * c + i * g, where c is the cell state of the step "
    "before and not zero.",
    kinds=[Kind.LSTM],
)
class _ResetC(Deviant):
    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        return super().lstm_step(gates, 0.0 * c, w_hr)


@CARRIED.add(
    "the last step left out",
    "STA-2 EQ-1 EQ-2 EQ-3",
    fix="Run all L steps: the loop ends before the last one, input[L - 1] forward and "
    "input[0] in reverse, whose output and state are missing.",
    kinds=LAYERS,
)
class _LastStepLost(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        steps = steps.copy()
        steps[-1] = False
        return super().scan(call, layer, direction, x, steps)


@CARRIED.add(
    "outputs one step late",
    "EQ-1 EQ-2 EQ-3 DIR-3",
    fix="Write h' to the output after computing the step: output[t] is the state after "
    "reading input[t], not before.",
    kinds=LAYERS,
)
class _Late(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        return super().aligned(replace(trace, h=np.roll(trace.h, 1, axis=0)), direction)


def _stateful(states: str) -> type[Deviant]:
    """An oracle whose calls without a state begin with the last one's final states."""

    class Stateful(Deviant):
        def __init__(self) -> None:
            super().__init__()
            self.left: Answer | None = None

        def answer(self, call: Call) -> Answer:
            left = self.left
            if call.h_0 is None and left is not None and left.h_n.shape[1] == call.batch:
                c_n = left.c_n if left.c_n is None or "c" in states else np.zeros_like(left.c_n)
                h_n = left.h_n if "h" in states else np.zeros_like(left.h_n)
                call = call.replace(h_0=h_n, c_0=c_n)
            self.left = super().answer(call)
            return self.left

    return Stateful


for states, which, kinds in (
    ("hc", "final state for an omitted initial one", ALL),
    ("h", "h_n, not c_n, for an omitted initial state", LSTMS),
    ("c", "c_n, not h_n, for an omitted initial state", LSTMS),
):
    CARRIED.add(
        f"the last call's {which}",
        "STA-1 STA-3 CEL-1",
        fix="Start from zeros in every call without a state: nothing is kept from call to call "
        "(stateful=False in Keras), and no buffer is left as the last call had it.",
        kinds=kinds,
        source="tensorflow/tensorflow#47813",
    )(_stateful(states))


@CARRIED.add(
    "a given state kept for the calls that omit it",
    "STA-1 STA-3 CEL-1",
    fix="Use a given state in its own call alone: later calls without a state start from zeros.",
    needs=GIVEN,
    source="keras-team/keras#10965",
)
class _Kept(Deviant):
    def __init__(self) -> None:
        super().__init__()
        self.kept: Call | None = None

    def answer(self, call: Call) -> Answer:
        kept = self.kept
        if call.h_0 is not None:
            self.kept = call
        elif kept is not None and kept.batch == call.batch:
            call = call.replace(h_0=kept.h_0, c_0=kept.c_0)
        return super().answer(call)


# Every order of the places.


def _in_order(order: Callable[[Config], Iterable[int]], *, only: str = "") -> type[Deviant]:
    """Final states in another order of layers and directions; ``only`` h or c."""

    class InOrder(Deviant):
        def answer(self, call: Call) -> Answer:
            answer = super().answer(call)
            places = list(order(call.config))
            h_n = answer.h_n if only == "c" else answer.h_n[places]
            c_n = answer.c_n if answer.c_n is None or only == "h" else answer.c_n[places]
            return replace(answer, h_n=h_n, c_n=c_n)

    return InOrder


def _places(config: Config) -> NDArray[np.int_]:
    """The indices of the states, layers by directions."""
    return np.arange(config.num_states).reshape(config.num_layers, config.num_directions)


CARRIED.add(
    "the directions' initial states swapped",
    "STA-4 LAY-1",
    fix="Start layer k's forward direction from h_0[2 * k] and its reverse one from h_0[2 * k "
    "+ 1]; c_0 likewise.",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.BIDIRECTIONAL),
)(from_place(lambda config, layer, direction: (layer, config.num_directions - 1 - direction)))
CARRIED.add(
    "the layers' initial states shifted by one",
    "STA-4 LAY-1",
    fix="Start layer k from h_0[k * D + d], not from the state of layer k + 1; c_0 likewise. "
    "Layers count from 0.",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: ((layer + 1) % config.num_layers, direction)))
CARRIED.add(
    "the directions' final states swapped", "LAY-1 DIR-3",
fix="Return layer k's forward state at h_n[2 * k] and its reverse one at h_n[2 * k + 1]; "
"c_n likewise.", kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)(_in_order(lambda config: _places(config)[:, ::-1].ravel()))  # fmt: skip
CARRIED.add(
    "the layers' final states shifted by one",
    "LAY-1",
    fix="Return layer k's final state at h_n[k * D + d], where now that of layer k - 1 "
    "stands; c_n likewise. Layers count from 0.",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)(_in_order(lambda config: np.roll(_places(config), 1, axis=0).ravel()))
for which, other in ("hc", "ch"):
    CARRIED.add(
        f"the layers' final states in reverse order, of {which} alone",
        "LAY-1",
        fix=f"Order {which}_n as {other}_n: the state of layer k and direction d is at index "
        "k * D + d, the first layer's first.",
        kinds=[Kind.LSTM],
        needs=[Feature.MULTI_LAYER],
    )(_in_order(lambda config: _places(config)[::-1].ravel(), only=which))
    CARRIED.add(
        f"the directions' final states swapped, of {which} alone",
        "LAY-1",
        fix=f"Order {which}_n as {other}_n: layer k's forward state is at index 2 * k, its reverse "
        "one at 2 * k + 1.",
        kinds=[Kind.LSTM],
        needs=[Feature.BIDIRECTIONAL],
    )(_in_order(lambda config: _places(config)[:, ::-1].ravel(), only=which))


@CARRIED.add(
    "the samples' final states in reverse order",
    "INV-1 CEL-2",
    fix="Return the final states in the batch's order: sample n of h_n (and c_n) belongs to "
    "sample n of the input.",
)
class _SamplesReversed(Deviant):
    def answer(self, call: Call) -> Answer:
        return changed(super().answer(call), lambda state: state[:, ::-1])


@CARRIED.add(
    "the samples' initial states in reverse order",
    "INV-1 STA-4 CEL-2",
    fix="Start sample n of the input from sample n of h_0 (and c_0): read the states in the "
    "batch's order.",
    needs=GIVEN,
)
class _SamplesReversedAtFirst(Deviant):
    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        return h[::-1], c[::-1]
