"""States ignored, mixed up, in another order, lost or kept (STA, LAY-1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.calls import Array, Call
from rnn_conformance.deviations.deviation import (
    ALL,
    COMMON,
    LAYERS,
    LSTMS,
    Chapter,
    Deviant,
)
from rnn_conformance.oracle import Answer, Trace
from rnn_conformance.spec import Config, Feature, Kind

STATES = Chapter[Deviant]()
_GIVEN = (Feature.INITIAL_STATE,)
_STACKED = (Feature.MULTI_LAYER, Feature.BIDIRECTIONAL)


def changed(answer: Answer, change: Callable[[Array], Array]) -> Answer:
    """The same answer with both final states changed alike."""
    c_n = None if answer.c_n is None else change(answer.c_n)
    return replace(answer, h_n=change(answer.h_n), c_n=c_n)


# The initial state.


def starting(start: Callable[[Call, Array, Array], tuple[Array, Array]]) -> type[Deviant]:
    """An oracle that starts from something made of the right ``h`` and ``c``."""

    class Starting(Deviant):
        def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
            return start(call, *super().initial_state(call, layer, direction))

    return Starting


STATES.add(
    "h_0 ignored",
    "STA-2 STA-4 CEL-2",
    fix="Start h from the given h_0, of shape (D * num_layers, N, H_out), or (N, H) in a "
    "cell, instead of zeros.",
    needs=_GIVEN,
    source="tensorflow/tflite-micro#3564",
)(starting(lambda call, h, c: (0.0 * h, c)))
STATES.add(
    "c_0 ignored",
    "STA-2 STA-4 CEL-2",
    fix="Start c from the given c_0, of shape (D * num_layers, N, H), or (N, H) in a cell, "
    "instead of zeros.",
    kinds=LSTMS,
    needs=_GIVEN,
    source="tensorflow/tflite-micro#3564",
)(starting(lambda call, h, c: (h, 0.0 * c)))
STATES.add(
    "both initial states ignored",
    "STA-2 STA-4 CEL-2",
    fix="Start h and c from the given pair (h_0, c_0) instead of zeros.",
    kinds=LSTMS,
    needs=_GIVEN,
    source="ARM-software/CMSIS-NN#219",
)(starting(lambda call, h, c: (0.0 * h, 0.0 * c)))
STATES.add(
    "h_0 and c_0 swapped",
    "STA-4 CEL-2",
    fix="Take the pair in the order (h_0, c_0): TensorFlow 1 and some others have it as (c, h).",
    kinds=LSTMS,
    needs=_GIVEN,
    source="TensorFlow 1, LSTMStateTuple(c, h)",
)(starting(lambda call, h, c: (h, c) if call.config.proj_size else (c, h)))
STATES.add(
    "h_0 in place of c_0",
    "STA-4 CEL-2",
    fix="Start c from c_0, the second of the pair (h_0, c_0), and h from h_0.",
    kinds=LSTMS,
    needs=_GIVEN,
)(starting(lambda call, h, c: (h, c) if call.config.proj_size else (h, h)))
STATES.add(
    "ones for an omitted state",
    "STA-1 CEL-1",
    fix="Start h, and c in LSTM, from zeros where no state is given.",
    source="tmbdev/clstm#67",
)(starting(lambda call, h, c: (h + 1.0, c + 1.0) if call.h_0 is None else (h, c)))
STATES.add(
    "the first sample's initial state for all samples",
    "STA-4 INV-1 CEL-2",
    fix="Start each sample from its own row of h_0 (and c_0): do not broadcast the first sample's.",
    needs=_GIVEN,
)(
    starting(
        lambda call, h, c: (
            (np.zeros_like(h) + h[:1], np.zeros_like(c) + c[:1]) if call.batch else (h, c)
        )
    )
)


def from_place(place: Callable[[Config, int, int], tuple[int, int] | None]) -> type[Deviant]:
    """An oracle that reads each initial state at another place; ``None`` is zeros."""

    class FromPlace(Deviant):
        def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
            read = place(call.config, layer, direction)
            h, c = super().initial_state(call, *(read or (layer, direction)))
            return (h, c) if read else (0.0 * h, 0.0 * c)

    return FromPlace


def _direction_major(config: Config, layer: int, direction: int) -> tuple[int, int]:
    return divmod(direction * config.num_layers + layer, config.num_directions)


STATES.add(
    "initial states read by direction first, by layer second",
    "LAY-1",
    fix="Read the initial state of layer k and direction d at index k * D + d, layer by "
    "layer, and not at d * num_layers + k.",
    kinds=LAYERS,
    needs=(*_GIVEN, *_STACKED),
)(from_place(_direction_major))
STATES.add(
    "the first layer's initial state in every layer",
    "STA-4 LAY-1",
    fix="Start layer k from its own h_0[k * D + d] (and c_0[k * D + d]), d being the "
    "direction, and not from h_0[d].",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: (0, direction)))
STATES.add(
    "the initial state in the first layer only",
    "STA-4 LAY-1",
    fix="Start the layers above the first from the given state too, layer k from h_0[k * D + "
    "d] (and c_0[k * D + d]), and not from zeros.",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: None if layer else (layer, direction)))
STATES.add(
    "the layers' initial states in reverse order",
    "LAY-1",
    fix="Read the initial states from the first layer, which reads the input, to the last: "
    "layer k and direction d have index k * D + d.",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: (config.num_layers - 1 - layer, direction)))
STATES.add(
    "the forward initial state in both directions",
    "STA-4 LAY-1",
    fix="Start the reverse direction of layer k from h_0[2 * k + 1] (and c_0[2 * k + 1]); "
    "h_0[2 * k] is the forward one's.",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.BIDIRECTIONAL),
)(from_place(lambda config, layer, direction: (layer, 0)))
STATES.add(
    "the initial state in the forward direction only",
    "STA-4 LAY-1",
    fix="Start the reverse direction from the given state too, in layer k from h_0[2 * k + 1] "
    "(and c_0[2 * k + 1]), and not from zeros.",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.BIDIRECTIONAL),
)(from_place(lambda config, layer, direction: None if direction else (layer, direction)))


# The final state.


def returning(change: Callable[[Call, Answer], Answer]) -> type[Deviant]:
    """An oracle that changes the states that it returns, and nothing else."""

    class Returning(Deviant):
        def answer(self, call: Call) -> Answer:
            return change(call, super().answer(call))

    return Returning


def _in_direction_major(call: Call, right: Answer) -> Answer:
    places = list(call.config.places())
    order = sorted(range(len(places)), key=lambda index: places[index][::-1])
    return changed(right, lambda state: state[order])


def _swapped(call: Call, right: Answer) -> Answer:
    if call.config.proj_size or right.c_n is None:
        return right
    return replace(right, h_n=right.c_n, c_n=right.h_n)


def _h_for_c(call: Call, right: Answer) -> Answer:
    return right if call.config.proj_size else replace(right, c_n=right.h_n)


def _c_for_h(call: Call, right: Answer) -> Answer:
    if call.config.proj_size or right.c_n is None:
        return right
    return replace(right, h_n=right.c_n)


def _of_step(step: int) -> Callable[[Call, Answer], Answer]:
    """The states after this step of each scan (0: before the first)."""

    def change(call: Call, right: Answer) -> Answer:
        traces = [trace for row in right.traces for trace in row]
        h_n = np.stack([trace.h[step] for trace in traces])
        if right.c_n is None:
            return replace(right, h_n=h_n)
        c_n = np.stack([trace.c[step] for trace in traces if trace.c is not None])
        return replace(right, h_n=h_n, c_n=c_n)

    return change


for name, fix, breaks, kinds, needs, source, change in (
    (
        "final states ordered by direction first, by layer second",
        "Return the final state of layer k and direction d at index k * D + d, layer by "
        "layer, and not at d * num_layers + k.",
        "LAY-1",
        LAYERS,
        _STACKED,
        COMMON,
        _in_direction_major,
    ),
    (
        "the layers' final states in reverse order",
        "Return the final states from the first layer, which reads the input, to the last: "
        "layer k and direction d have index k * D + d.",
        "LAY-1",
        LAYERS,
        (Feature.MULTI_LAYER,),
        COMMON,
        lambda call, right: changed(
            right,
            lambda state: state.reshape(
                call.config.num_layers, call.config.num_directions, *state.shape[1:]
            )[::-1].reshape(state.shape),
        ),
    ),
    (
        "the last layer's final states in every layer's place",
        "Return every layer's own final states: layer k's at h_n[k * D + d], not the last "
        "layer's once more.",
        "LAY-1",
        LAYERS,
        (Feature.MULTI_LAYER,),
        COMMON,
        lambda call, right: changed(
            right,
            lambda state: np.concatenate(
                [state[-call.config.num_directions :]] * call.config.num_layers
            ),
        ),
    ),
    (
        "h_n and c_n swapped",
        "Return the final states in the order (h_n, c_n): first h' = o * tanh(c'), the last "
        "output, then the cell state c'.",
        "STA-4 CEL-1",
        LSTMS,
        (),
        COMMON,
        _swapped,
    ),
    (
        "h_n in place of c_n",
        "Return the cell state c' = f * c + i * g itself as c_n, not the output o * tanh(c') "
        "once more.",
        "STA-4 CEL-1",
        LSTMS,
        (),
        COMMON,
        _h_for_c,
    ),
    (
        "c_n in place of h_n",
        "Return h' = o * tanh(c'), the last output, as h_n, not the cell state once more.",
        "STA-4 CEL-1",
        LSTMS,
        (),
        COMMON,
        _c_for_h,
    ),
    (
        "zeros for the final states",
        "Return the state of each layer and direction after its last step as h_n (and c_n), "
        "not zeros.",
        "STA-2 DIR-3",
        LAYERS,
        (),
        "apple/coremltools#263",
        lambda call, right: changed(right, np.zeros_like),
    ),
    (
        "the initial states for the final ones",
        "Return the state after the last step as h_n (and c_n), not the one that was given: "
        "update it in the loop.",
        "STA-2 DIR-3",
        LAYERS,
        (),
        COMMON,
        _of_step(0),
    ),
    (
        "the first step's states for the final ones",
        "Return the state after each direction's last step, not after its first, as h_n (and c_n).",
        "STA-2 DIR-3",
        LAYERS,
        (),
        COMMON,
        _of_step(1),
    ),
    (
        "the last step but one's states for the final ones",
        "Return the state after the last step as h_n (and c_n): take it after the update, not "
        "before.",
        "STA-2 DIR-3",
        LAYERS,
        (),
        COMMON,
        _of_step(-2),
    ),
):
    STATES.add(name, breaks, fix=fix, kinds=kinds, needs=needs, source=source)(returning(change))


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


STATES.add(
    "every step started from the initial state",
    "STA-2 EQ-1 EQ-2 EQ-3",
    fix="Carry the state from step to step: each step starts from h' (and c') of the step "
    "before, only the first from the initial state.",
    kinds=LAYERS,
    source="tracel-ai/burn#2701",
)(restarting(1))
STATES.add(
    "the state reset every 16 steps",
    "EQ-5",
    fix="Carry the state over the whole sequence: each block of 16 steps starts from the last "
    "state of the block before.",
    kinds=LAYERS,
)(restarting(16))


@STATES.add(
    "c reset at every step",
    "STA-2 EQ-2",
    fix="Carry c from step to step: c' = f * c + i * g, where c is the cell state of the step "
    "before and not zero.",
    kinds=[Kind.LSTM],
)
class _ResetC(Deviant):
    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        return super().lstm_step(gates, 0.0 * c, w_hr)


@STATES.add(
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


@STATES.add(
    "outputs one step late",
    "EQ-1 EQ-2 EQ-3 DIR-3",
    fix="Write h' to the output after computing the step: output[t] is the state after "
    "reading input[t], not before.",
    kinds=LAYERS,
)
class _Late(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        return super().aligned(replace(trace, h=np.roll(trace.h, 1, axis=0)), direction)


@STATES.add(
    "the last call's final state for an omitted initial one",
    "STA-1 STA-3 CEL-1",
    fix="Start from zeros in every call without a state: nothing is kept from call to call "
    "(stateful=False in Keras).",
    kinds=ALL,
    source="tensorflow/tensorflow#47813",
)
class _Stateful(Deviant):
    def __init__(self) -> None:
        self.left: Answer | None = None

    def answer(self, call: Call) -> Answer:
        left = self.left
        if call.h_0 is None and left is not None and left.h_n.shape[1] == call.batch:
            call = replace(call, h_0=left.h_n, c_0=left.c_n)
        self.left = super().answer(call)
        return self.left


@STATES.add(
    "a given state kept for the calls that omit it",
    "STA-1 STA-3 CEL-1",
    fix="Use a given state in its own call alone: later calls without a state start from zeros.",
    needs=_GIVEN,
    source="keras-team/keras#10965",
)
class _Kept(Deviant):
    def __init__(self) -> None:
        self.kept: Call | None = None

    def answer(self, call: Call) -> Answer:
        kept = self.kept
        if call.h_0 is not None:
            self.kept = call
        elif kept is not None and kept.batch == call.batch:
            call = replace(call, h_0=kept.h_0, c_0=kept.c_0)
        return super().answer(call)


# Every order of the places.


def _in_order(order: Callable[[Config], Iterable[int]], *, only: str = "") -> type[Deviant]:
    """Final states in another order of layers and directions; ``only`` h or c."""

    class InOrder(Deviant):
        def answer(self, call: Call) -> Answer:
            right = super().answer(call)
            places = list(order(call.config))
            h_n = right.h_n if only == "c" else right.h_n[places]
            c_n = right.c_n if right.c_n is None or only == "h" else right.c_n[places]
            return replace(right, h_n=h_n, c_n=c_n)

    return InOrder


def _places(config: Config) -> NDArray[np.int_]:
    """The indices of the states, layers by directions."""
    return np.arange(config.num_states).reshape(config.num_layers, config.num_directions)


STATES.add(
    "the directions' initial states swapped",
    "STA-4 LAY-1",
    fix="Start layer k's forward direction from h_0[2 * k] and its reverse one from h_0[2 * k "
    "+ 1]; c_0 likewise.",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.BIDIRECTIONAL),
)(from_place(lambda config, layer, direction: (layer, config.num_directions - 1 - direction)))
STATES.add(
    "the layers' initial states shifted by one",
    "STA-4 LAY-1",
    fix="Start layer k from h_0[k * D + d], not from the state of layer k + 1; c_0 likewise. "
    "Layers count from 0.",
    kinds=LAYERS,
    needs=(*_GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: ((layer + 1) % config.num_layers, direction)))
STATES.add(
    "the directions' final states swapped", "LAY-1 DIR-3",
fix="Return layer k's forward state at h_n[2 * k] and its reverse one at h_n[2 * k + 1]; "
"c_n likewise.", kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)(_in_order(lambda config: _places(config)[:, ::-1].ravel()))  # fmt: skip
STATES.add(
    "the layers' final states shifted by one",
    "LAY-1",
    fix="Return layer k's final state at h_n[k * D + d], where now that of layer k - 1 "
    "stands; c_n likewise. Layers count from 0.",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)(_in_order(lambda config: np.roll(_places(config), 1, axis=0).ravel()))
for which, other in ("hc", "ch"):
    STATES.add(
        f"the layers' final states in reverse order, of {which} alone",
        "LAY-1",
        fix=f"Order {which}_n as {other}_n: the state of layer k and direction d is at index "
        "k * D + d, the first layer's first.",
        kinds=[Kind.LSTM],
        needs=[Feature.MULTI_LAYER],
    )(_in_order(lambda config: _places(config)[::-1].ravel(), only=which))
    STATES.add(
        f"the directions' final states swapped, of {which} alone",
        "LAY-1",
        fix=f"Order {which}_n as {other}_n: layer k's forward state is at index 2 * k, its reverse "
        "one at 2 * k + 1.",
        kinds=[Kind.LSTM],
        needs=[Feature.BIDIRECTIONAL],
    )(_in_order(lambda config: _places(config)[:, ::-1].ravel(), only=which))


@STATES.add(
    "the samples' final states in reverse order",
    "INV-1 CEL-2",
    fix="Return the final states in the batch's order: sample n of h_n (and c_n) belongs to "
    "sample n of the input.",
)
class _SamplesReversed(Deviant):
    def answer(self, call: Call) -> Answer:
        return changed(super().answer(call), lambda state: state[:, ::-1])


@STATES.add(
    "the samples' initial states in reverse order",
    "INV-1 STA-4 CEL-2",
    fix="Start sample n of the input from sample n of h_0 (and c_0): read the states in the "
    "batch's order.",
    needs=_GIVEN,
)
class _SamplesReversedAtFirst(Deviant):
    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        return h[::-1], c[::-1]
