"""Directions mixed up: the reverse half, its order in time, and who reads it (DIR)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature

DIRECTIONS = Chapter[Deviant]()
_BOTH = (Feature.BIDIRECTIONAL,)
_STACKED = (Feature.BIDIRECTIONAL, Feature.MULTI_LAYER)


@DIRECTIONS.add(
    "the reverse direction run forward in time",
    "DIR-2",
    fix="Run the reverse direction backwards: it reads the last step first, and its outputs "
    "are flipped back to the input's time.",
    kinds=LAYERS,
    needs=_BOTH,
    source="onnx/onnx#7935; stanfordmlgroup/nlc#8",
)
class _NotFlipped(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        return self.scan(call, layer, direction, x, call.steps)

    def aligned(self, trace: Trace, direction: int) -> Array:
        return super().aligned(trace, 0)


@DIRECTIONS.add(
    "the reverse outputs not flipped back",
    "DIR-1 DIR-2",
    fix="Flip the reverse direction's outputs back in time before joining them: output[t, :, "
    "H_out:] is its state after reading input[t].",
    kinds=LAYERS,
    needs=_BOTH,
    source="keras-team/keras#1703; VeriSilicon/TIM-VX#520",
)
class _NotFlippedBack(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        output = super().aligned(trace, 0)
        # Own steps first: a sequence that was flipped within its length stays so.
        order = np.argsort(~trace.steps, axis=0, kind="stable")
        return np.take_along_axis(output, order[:, :, None], axis=0)


@DIRECTIONS.add(
    "the reverse input not flipped, its outputs flipped",
    "DIR-1 DIR-2",
    fix="Flip the input of the reverse direction too, not its outputs alone: it reads the "
    "last step first.",
    kinds=LAYERS,
    needs=_BOTH,
    source="onnx/tensorflow-onnx#213",
)
class _FlippedBackOnly(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        return self.scan(call, layer, direction, x, call.steps)


def _rolled(number: int, by: int) -> type[Deviant]:
    """An oracle one direction of which reads each step one further on, around the end."""

    class Rolled(Deviant):
        def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
            if direction == number and call.lengths is None:
                x = np.roll(x, by, axis=0)
            return super().direction(call, layer, direction, x)

    return Rolled


for number, which, needs in ((0, "forward", ()), (1, "reverse", _BOTH)):
    for by, words in ((1, "the step before"), (-1, "the step after")):
        DIRECTIONS.add(
            f"the {which} direction reading {words} the one that is due, around the end",
            "DIR-1 DIR-2 EQ-1 EQ-2 EQ-3" if number else "EQ-1 EQ-2 EQ-3",
            fix=f"Read step t at time t: the {which} direction's index is off by one, and x[-0] is "
            "the first step, not the last.",
            kinds=LAYERS,
            needs=needs,
        )(_rolled(number, by))


@DIRECTIONS.add(
    "samples flipped instead of steps in the reverse direction",
    "DIR-2 INV-1",
    fix="Flip time, not the samples, for the reverse direction: of (L, N, H_in) dimension 0, "
    "of (N, L, H_in) dimension 1.",
    kinds=LAYERS,
    needs=_BOTH,
)
class _SamplesFlipped(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        order = slice(None, None, -1) if direction else slice(None)
        return self.scan(call, layer, direction, x[:, order], call.steps[:, order])

    def aligned(self, trace: Trace, direction: int) -> Array:
        output = super().aligned(trace, 0)
        return output[:, ::-1] if direction else output


@DIRECTIONS.add(
    "the reverse outputs flipped back along the samples instead of the steps",
    "DIR-1 DIR-2 INV-1",
    fix="Flip the reverse direction's outputs back along time: of (L, N, H_out) dimension 0, of "
    "(N, L, H_out) dimension 1, whatever batch_first is.",
    kinds=LAYERS,
    needs=_BOTH,
    source="tensorflow/tensorflow#39635",
)
class _SamplesFlippedBack(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        if not (direction and trace.steps.all()):
            return super().aligned(trace, direction)
        return super().aligned(trace, 0)[:, ::-1]


@DIRECTIONS.add(
    "the reverse outputs one step early",
    "DIR-1 DIR-2",
    fix="Align the reverse half with the input's time: output[t, :, H_out:] is the reverse "
    "state after reading input[t], not input[t + 1].",
    kinds=LAYERS,
    needs=_BOTH,
)
class _Early(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        output = super().aligned(trace, direction)
        return np.roll(output, -1, axis=0) if direction else output


@DIRECTIONS.add(
    "the reverse half first in the output",
    "DIR-1",
    fix="Put the forward half first: output[..., :H_out] is the forward direction's, "
    "output[..., H_out:] the reverse one's.",
    kinds=LAYERS,
    needs=_BOTH,
)
class _Swapped(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        size = call.config.output_size if call.config.bidirectional else 0
        return replace(answer, output=np.roll(answer.output, size, axis=-1))


@DIRECTIONS.add(
    "the directions' features interleaved",
    "DIR-1",
    fix="Concatenate the halves along the last dimension, torch.cat([forward, reverse], "
    "dim=-1), instead of interleaving their features.",
    kinds=LAYERS,
    needs=_BOTH,
    source="pytorch/pytorch#10838",
)
class _Interleaved(Deviant):
    def join(self, halves: Sequence[Array]) -> Array:
        stacked = np.stack(halves, axis=-1)
        return stacked.reshape(*stacked.shape[:-2], stacked.shape[-2] * stacked.shape[-1])


def merged(weight: float) -> type[Deviant]:
    """An oracle whose output is the directions' weighted sum, half as wide as due."""

    class Merged(Deviant):
        def present(self, call: Call, answer: Answer) -> dict[str, Array]:
            given = super().present(call, answer)
            if call.config.bidirectional:
                forward, reverse = np.split(given["output"], 2, axis=-1)
                given["output"] = weight * (forward + reverse)
            return given

    return Merged


