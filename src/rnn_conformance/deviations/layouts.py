"""Right values in the wrong place: axes swapped, missing or too many (SHP, BF)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Answer
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import ALL, LAYERS
from rnn_conformance.spec.config import Feature, Kind

LAYOUTS = Chapter[Deviant]()
_BATCH_FIRST = (Feature.BATCH_FIRST,)


def batch_first(call: Call) -> bool:
    """Whether ``batch_first`` has an effect on this call (SHP-1, BF-3)."""
    return call.config.batch_first and not call.unbatched


@LAYOUTS.add(
    "batch_first ignored",
    "BF-1 SHP-2",
    fix="Read the input as (N, L, H_in) where batch_first=True, and return the output as (N, "
    "L, D * H_out): swap their first two dimensions on the way in and out.",
    kinds=LAYERS,
    needs=_BATCH_FIRST,
)
class _Ignored(Deviant):
    def answer(self, call: Call) -> Answer:
        if not batch_first(call) or call.lengths is not None or not call.batch:
            return super().answer(call)
        turned = call.replace(input=call.input.swapaxes(0, 1), h_0=None, c_0=None)
        wrong = super().answer(turned)
        return replace(wrong, output=wrong.output.swapaxes(0, 1))


def presenting(change: Callable[[Call, dict[str, Array]], dict[str, Array]]) -> type[Deviant]:
    """An oracle that changes what it hands over; ``change`` gives the arrays that differ."""

    class Presenting(Deviant):
        def present(self, call: Call, answer: Answer) -> dict[str, Array]:
            given = super().present(call, answer)
            return {**given, **change(call, given)}

    return Presenting


def _states(
    call: Call, given: dict[str, Array], change: Callable[[Array], Array]
) -> dict[str, Array]:
    return {name: change(given[name]) for name in call.results if name != "output"}


def _moved_states(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    if not batch_first(call):
        return {}
    return _states(call, given, lambda state: state.swapaxes(0, 1))


def _reshaped_states(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    if not batch_first(call):
        return {}
    # The memory is batch-first, the shape is not.
    return _states(call, given, lambda state: state.swapaxes(0, 1).reshape(state.shape))


def _time_major(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    return {"output": given["output"].swapaxes(0, 1)} if batch_first(call) else {}


def _reshaped(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    output = given["output"]
    return {"output": output.swapaxes(0, 1).reshape(output.shape)} if batch_first(call) else {}


def _one_axis(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    return (
        {} if call.unbatched else {"output": given["output"].reshape(-1, *call.shape("output")[2:])}
    )


def _flat_samples(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    if not batch_first(call):
        return {}
    length, batch, features = call.shape("output")
    return {"output": given["output"].reshape(batch, length * features)}


def _batched(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    return {"output": given["output"][:, None]} if call.unbatched else {}


def _batched_states(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    if not call.unbatched:
        return {}
    return _states(call, given, lambda state: np.expand_dims(state, -2))


def _last_step(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    return {"output": call.give("output", call.take("output", given["output"])[-1:])}


def _last_layer(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    return _states(call, given, lambda state: state[-call.config.num_directions :])


def _no_layer_axis(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    if call.config.num_states > 1:
        return {}
    return _states(call, given, lambda state: state[0])


def _some_sample(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    if call.batch:
        return {}
    shapes = {name: (*call.shape(name)[:1], 1, *call.shape(name)[2:]) for name in given}
    return {name: call.give(name, np.zeros(shape)) for name, shape in shapes.items()}


def _transposed_cell(call: Call, given: dict[str, Array]) -> dict[str, Array]:
    return _states(call, given, np.transpose)


for name, fix, breaks, kinds, needs, source, change in (
    (
        "output left in the order steps, samples although batch_first",
        "Swap the first two dimensions of the output where batch_first=True: it is (N, L, D * "
        "H_out), as the input is (N, L, H_in).",
        "BF-1 SHP-1",
        LAYERS,
        _BATCH_FIRST,
        "pytorch/pytorch#80306",
        _time_major,
    ),
    (
        "output reshaped to batch_first instead of transposed",
        "Turn the output from (L, N, D * H_out) to (N, L, D * H_out) by transpose(0, 1): a "
        "reshape leaves the elements in the old order and mixes samples with steps.",
        "BF-1",
        LAYERS,
        _BATCH_FIRST,
        COMMON,
        _reshaped,
    ),
    (
        "final states with the samples first under batch_first",
        "Return h_n and c_n as (D * num_layers, N, features) whatever batch_first says: it "
        "concerns input and output alone.",
        "BF-1 SHP-2 SHP-3",
        LAYERS,
        _BATCH_FIRST,
        COMMON,
        _moved_states,
    ),
    (
        "final states reshaped instead of transposed under batch_first",
        "Bring the final states from (N, D * num_layers, features) to (D * num_layers, N, "
        "features) by transpose(0, 1): a reshape mixes samples with layers and directions.",
        "BF-1",
        LAYERS,
        _BATCH_FIRST,
        "llvm/torch-mlir#3753",
        _reshaped_states,
    ),
    (
        "steps and samples in one axis",
        "Return the output in three dimensions, (L, N, D * H_out), or (N, L, D * H_out) with "
        "batch_first: do not merge steps and samples.",
        "SHP-1",
        LAYERS,
        (),
        COMMON,
        _one_axis,
    ),
    (
        "steps and features in one axis",
        "Return the output in three dimensions, (N, L, D * H_out) with batch_first: do not "
        "merge steps and features.",
        "SHP-1",
        LAYERS,
        _BATCH_FIRST,
        "huggingface/candle#2542",
        _flat_samples,
    ),
    (
        "a batch axis in the output of unbatched input",
        "Return the output without a batch dimension for unbatched input: (L, D * H_out) for "
        "(L, H_in).",
        "SHP-1 SHP-6",
        LAYERS,
        (Feature.UNBATCHED,),
        COMMON,
        _batched,
    ),
    (
        "a batch axis in the states of unbatched input",
        "Return states without a batch dimension for unbatched input: (D * num_layers, "
        "H_out), c_n with H in place of H_out, and (H,) from a cell.",
        "SHP-2 SHP-3 SHP-6 CEL-1",
        ALL,
        (Feature.UNBATCHED,),
        COMMON,
        _batched_states,
    ),
    (
        "the output of the last step only",
        "Return the output of all L steps, (L, N, D * H_out): return_sequences=True in Keras.",
        "SHP-1",
        LAYERS,
        (),
        "alibaba/MNN#1138",
        _last_step,
    ),
    (
        "the states of the last layer only",
        "Return the final states of all layers, (D * num_layers, N, features): the last "
        "layer's are the last D of them.",
        "SHP-2 SHP-3",
        LAYERS,
        (Feature.MULTI_LAYER,),
        COMMON,
        _last_layer,
    ),
    (
        "no axis for layers and directions in the states",
        "Keep the leading dimension of h_n (and c_n), (D * num_layers, N, features), also "
        "where it is 1.",
        "SHP-2 SHP-3",
        LAYERS,
        (),
        COMMON,
        _no_layer_axis,
    ),
    (
        "axes of one squeezed out of the output",
        "Remove no axis but the one that was added: squeeze(dim) with its dim, since L, N and the "
        "features may be 1 as well.",
        "SHP-1",
        LAYERS,
        (),
        COMMON,
        lambda call, given: {"output": np.squeeze(given["output"])},
    ),
    (
        "axes of one squeezed out of the states",
        "Remove no axis but the one that was added: squeeze(dim) with its dim, since N, the "
        "features and the layers may be 1 as well.",
        "SHP-2 SHP-3 CEL-1",
        ALL,
        (),
        COMMON,
        lambda call, given: _states(call, given, np.squeeze),
    ),
    (
        "a sample of zeros for an empty batch",
        "Return empty results for an empty batch, N = 0: the output is (L, 0, D * H_out), h_n "
        "(D * num_layers, 0, H_out), a cell's state (0, H).",
        "SHP-5 CEL-1",
        ALL,
        (Feature.EMPTY_BATCH,),
        COMMON,
        _some_sample,
    ),
    (
        "states as units by samples instead of samples by units",
        "Return a cell's state as (N, H), one row for each sample: transpose it.",
        "CEL-1",
        frozenset(Kind) - LAYERS,
        (),
        COMMON,
        _transposed_cell,
    ),
):
    LAYOUTS.add(name, breaks, fix=fix, kinds=kinds, needs=needs, source=source)(presenting(change))


@LAYOUTS.add(
    "input reshaped to steps first instead of transposed",
    "BF-1",
    fix="Turn the input from (N, L, H_in) to (L, N, H_in) by transpose(0, 1): a reshape "
    "leaves the elements in the old order and mixes samples with steps.",
    kinds=LAYERS,
    needs=_BATCH_FIRST,
)
class _ReshapedInput(Deviant):
    def answer(self, call: Call) -> Answer:
        if batch_first(call) and call.lengths is None:
            given = call.input.swapaxes(0, 1)
            call = call.replace(input=given.reshape(call.input.shape))
        return super().answer(call)


@LAYOUTS.add(
    "input and output reshaped instead of transposed under batch_first",
    "BF-1",
    fix="Turn the input from (N, L, H_in) to (L, N, H_in), and the output back, by transpose: "
    "a reshape there and back has the right shape, and mixes samples with steps between.",
    kinds=LAYERS,
    needs=_BATCH_FIRST,
)
class _ReshapedBoth(_ReshapedInput):
    def present(self, call: Call, answer: Answer) -> dict[str, Array]:
        given = super().present(call, answer)
        return given if call.lengths is not None else given | _reshaped(call, given)


@LAYOUTS.add(
    "initial states read with the samples first under batch_first",
    "BF-2",
    fix="Read h_0 and c_0 as (D * num_layers, N, features) whatever batch_first says: it "
    "concerns input and output alone.",
    kinds=LAYERS,
    needs=(*_BATCH_FIRST, Feature.INITIAL_STATE),
)
class _MovedStart(Deviant):
    def answer(self, call: Call) -> Answer:
        def read(state: Array | None) -> Array | None:
            if state is None:
                return None
            states, batch, width = state.shape
            return state.reshape(batch, states, width).swapaxes(0, 1)

        if batch_first(call):
            call = call.replace(h_0=read(call.h_0), c_0=read(call.c_0))
        return super().answer(call)


@LAYOUTS.add(
    "unbatched input read as samples of one step each under batch_first",
    "SHP-1 SHP-6",
    fix="Read unbatched input as (L, H_in) whatever batch_first says: its first dimension is "
    "time, and the batch dimension to add is of size 1.",
    kinds=LAYERS,
    needs=(*_BATCH_FIRST, Feature.UNBATCHED),
)
class _StepsAsSamples(Deviant):
    def answer(self, call: Call) -> Answer:
        if not (call.unbatched and call.config.batch_first):
            return super().answer(call)
        single = call.replace(input=call.input.swapaxes(0, 1), h_0=None, c_0=None, unbatched=False)
        wrong = super().answer(single)
        return replace(wrong, output=wrong.output.swapaxes(0, 1))
