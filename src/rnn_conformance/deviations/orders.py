"""Samples put into another order than they are due in: sorted by length, or as given (PCK-3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.deviations.states import changed
from rnn_conformance.reference.oracle import Answer
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind

ORDERS = Chapter[Deviant]()
_PACKED = (Feature.PACKED,)


def longest_first(call: Call) -> list[int]:
    """The samples in the order of a packed sequence: ``sorted_indices``."""
    if call.lengths is None:
        return list(range(call.batch))
    return sorted(range(call.batch), key=lambda sample: -(call.lengths or ())[sample])


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


def _gathered(order: Sequence[int]) -> list[int]:
    """Which rows stand there after ``row[i] = row[order[i]]``, one after the other."""
    rows = list(range(len(order)))
    for position, source in enumerate(order):
        rows[position] = rows[source]
    return rows


def _gathered_in_place(call: Call, answer: Answer) -> Answer:
    order = longest_first(call)
    moved = _gathered([order.index(sample) for sample in range(call.batch)])
    return changed(answer, lambda state: state[:, order][:, moved])


for name, fix, breaks, source, change_answer in (
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
    (
        "final states unsorted in place, reading what was overwritten",
        "Write the final states into new memory when their order is restored, as h_n[:, "
        "unsorted_indices] does: in place, a row is read after another was written over it.",
        "PCK-2 PCK-3",
        "mead-ml/mead-baseline#677",
        _gathered_in_place,
    ),
):

    def _answering(change: Callable[[Call, Answer], Answer]) -> type[Deviant]:
        class Answering(Deviant):
            def answer(self, call: Call) -> Answer:
                answer = super().answer(call)
                return answer if call.lengths is None else change(call, answer)

        return Answering

    ORDERS.add(name, breaks, fix=fix, kinds=LAYERS, needs=_PACKED, source=source)(
        _answering(change_answer)
    )


def _begun(states: str, order: Callable[[Call], NDArray[np.int_]]) -> type[Deviant]:
    """An oracle that gives each sample another's ``h``, ``c`` or both to begin with."""

    class Begun(Deviant):
        def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
            h, c = super().initial_state(call, layer, direction)
            moved = order(call)
            return h[moved] if "h" in states else h, c[moved] if "c" in states else c

    return Begun


def _ended(states: str, order: Callable[[Call], NDArray[np.int_]]) -> type[Deviant]:
    """An oracle that returns each sample another's ``h_n``, ``c_n`` or both."""

    class Ended(Deviant):
        def answer(self, call: Call) -> Answer:
            answer, moved = super().answer(call), order(call)
            c_n = answer.c_n
            return replace(
                answer,
                h_n=answer.h_n[:, moved] if "h" in states else answer.h_n,
                c_n=c_n[:, moved] if c_n is not None and "c" in states else c_n,
            )

    return Ended


def _sorted(call: Call) -> NDArray[np.int_]:
    return np.array(longest_first(call), dtype=int)


def _unsorted(call: Call) -> NDArray[np.int_]:
    return np.argsort(_sorted(call))


def _sorted_in_place(call: Call) -> NDArray[np.int_]:
    order = _sorted(call)
    return np.array(_gathered(list(order)), dtype=int)[_unsorted(call)]


def _unsorted_twice(call: Call) -> NDArray[np.int_]:
    return _unsorted(call)[_unsorted(call)]


def _twice(call: Call) -> NDArray[np.int_]:
    return _sorted(call)[_sorted(call)]


_MOVED = (*_PACKED, Feature.INITIAL_STATE)

for states, begin, end, kinds in (
    ("hc", "initial states", "final states", LAYERS),
    ("h", "h_0, not c_0,", "h_n, not c_n,", [Kind.LSTM]),
    ("c", "c_0, not h_0,", "c_n, not h_n,", [Kind.LSTM]),
):
    ORDERS.add(
        f"{begin} read in sorted order",
        "PCK-3",
        fix="Start sample n from its own h_0[:, n] (and c_0): permute the states with "
        "sorted_indices once if the samples are sorted by length, and not at all if they are "
        "not.",
        kinds=kinds,
        needs=_MOVED,
    )(_begun(states, _sorted))
    ORDERS.add(
        f"{begin} not put into the order in which the samples are sorted",
        "PCK-3",
        fix="Sort the states as the samples are sorted: with packed data, which has the longest "
        "first, h_0[:, sorted_indices] (and c_0) are the states that they begin with.",
        kinds=kinds,
        needs=_MOVED,
    )(_begun(states, _unsorted))
    ORDERS.add(
        f"{begin} permuted by unsorted_indices instead of sorted_indices",
        "PCK-3",
        fix="Permute h_0 (and c_0) with sorted_indices, as the samples are; unsorted_indices puts "
        "the final states back.",
        kinds=kinds,
        needs=_MOVED,
    )(_begun(states, _unsorted_twice))
    ORDERS.add(
        f"{begin} sorted in place, reading what was overwritten",
        "PCK-3",
        fix="Write the initial states into new memory when they are sorted, as h_0[:, "
        "sorted_indices] does: in place, a row is read after another was written over it.",
        kinds=kinds,
        needs=_MOVED,
    )(_begun(states, _sorted_in_place))
    if states != "hc":
        ORDERS.add(
            f"{end} sorted once more instead of unsorted",
            "PCK-2 PCK-3",
            fix="Return both final states in the caller's order: h_n[:, unsorted_indices] and "
            "c_n[:, unsorted_indices], not with sorted_indices.",
            kinds=kinds,
            needs=_PACKED,
        )(_ended(states, _twice))
        ORDERS.add(
            f"{end} left in sorted order",
            "PCK-2 PCK-3",
            fix="Return both final states in the caller's order: h_n[:, unsorted_indices] and "
            "c_n[:, unsorted_indices].",
            kinds=kinds,
            needs=_PACKED,
        )(_ended(states, _sorted))


@ORDERS.add(
    "sequences that begin later in the reverse direction started from the first ones' states",
    "PCK-3 PCK-4",
    fix="Where sequences begin at a later step of the reverse direction, start each from its own "
    "row of h_0 (and c_0), from where those that run already end, not from row 0 on.",
    kinds=LAYERS,
    needs=(*_MOVED, Feature.BIDIRECTIONAL),
)
class _FromTheFirst(Deviant):
    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        if call.lengths is None or not direction:
            return h, c
        order = longest_first(call)
        lengths = [call.lengths[sample] for sample in order]
        moved = np.empty(call.batch, dtype=int)
        for position, sample in enumerate(order):
            moved[sample] = order[position - lengths.index(lengths[position])]
        return h[moved], c[moved]


@ORDERS.add(
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
