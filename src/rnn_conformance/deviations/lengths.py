"""Sequences of different lengths: padding that counts, samples in the wrong order (PCK)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.deviations.states import changed
from rnn_conformance.reference.oracle import Answer, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind

LENGTHS = Chapter[Deviant]()
_PACKED = (Feature.PACKED,)
_REVERSE = (Feature.PACKED, Feature.BIDIRECTIONAL)


def longest_first(call: Call) -> list[int]:
    """The samples in the order of a packed sequence: ``sorted_indices``."""
    if call.lengths is None:
        return list(range(call.batch))
    return sorted(range(call.batch), key=lambda sample: -(call.lengths or ())[sample])


def taking(change: Callable[[Sequence[int]], Sequence[int] | None]) -> type[Deviant]:
    """An oracle that takes the lengths for others; ``None`` for no padding at all."""

    class Taking(Deviant):
        def answer(self, call: Call) -> Answer:
            if not call.lengths:
                return super().answer(call)
            taken = change(call.lengths)
            return super().answer(call.replace(lengths=None if taken is None else tuple(taken)))

    return Taking


for name, fix, breaks, source, change in (
    (
        "lengths ignored",
        "Stop each sequence at its own length (sequence_lens in ONNX): its final state is "
        "that of its last own step, and its output is zero after it.",
        "PCK-2 PCK-3",
        "tensorflow/tensorflow#45035",
        lambda lengths: None,
    ),
    (
        "lengths taken to be sorted, longest first",
        "Let each sequence keep its own length: the caller's order need not be the longest "
        "first, so reorder samples and lengths together.",
        "PCK-2 PCK-3",
        "microsoft/onnxruntime#1400",
        lambda lengths: sorted(lengths, reverse=True),
    ),
    (
        "every sequence cut to the shortest",
        "Run each sequence to its own length, not to the shortest in the batch.",
        "PCK-2 PCK-3",
        "common mistake",
        lambda lengths: [min(lengths)] * len(lengths),
    ),
    (
        "lengths one too short",
        "Run each sequence's own steps from 0 to its length - 1: the last of them is left out.",
        "PCK-2 PCK-3",
        "common mistake",
        lambda lengths: [max(1, length - 1) for length in lengths],
    ),
    (
        "lengths one too long",
        "Stop each sequence after step length - 1: the step after it is padding and must not "
        "change its state.",
        "PCK-2 PCK-3 PCK-5",
        "common mistake",
        lambda lengths: [min(max(lengths), length + 1) for length in lengths],
    ),
):
    LENGTHS.add(name, breaks, fix=fix, kinds=LAYERS, needs=_PACKED, source=source)(taking(change))


def padded(padded: Callable[[int, int], bool]) -> type[Deviant]:
    """An oracle that runs over the padding in these layers and directions."""

    class Padded(Deviant):
        def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
            if padded(layer, direction):
                call = call.replace(lengths=None)
            return super().direction(call, layer, direction, x)

    return Padded


LENGTHS.add(
    "the reverse direction started at the padded end",
    "PCK-2 PCK-4",
    fix="Start the reverse direction at each sequence's own last step, length - 1, with the "
    "initial state: flip each sequence within its own length.",
    kinds=LAYERS,
    needs=_REVERSE,
    source="onnx/onnx-tensorflow#342",
)(padded(lambda layer, direction: bool(direction)))
LENGTHS.add(
    "the forward direction run on over the padding",
    "PCK-2 PCK-3",
    fix="Hold the forward direction's state still once a sequence is over: its final state is "
    "that of its last own step, and its output is zero after it.",
    kinds=LAYERS,
    needs=_PACKED,
)(padded(lambda layer, direction: not direction))
LENGTHS.add(
    "layers above the first run over the padding",
    "PCK-2 PCK-3",
    fix="Apply the lengths in every layer and not in the first alone: the state stands still "
    "in the padding of the layers above, too.",
    kinds=LAYERS,
    needs=(*_PACKED, Feature.MULTI_LAYER),
)(padded(lambda layer, direction: layer > 0))


def _zeroed(call: Call, answer: Answer) -> Answer:
    over = np.array([length < call.length for length in call.lengths or ()])
    return changed(answer, lambda state: np.where(over[:, None], 0.0, state))


def _sorted_all(call: Call, answer: Answer) -> Answer:
    order = longest_first(call)
    moved = changed(answer, lambda state: state[:, order])
    return replace(moved, output=answer.output[:, order])


def _sorted_states(call: Call, answer: Answer) -> Answer:
    return changed(answer, lambda state: state[:, longest_first(call)])


def _sorted_output(call: Call, answer: Answer) -> Answer:
    return replace(answer, output=answer.output[:, longest_first(call)])


def _sorted_twice(call: Call, answer: Answer) -> Answer:
    order = longest_first(call)
    return changed(answer, lambda state: state[:, order][:, order])


def _in_place(call: Call, answer: Answer) -> Answer:
    order = longest_first(call)

    def unsorted(state: Array) -> Array:
        state = state[:, order]
        for position, sample in enumerate(order):
            state[:, sample] = state[:, position]
        return state

    return changed(answer, unsorted)


for name, fix, breaks, source, change_answer in (
    (
        "zeros for the final states of shorter sequences",
        "Return each sequence's state after its own last step as its final state, not what "
        "stands at the end of the padded output.",
        "PCK-2 PCK-3",
        "keras-team/keras#17596",
        _zeroed,
    ),
    (
        "results left in sorted order",
        "Undo the sorting by length in output and final states: return the input's "
        "sorted_indices and unsorted_indices with the packed output, and h_n[:, "
        "unsorted_indices].",
        "PCK-2 PCK-3",
        "pytorch/pytorch#32605",
        _sorted_all,
    ),
    (
        "final states left in sorted order",
        "Return the final states in the caller's order: h_n[:, unsorted_indices] (and c_n "
        "likewise).",
        "PCK-2 PCK-3",
        "common mistake",
        _sorted_states,
    ),
    (
        "outputs left in sorted order",
        "Return the packed output with the input's sorted_indices and unsorted_indices, by "
        "which pad_packed_sequence restores the caller's order.",
        "PCK-2",
        "common mistake",
        _sorted_output,
    ),
    (
        "final states sorted once more instead of unsorted",
        "Undo the sorting of the final states with unsorted_indices, the inverse permutation, "
        "h_n[:, unsorted_indices]: sorted_indices a second time does not undo it.",
        "PCK-2 PCK-3",
        "common mistake",
        _sorted_twice,
    ),
    (
        "final states unsorted in place, overwriting one another",
        "Write the final states into new memory when their order is restored, as h_n[:, "
        "unsorted_indices] does: in place, a sample is overwritten before it is read.",
        "PCK-2 PCK-3",
        "mead-ml/mead-baseline#677",
        _in_place,
    ),
):

    def _answering(change: Callable[[Call, Answer], Answer]) -> type[Deviant]:
        class Answering(Deviant):
            def answer(self, call: Call) -> Answer:
                answer = super().answer(call)
                return answer if call.lengths is None else change(call, answer)

        return Answering

    LENGTHS.add(name, breaks, fix=fix, kinds=LAYERS, needs=_PACKED, source=source)(
        _answering(change_answer)
    )


@LENGTHS.add(
    "initial states read in sorted order",
    "PCK-3",
    fix="Start sample n from its own h_0[:, n] (and c_0): permute the states with "
    "sorted_indices once if the samples are sorted by length, and not at all if they are "
    "not.",
    kinds=LAYERS,
    needs=(*_PACKED, Feature.INITIAL_STATE),
)
class _SortedStart(Deviant):
    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        order = longest_first(call)
        return h[order], c[order]


@LENGTHS.add(
    "packed data read sample by sample instead of step by step",
    "PCK-2 PCK-6",
    fix="Read packed data step by step: the first batch_sizes[0] rows are the first step of "
    "every sequence, the next batch_sizes[1] rows the second, and so on.",
    kinds=LAYERS,
    needs=_PACKED,
    source="pytorch/pytorch#95118",
)
class _SampleMajor(Deviant):
    def answer(self, call: Call) -> Answer:
        if call.lengths is None:
            return super().answer(call)
        order = longest_first(call)
        packed = call.input[:, order][call.steps[:, order]]
        data = call.input.copy()
        start = 0
        for sample in order:
            length = call.lengths[sample]
            data[:length, sample] = packed[start : start + length]
            start += length
        return super().answer(call.replace(input=data))


@LENGTHS.add(
    "padding masked by multiplying, which lets NaN through",
    "PCK-5",
    fix="Mask the padding by selecting, where(step, new, old), not by multiplying by 0 and 1: "
    "0 * NaN is NaN.",
    kinds=LAYERS,
    needs=_PACKED,
)
class _Multiplied(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        trace = super().scan(call, layer, direction, x, steps)
        masked = 0.0 * np.where(steps[:, :, None], 0.0, x).sum(axis=-1, keepdims=True)
        h = trace.h.copy()
        h[1:] += np.cumsum(masked, axis=0)
        return replace(trace, h=h)


# Every other place where the padding can leak.


LENGTHS.add(
    "layers above the first started at the padded end in the reverse direction",
    "PCK-2 PCK-4",
    fix="Start the reverse direction at each sequence's own last step in every layer, not in "
    "the first alone: in the padding its state stands still.",
    kinds=LAYERS,
    needs=(*_REVERSE, Feature.MULTI_LAYER),
)(padded(lambda layer, direction: layer > 0 and bool(direction)))
LENGTHS.add(
    "the first layer run over the padding",
    "PCK-2 PCK-3",
    fix="Apply the lengths in the first layer, too: its state stands still once a sequence is "
    "over, and its output is zero there.",
    kinds=LAYERS,
    needs=_PACKED,
)(padded(lambda layer, direction: layer == 0))
LENGTHS.add(
    "every layer and direction but the first of all run over the padding",
    "PCK-2 PCK-3",
    fix="Apply the lengths in every layer and direction: so far, the first layer's forward "
    "direction alone heeds them.",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)(padded(lambda layer, direction: layer + direction > 0))


def held(*, h: bool, c: bool) -> type[Deviant]:
    """An oracle that goes on over the padding with ``h`` or ``c`` alone."""

    class Held(Deviant):
        def scan(
            self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
        ) -> Trace:
            trace = super().scan(call, layer, direction, x, steps)
            over = super().scan(call, layer, direction, x, np.ones_like(steps))
            return replace(
                trace,
                h=trace.h if h else over.h,
                c=trace.c if c else over.c,
            )

    return Held


LENGTHS.add(
    "c run on over the padding, but not h",
    "PCK-2 PCK-3",
    fix="Hold c still, like h, once a sequence is over: c_n is the cell state after its last "
    "own step.",
    kinds=[Kind.LSTM],
    needs=_PACKED,
)(held(h=True, c=False))
LENGTHS.add(
    "h run on over the padding, but not c",
    "PCK-2 PCK-3",
    fix="Hold h still, like c, once a sequence is over: h_n is the state after its last own "
    "step, and the output is zero after it.",
    kinds=[Kind.LSTM],
    needs=_PACKED,
)(held(h=False, c=True))


@LENGTHS.add(
    "the last step's input read on in the padding",
    "PCK-2 PCK-3",
    fix="Stop each sequence at its own length: filling the padding with its last input and "
    "running on changes its state.",
    kinds=LAYERS,
    needs=_PACKED,
)
class _ReadsOn(Deviant):
    def answer(self, call: Call) -> Answer:
        if call.lengths is None:
            return super().answer(call)
        data = call.input.copy()
        for sample, length in enumerate(call.lengths):
            data[length:, sample] = data[length - 1, sample]
        return super().answer(call.replace(input=data, lengths=None))


@LENGTHS.add(
    "what stands in the padding added to the step before it",
    "PCK-5",
    fix="Read a sequence's own steps alone: what stands behind its last step, at t = length, "
    "must not enter that step.",
    kinds=LAYERS,
    needs=_PACKED,
)
class _Blurred(Deviant):
    def answer(self, call: Call) -> Answer:
        if call.lengths is None:
            return super().answer(call)
        data = call.input.copy()
        for sample, length in enumerate(call.lengths):
            if length < call.length:
                data[length - 1, sample] += data[length, sample]
        return super().answer(call.replace(input=data))
