"""LAY: layers, and the order of their states."""

from rnn_conformance.checking import (
    Case,
    Feature,
    State,
    Subject,
    assert_composed_of_parts,
    cases,
    clause,
    for_all,
)


@clause("LAY-1")
@for_all(cases(Feature.MULTI_LAYER))
def test_final_states_are_ordered_by_layer_then_direction(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_composed_of_parts(subject, call, *(name for name in call.results if name != "output"))


@clause("LAY-1")
@for_all(cases(Feature.MULTI_LAYER, Feature.INITIAL_STATE, states=[State.GIVEN]))
def test_initial_states_are_read_by_layer_then_direction(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call())


@clause("LAY-2")
@for_all(cases(Feature.MULTI_LAYER, without=[Feature.BIDIRECTIONAL]))
def test_a_stack_is_the_composition_of_its_layers(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call())


@clause("LAY-3")
@for_all(cases(Feature.MULTI_LAYER))
def test_output_is_the_last_layers_alone(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call(), "output")
