"""States ignored, mixed up, in another order, lost or kept (STA, LAY-1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import LSTMS, Chapter, Deviant
from rnn_conformance.reference.oracle import Answer
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config, Feature

STATES = Chapter[Deviant]()
GIVEN = (Feature.INITIAL_STATE,)
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
    needs=GIVEN,
    source="tensorflow/tflite-micro#3564",
)(starting(lambda call, h, c: (0.0 * h, c)))
STATES.add(
    "c_0 ignored",
    "STA-2 STA-4 CEL-2",
    fix="Start c from the given c_0, of shape (D * num_layers, N, H), or (N, H) in a cell, "
    "instead of zeros.",
    kinds=LSTMS,
    needs=GIVEN,
    source="tensorflow/tflite-micro#3564",
)(starting(lambda call, h, c: (h, 0.0 * c)))
STATES.add(
    "both initial states ignored",
    "STA-2 STA-4 CEL-2",
    fix="Start h and c from the given pair (h_0, c_0) instead of zeros.",
    kinds=LSTMS,
    needs=GIVEN,
    source="ARM-software/CMSIS-NN#219",
)(starting(lambda call, h, c: (0.0 * h, 0.0 * c)))
STATES.add(
    "h_0 and c_0 swapped",
    "STA-4 CEL-2",
    fix="Take the pair in the order (h_0, c_0): TensorFlow 1 and some others have it as (c, h).",
    kinds=LSTMS,
    needs=GIVEN,
    source="TensorFlow 1, LSTMStateTuple(c, h)",
)(starting(lambda call, h, c: (h, c) if call.config.proj_size else (c, h)))
STATES.add(
    "h_0 in place of c_0",
    "STA-4 CEL-2",
    fix="Start c from c_0, the second of the pair (h_0, c_0), and h from h_0.",
    kinds=LSTMS,
    needs=GIVEN,
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
    needs=GIVEN,
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
    needs=(*GIVEN, *_STACKED),
)(from_place(_direction_major))
STATES.add(
    "the first layer's initial state in every layer",
    "STA-4 LAY-1",
    fix="Start layer k from its own h_0[k * D + d] (and c_0[k * D + d]), d being the "
    "direction, and not from h_0[d].",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: (0, direction)))
STATES.add(
    "the initial state in the first layer only",
    "STA-4 LAY-1",
    fix="Start the layers above the first from the given state too, layer k from h_0[k * D + "
    "d] (and c_0[k * D + d]), and not from zeros.",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: None if layer else (layer, direction)))
STATES.add(
    "the layers' initial states in reverse order",
    "LAY-1",
    fix="Read the initial states from the first layer, which reads the input, to the last: "
    "layer k and direction d have index k * D + d.",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.MULTI_LAYER),
)(from_place(lambda config, layer, direction: (config.num_layers - 1 - layer, direction)))
STATES.add(
    "the forward initial state in both directions",
    "STA-4 LAY-1",
    fix="Start the reverse direction of layer k from h_0[2 * k + 1] (and c_0[2 * k + 1]); "
    "h_0[2 * k] is the forward one's.",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.BIDIRECTIONAL),
)(from_place(lambda config, layer, direction: (layer, 0)))
STATES.add(
    "the initial state in the forward direction only",
    "STA-4 LAY-1",
    fix="Start the reverse direction from the given state too, in layer k from h_0[2 * k + 1] "
    "(and c_0[2 * k + 1]), and not from zeros.",
    kinds=LAYERS,
    needs=(*GIVEN, Feature.BIDIRECTIONAL),
)(from_place(lambda config, layer, direction: None if direction else (layer, direction)))


# The final state.


def returning(change: Callable[[Call, Answer], Answer]) -> type[Deviant]:
    """An oracle that changes the states that it returns, and nothing else."""

    class Returning(Deviant):
        def answer(self, call: Call) -> Answer:
            return change(call, super().answer(call))

    return Returning


def _in_direction_major(call: Call, answer: Answer) -> Answer:
    places = list(call.config.places())
    order = sorted(range(len(places)), key=lambda index: places[index][::-1])
    return changed(answer, lambda state: state[order])


def _swapped(call: Call, answer: Answer) -> Answer:
    if call.config.proj_size or answer.c_n is None:
        return answer
    return replace(answer, h_n=answer.c_n, c_n=answer.h_n)


def _h_for_c(call: Call, answer: Answer) -> Answer:
    # With a projection it has the size of the one that it is.
    return replace(answer, c_n=answer.h_n)


def _c_for_h(call: Call, answer: Answer) -> Answer:
    return answer if answer.c_n is None else replace(answer, h_n=answer.c_n)


def _of_step(step: int) -> Callable[[Call, Answer], Answer]:
    """The states after this step of each scan (0: before the first)."""

    def change(call: Call, answer: Answer) -> Answer:
        traces = [trace for row in answer.traces for trace in row]
        h_n = np.stack([trace.h[step] for trace in traces])
        if answer.c_n is None:
            return replace(answer, h_n=h_n)
        c_n = np.stack([trace.c[step] for trace in traces if trace.c is not None])
        return replace(answer, h_n=h_n, c_n=c_n)

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
        lambda call, answer: changed(
            answer,
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
        lambda call, answer: changed(
            answer,
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
        lambda call, answer: changed(answer, np.zeros_like),
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
