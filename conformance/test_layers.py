"""LAY: layers, and the order of their states."""

from dataclasses import replace

import numpy as np

from rnn_conformance.bounds import reference
from rnn_conformance.calls import Array, Call
from rnn_conformance.cases import Case, State
from rnn_conformance.checks import matches, within
from rnn_conformance.spec import Feature
from rnn_conformance.strategies import cases
from rnn_conformance.subject import Subject
from rnn_conformance.suite import clause, for_all


def one_layer(call: Call, layer: int, below: Array) -> Call:
    """Layer number ``layer`` of a call alone, reading ``below``."""
    directions = call.config.num_directions
    config = replace(
        call.config, num_layers=1, input_size=call.config.layer_input_size(layer)
    )
    states = slice(layer * directions, (layer + 1) * directions)
    return replace(
        call,
        config=config,
        parameters={
            name: call.parameters[name.replace("_l0", f"_l{layer}")]
            for name in config.parameter_shapes
        },
        input=below,
        h_0=None if call.h_0 is None else call.h_0[states],
        c_0=None if call.c_0 is None else call.c_0[states],
    )


@clause("LAY-1")
@for_all(cases(Feature.MULTI_LAYER))
def test_final_states_are_ordered_by_layer_then_direction(subject: Subject, case: Case) -> None:
    call = case.call()
    matches(subject(call), *(name for name in call.results if name != "output"))


@clause("LAY-1")
@for_all(cases(Feature.MULTI_LAYER, Feature.INITIAL_STATE, states=[State.GIVEN]))
def test_initial_states_are_read_by_layer_then_direction(subject: Subject, case: Case) -> None:
    matches(subject(case.call()))


@clause("LAY-2")
@for_all(cases(Feature.MULTI_LAYER))
def test_a_stack_is_the_composition_of_its_layers(subject: Subject, case: Case) -> None:
    call = case.call()
    stack = subject(call)
    below, finals = call.input, []
    calls = [call]
    for layer in range(case.config.num_layers):
        single = subject(one_layer(call, layer, below))
        # Padding comes back as whatever the implementation likes; it is input no more.
        below = np.where(call.steps[:, :, None], single.output, 0.0)
        finals.append(single)
        calls.append(single.call)
    composed = {
        "output": below,
        **{
            name: np.concatenate([single[name] for single in finals])
            for name in call.results
            if name != "output"
        },
    }
    limits = reference(call)
    for name, expected in composed.items():
        within(
            name,
            stack[name],
            expected,
            2.0 * limits.bound(name),
            calls=(*calls[1:], call),
            what="a stack equals its layers one after another",
        )


@clause("LAY-3")
@for_all(cases(Feature.MULTI_LAYER))
def test_output_is_the_last_layers_alone(subject: Subject, case: Case) -> None:
    matches(subject(case.call()), "output")
