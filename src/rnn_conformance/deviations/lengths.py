"""Sequences of different lengths: padding that counts (PCK)."""

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


def cleared(call: Call) -> Call:
    """The call with zeros for what stands in the padding, as unpacking has it."""
    return call.replace(input=np.where(call.steps[:, :, None], call.input, 0.0))


def taking(
    change: Callable[[Sequence[int]], Sequence[int] | None], *, zeros: bool = False
) -> type[Deviant]:
    """An oracle that takes the lengths for others; ``None`` for no padding at all.

    What it reads of the padding is what the caller put there, or ``zeros``.
    """

    class Taking(Deviant):
        def answer(self, call: Call) -> Answer:
            if not call.lengths:
                return super().answer(call)
            taken = change(call.lengths)
            call = cleared(call) if zeros else call
            return super().answer(call.replace(lengths=None if taken is None else tuple(taken)))

    return Taking


OVER_ZEROS = "{}, the padding being zeros"
"""What reads the padding of a packed sequence reads what unpacking has put there."""

OVER_STATES = "{}, the padding being zeros and, above, the states held below"
"""What is masked holds its state over the padding, and hands on what it holds."""


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
    if name in (
        "lengths ignored",
        "lengths one too long",
        "lengths taken to be sorted, longest first",
    ):
        # Those which read no padding are what they are without zeros.
        LENGTHS.add(
            OVER_ZEROS.format(name), breaks, fix=fix, kinds=LAYERS, needs=_PACKED, source=source
        )(taking(change, zeros=True))


def padded(
    padded: Callable[[int, int], bool], *, zeros: bool = False, states: bool = False
) -> type[Deviant]:
    """An oracle that runs over the padding in these layers and directions.

    What it reads there is what stands there, or ``zeros``; or, with ``states``, zeros in the input
    and in layers above the states that the one below held there.
    """

    class Padded(Deviant):
        def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
            if padded(layer, direction):
                clear = zeros or (states and not layer)
                x = np.where(call.steps[:, :, None], x, 0.0) if clear else x
                call = call.replace(lengths=None)
            return super().direction(call, layer, direction, x)

        def aligned(self, trace: Trace, direction: int) -> Array:
            if not states:
                return super().aligned(trace, direction)
            return trace.h[1:][::-1] if direction else trace.h[1:]

    return Padded


for name, breaks, fix, needs, source, where in (
    (
        "the reverse direction started at the padded end",
        "PCK-2 PCK-4",
        "Start the reverse direction at each sequence's own last step, length - 1, with the "
        "initial state: flip each sequence within its own length.",
        _REVERSE,
        "onnx/onnx-tensorflow#342",
        lambda layer, direction: bool(direction),
    ),
    (
        "the forward direction run on over the padding",
        "PCK-2 PCK-3",
        "Hold the forward direction's state still once a sequence is over: its final state is "
        "that of its last own step, and its output is zero after it.",
        _PACKED,
        "common mistake",
        lambda layer, direction: not direction,
    ),
    (
        "layers above the first run over the padding",
        "PCK-2 PCK-3",
        "Apply the lengths in every layer and not in the first alone: the state stands still "
        "in the padding of the layers above, too.",
        (*_PACKED, Feature.MULTI_LAYER),
        "common mistake",
        lambda layer, direction: layer > 0,
    ),
    (
        "layers above the first started at the padded end in the reverse direction",
        "PCK-2 PCK-4",
        "Start the reverse direction at each sequence's own last step in every layer, not in "
        "the first alone: in the padding its state stands still.",
        (*_REVERSE, Feature.MULTI_LAYER),
        "common mistake",
        lambda layer, direction: layer > 0 and bool(direction),
    ),
    (
        "the first layer run over the padding",
        "PCK-2 PCK-3",
        "Apply the lengths in the first layer, too: its state stands still once a sequence is "
        "over, and its output is zero there.",
        _PACKED,
        "common mistake",
        lambda layer, direction: layer == 0,
    ),
    (
        "every layer and direction but the first of all run over the padding",
        "PCK-2 PCK-3",
        "Apply the lengths in every layer and direction: so far, the first layer's forward "
        "direction alone heeds them.",
        _PACKED,
        "common mistake",
        lambda layer, direction: layer + direction > 0,
    ),
):
    for words, zeros, states in (
        ("{}", False, False),
        (OVER_ZEROS, True, False),
        (OVER_STATES, False, True),
    ):
        if states and name == "the first layer run over the padding":
            # Nothing above reads what stands in the padding.
            continue
        LENGTHS.add(words.format(name), breaks, fix=fix, kinds=LAYERS, needs=needs, source=source)(
            padded(where, zeros=zeros, states=states)
        )


@LENGTHS.add(
    "zeros for the final states of shorter sequences",
    "PCK-2 PCK-3",
    fix="Return each sequence's state after its own last step as its final state, not what "
    "stands at the end of the padded output.",
    kinds=LAYERS,
    needs=_PACKED,
    source="keras-team/keras#17596",
)
class _Zeroed(Deviant):
    def answer(self, call: Call) -> Answer:
        over = np.array([length < call.length for length in call.lengths or ()])
        if not over.size:
            return super().answer(call)
        return changed(super().answer(call), lambda state: np.where(over[:, None], 0.0, state))


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


def held(*, h: bool, c: bool, zeros: bool = False) -> type[Deviant]:
    """An oracle that goes on over the padding, or ``zeros``, with ``h`` or ``c`` alone."""

    class Held(Deviant):
        def scan(
            self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
        ) -> Trace:
            trace = super().scan(call, layer, direction, x, steps)
            x = np.where(steps[:, :, None], x, 0.0) if zeros else x
            over = super().scan(call, layer, direction, x, np.ones_like(steps))
            return replace(
                trace,
                h=trace.h if h else over.h,
                c=trace.c if c else over.c,
            )

    return Held


for name, fix, h in (
    (
        "c run on over the padding, but not h",
        "Hold c still, like h, once a sequence is over: c_n is the cell state after its last own "
        "step.",
        True,
    ),
    (
        "h run on over the padding, but not c",
        "Hold h still, like c, once a sequence is over: h_n is the state after its last own step, "
        "and the output is zero after it.",
        False,
    ),
):
    for words, zeros in (("{}", False), (OVER_ZEROS, True)):
        LENGTHS.add(words.format(name), "PCK-2 PCK-3", fix=fix, kinds=[Kind.LSTM], needs=_PACKED)(
            held(h=h, c=not h, zeros=zeros)
        )


@LENGTHS.add(
    "c run on over the padding with h held",
    "PCK-2 PCK-3",
    fix="Hold c still, like h, once a sequence is over: c_n is the cell state after its last own "
    "step.",
    kinds=[Kind.LSTM],
    needs=_PACKED,
)
class _CellAlone(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        trace = super().scan(call, layer, direction, x, steps)
        assert trace.c is not None
        c, before = trace.c.copy(), steps[:1] & False
        before = np.concatenate([before, np.cumsum(steps, axis=0)[:-1] > 0])
        side = self.input_side(trace.weights, np.where(steps[:, :, None], x, 0.0))
        for t in range(len(x)):
            _, _, _, after = self.step(call.config, trace.weights, side[t], trace.h[t], c[t])
            over = (before[t] & ~steps[t])[:, None]
            c[t + 1] = np.where(over, after, c[t + 1])
        return replace(trace, c=c)


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