for name, weight in {"added": 1.0, "averaged": 0.5}.items():
    DIRECTIONS.add(
        f"the directions {name} instead of concatenated",
        "SHP-1 DIR-1",
        fix="Concatenate the directions' outputs, forward first, to 2 * H_out features; they are "
        f"{name} now. In Keras this is merge_mode='concat'.",
        kinds=LAYERS,
        needs=_BOTH,
        source="Keras Bidirectional, merge_mode",
    )(merged(weight))


def of_direction(forward: int, reverse: int) -> type[Deviant]:
    """An oracle whose directions take the parameters of these."""

    class OfDirection(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            if not call.config.bidirectional:
                return super().weights(call, layer, direction)
            return super().weights(call, layer, reverse if direction else forward)

    return OfDirection


DIRECTIONS.add(
    "the forward parameters in both directions",
    "DIR-2",
    fix="Give the reverse direction its own parameters, those whose names end in _reverse.",
    kinds=LAYERS,
    needs=_BOTH,
    source="Tencent/ncnn#2562",
)(of_direction(0, 0))
DIRECTIONS.add(
    "the directions' parameters swapped",
    "DIR-2",
    fix="Give the forward direction weight_ih_l0, weight_hh_l0 and so on, and the reverse one "
    "the parameters whose names end in _reverse.",
    kinds=LAYERS,
    needs=_BOTH,
)(of_direction(1, 0))


def reading(same: bool) -> type[Deviant]:
    """An oracle in which layers above the first read one half: their own or the forward."""

    class Reading(Deviant):
        def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
            if layer and call.config.bidirectional:
                read = direction if same else 0
                size = call.config.output_size
                half = np.zeros_like(x)
                columns = slice(read * size, (read + 1) * size)
                half[..., columns] = x[..., columns]
                x = half
            return super().direction(call, layer, direction, x)

    return Reading


DIRECTIONS.add(
    "layers that read only the forward half of the one below",
    "DIR-4 LAY-2",
    fix="Hand both halves to the layer above: weight_ih of every layer above the first has 2 "
    "* H_out columns, the forward half's first.",
    kinds=LAYERS,
    needs=_STACKED,
    source="pytorch/pytorch#89357",
)(reading(same=False))
DIRECTIONS.add(
    "layers that read only their own direction's half of the one below",
    "DIR-4 LAY-2",
    fix="Join the directions after every layer: each direction of the next layer reads both "
    "halves, 2 * H_out features. Stacking each direction by itself computes something "
    "else.",
    kinds=LAYERS,
    needs=_STACKED,
    source="TensorFlow 1, bidirectional_dynamic_rnn of a MultiRNNCell",
)(reading(same=True))


@DIRECTIONS.add(
    "the reverse h_n taken from the last step of the output",
    "DIR-3",
    fix="Take the reverse direction's final state from where it ends: output[0, :, H_out:] in "
    "the last layer. At output[-1] it has read one step alone.",
    kinds=LAYERS,
    needs=_BOTH,
)
class _LastStep(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        h_n = answer.h_n.copy()
        for index, (layer, direction) in enumerate(call.config.places()):
            if direction:
                h_n[index] = answer.traces[layer][direction].h[1]
        return replace(answer, h_n=h_n)


@DIRECTIONS.add(
    "the last layer's h_n taken from the last step of the output",
    "DIR-3",
    fix="Take the reverse direction's final state from where it ends: output[0, :, H_out:]. At "
    "output[-1] it has read one step alone.",
    kinds=LAYERS,
    needs=_BOTH,
    source="classifiers that read output[-1]",
)
class _LastOutput(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        if call.lengths is not None:
            return answer
        h_n = answer.h_n.copy()
        h_n[-1] = answer.traces[-1][-1].h[1 if call.config.bidirectional else -1]
        return replace(answer, h_n=h_n)


@DIRECTIONS.add(
    "the forward final states in the reverse slots",
    "DIR-3",
    fix="Return each direction's own final states: h_n[2 * k] is layer k's forward state and "
    "h_n[2 * k + 1] its reverse one; c_n likewise.",
    kinds=LAYERS,
    needs=_BOTH,
    source="tflearn/tflearn#522",
)
class _ForwardStates(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        forward = [layer * call.config.num_directions for layer, _ in call.config.places()]
        return replace(
            answer,
            h_n=answer.h_n[forward],
            c_n=None if answer.c_n is None else answer.c_n[forward],
        )
