"""A call taken apart, so that an implementation can be compared with itself.

The clauses on structure (layers, directions, packing, batch_first) hold whatever the
equations give. Their checks put a result together from the same implementation's own
basic calls, one layer in one direction over unpacked time-major input, so that an
implementation with a wrong equation fails in the chapter on equations alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.checking.assertions import assert_close, between_calls
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.result import Result


def time_major(call: Call) -> Call:
    """The same call of a layer without batch_first."""
    return call.replace(config=replace(call.config, batch_first=False))


def alone(call: Call, sample: int) -> Call:
    """One sequence of a packed call, run by itself, unpacked."""
    assert call.lengths is not None
    one = call.samples(slice(sample, sample + 1))
    return one.replace(input=one.input[: call.lengths[sample]], lengths=None)


def place(call: Call, layer: int, direction: int, below: Array) -> Call:
    """One layer in one direction over ``below``, as a forward layer.

    The reverse direction reads flipped input, and what it gives is to be flipped back.
    """
    config = call.config
    single = replace(
        config, num_layers=1, bidirectional=False, input_size=config.layer_input_size(layer)
    )
    index = layer * config.num_directions + direction
    states = {name: state[index : index + 1] for name, state in call.arguments.states.items()}
    return call.replace(
        config=single,
        parameters={
            single.parameter_name(parameter.role, 0, 0): call.parameters[name]
            for name, parameter in config.parameters.items()
            if (parameter.layer, parameter.direction) == (layer, direction)
        },
        input=below[::-1] if direction else below,
        **states,
    )


def composed(answer: Callable[[Call], Result], call: Call) -> dict[str, Array]:
    """The results of a call by name, put together from basic calls."""
    if call.lengths is not None:
        return _composed_of_samples(answer, call)
    basic = time_major(call.replace(unbatched=False))
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


def assert_composed_of_parts(answer: Callable[[Call], Result], call: Call, *names: str) -> None:
    """The results of these names equal those put together from basic calls.

    Both are at most E away from the truth: a composition rounds where the whole may.
    """
    result, parts = answer(call), composed(answer, call)
    for name in names or call.results:
        assert_close(
            name,
            result[name],
            parts[name],
            between_calls(result, name),
            calls=(call,),
            what="beside the implementation's own calls, a layer and direction at a time",
        )
