"""A call taken apart, so that an implementation can be compared with itself.

The clauses on structure (layers, directions, packing, batch_first) hold whatever the
equations give. Their checks put a result together from the same implementation's own
basic calls, one layer in one direction over unpacked time-major input, so that an
implementation with a wrong equation fails in the chapter on equations alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_conformance.bounds import reference
from rnn_conformance.calls import Array, Call, Result
from rnn_conformance.checks import within


def time_major(call: Call) -> Call:
    """The same call of a layer without batch_first."""
    return replace(call, config=replace(call.config, batch_first=False))


def samples(call: Call, chosen: Any) -> Call:
    """The call with these samples of the batch, in this order."""
    lengths = call.lengths
    if lengths is not None:
        lengths = tuple(int(n) for n in np.asarray(lengths)[chosen])
    return replace(
        call,
        input=call.input[:, chosen],
        h_0=None if call.h_0 is None else call.h_0[:, chosen],
        c_0=None if call.c_0 is None else call.c_0[:, chosen],
        lengths=lengths,
    )


def alone(call: Call, sample: int) -> Call:
    """One sequence of a packed call, run by itself, unpacked."""
    assert call.lengths is not None
    one = samples(call, slice(sample, sample + 1))
    return replace(one, input=one.input[: call.lengths[sample]], lengths=None)


def place(call: Call, layer: int, direction: int, below: Array) -> Call:
    """One layer in one direction over ``below``, as a forward layer.

    The reverse direction reads flipped input, and what it gives is to be flipped back.
    """
    config = call.config
    single = replace(
        config, num_layers=1, bidirectional=False, input_size=config.layer_input_size(layer)
    )
    end = config.suffix(layer, direction)
    index = layer * config.num_directions + direction
    own = slice(index, index + 1)
    return replace(
        call,
        config=single,
        parameters={
            name: call.parameters[name.removesuffix("_l0") + end]
            for name in single.parameter_shapes
        },
        input=below[::-1] if direction else below,
        h_0=None if call.h_0 is None else call.h_0[own],
        c_0=None if call.c_0 is None else call.c_0[own],
    )


def composed(answer: Callable[[Call], Result], call: Call) -> dict[str, Array]:
    """The results of a call by name, put together from basic calls."""
    if call.lengths is not None:
        return _composed_of_samples(answer, call)
    basic = time_major(replace(call, unbatched=False))
    below = basic.input
    finals: dict[str, list[Array]] = {name: [] for name in call.results}
    for layer in range(call.config.num_layers):
        halves = []
        for direction in range(call.config.num_directions):
            result = answer(place(basic, layer, direction, below))
            halves.append(result.output[::-1] if direction else result.output)
            for name in call.results:
                finals[name].append(result[name])
        below = np.concatenate(halves, axis=-1)
    states = {name: np.concatenate(finals[name]) for name in call.results if name != "output"}
    return {"output": below, **states}


def _composed_of_samples(answer: Callable[[Call], Result], call: Call) -> dict[str, Array]:
    whole = {name: np.zeros(call.shape(name)) for name in call.results}
    for sample in range(call.batch):
        single = composed(answer, alone(call, sample))
        for name, array in single.items():
            steps = slice(array.shape[0])
            whole[name][steps, sample] = array[:, 0]
    return whole


def consists_of_parts(answer: Callable[[Call], Result], call: Call, *names: str) -> None:
    """The results of these names equal those put together from basic calls.

    Both are at most E away from the truth: a composition rounds where the whole may.
    """
    result, expected, limits = answer(call), composed(answer, call), reference(call)
    for name in names or call.results:
        within(
            name,
            result[name],
            expected[name],
            2.0 * limits.bound(name),
            calls=(call,),
            what="beside the implementation's own calls, a layer and direction at a time",
        )
