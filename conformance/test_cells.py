"""CEL: the three cells, one step at a time."""

from dataclasses import replace

import numpy as np

from rnn_conformance.checking import (
    Agreement,
    Call,
    Case,
    Edges,
    Feature,
    State,
    Subject,
    Values,
    assert_close,
    assert_identical,
    assert_shape,
    assert_within_bound,
    assert_within_scatter,
    cases,
    clause,
    for_all,
    for_each,
)


@clause("CEL-1")
@for_all(cases())
def test_a_batch_gives_a_state_of_samples_by_hidden_size(subject: Subject, case: Case) -> None:
    call = case.call()
    result = subject(call)
    for name in call.results:
        assert_shape(result, name)


@clause("CEL-1")
@for_all(cases(Feature.UNBATCHED))
def test_a_single_sample_gives_a_state_of_hidden_size(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_within_bound(subject(call))


@clause("CEL-1")
@for_all(cases(Feature.INITIAL_STATE, states=[State.OMITTED]))
def test_an_omitted_state_is_zeros(subject: Subject, case: Case) -> None:
    call = case.call()
    zeros = np.zeros(call.shape("h_n"))
    given = call.replace(h_0=zeros, c_0=zeros if case.config.kind.has_cell_state else None)
    cell = subject.build(call)
    # Not bit for bit, as STA-1 asks it of layers: what is compiled for no state may round
    # in another order.
    assert_within_bound(cell(call))
    assert_within_bound(cell(given))


@clause("CEL-1")
@for_all(cases(Feature.EMPTY_BATCH))
def test_an_empty_batch_gives_an_empty_state(subject: Subject, case: Case) -> None:
    assert_within_bound(subject(case.call()))


@clause("CEL-2")
@for_all(cases(), examples=4)
def test_one_step_is_what_the_equations_say(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


def layer_call(call: Call, length: int) -> Call:
    """A one-layer call with the cell's parameters, over ``length`` steps of drawn input."""
    config = replace(call.config, kind=call.config.kind.layer)
    steps = [np.roll(call.input, t, axis=2) * (-1.0) ** t for t in range(length)]
    return call.replace(
        config=config,
        parameters={
            config.parameter_name(parameter.role, 0, 0): call.parameters[name]
            for name, parameter in call.config.parameters.items()
        },
        input=np.concatenate(steps),
    )


@clause("CEL-3")
@for_all(cases(Feature.INITIAL_STATE))
def test_a_cell_unrolled_equals_the_layer(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = layer_call(call, length=4)
    cell = subject.build(call)
    h, c = call.h_0, call.c_0
    outputs, calls = [], []
    for step in layer.input:
        result = cell(call.replace(input=step[None], h_0=h, c_0=c))
        h, c = result.h_n, result.c_n if case.config.kind.has_cell_state else None
        outputs.append(h)
        calls.append(result.call)
    expected = subject.expected(layer)
    assert_close(
        "output",
        np.concatenate(outputs),
        expected["output"],
        expected.bounds["output"],
        calls=(*calls, layer),
        what="a cell unrolled over four steps equals the one-layer module",
    )


@clause("CEL-1")
@for_all(cases(Feature.INITIAL_STATE))
def test_an_omitted_state_is_zeros_after_other_calls_too(subject: Subject, case: Case) -> None:
    call = case.call()
    omitted = call.replace(h_0=None, c_0=None)
    cell = subject.build(call)
    first = cell(omitted)
    for previous in (call, omitted):
        cell(previous)
        assert_identical(
            first, cell(omitted), what="an omitted state is zeros, whatever was called"
        )


@clause("CEL-2")
@for_all(
    cases(
        batch=(3, 40),
        inputs=(33, 70),
        hidden=(33, 70),
        values=[Values.PLAIN, Values.TYPICAL, Values.SATURATED, Values.MIXED],
        degenerate=False,
    ),
    examples=0.5,
)
def test_a_wide_cell(subject: Subject, case: Case) -> Agreement:
    return assert_within_scatter(subject(case.call()))


@clause("CEL-2")
@for_all(cases(values=[Values.PLAIN, Values.TYPICAL]))
def test_nan_infinite_and_huge_inputs(subject: Subject, case: Case) -> None:
    call = case.call()
    cell = subject.build(call)
    place = 0, case.seed % call.batch, case.seed % case.config.input_size
    for value in (np.nan, np.inf, -np.inf, 2.0**20):
        data = call.input.copy()
        data[place] = value
        assert_within_bound(cell(call.replace(input=data)))


@clause("CEL-4")
@for_all(cases())
def test_an_input_of_wrong_dimensions_or_features_is_refused(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.inputs)


@clause("CEL-4")
@for_all(cases(states=[State.OMITTED]))
def test_a_state_of_wrong_size_or_structure_is_refused(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.states)


@clause("CEL-4")
@for_each(Edges())
def test_arguments_are_looked_at_where_the_input_is_empty_single_or_unbatched(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    for family in (torch_kit.inputs, torch_kit.states):
        torch_kit.refuses_calls(subject, case.call(), family)
