"""BF: what batch_first changes, and what it does not."""

from rnn_conformance.checking import (
    Case,
    Feature,
    State,
    Subject,
    assert_composed_of_parts,
    assert_equivalent,
    cases,
    clause,
    for_all,
    time_major,
)


@clause("BF-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED]))
def test_it_transposes_input_and_output_and_nothing_else(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_equivalent(subject(time_major(call)), subject(call), what="batch_first only transposes")


@clause("BF-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED, Feature.UNBATCHED]))
def test_it_transposes_in_every_layer_and_direction(subject: Subject, case: Case) -> None:
    assert_composed_of_parts(subject, case.call())


@clause("BF-2")
@for_all(
    cases(
        Feature.BATCH_FIRST,
        Feature.INITIAL_STATE,
        without=[Feature.PACKED, Feature.UNBATCHED],
        states=[State.GIVEN],
    )
)
def test_initial_and_final_states_stay_layers_by_samples(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_equivalent(
        subject(time_major(call)), subject(call), what="batch_first leaves states alone"
    )


@clause("BF-3")
@for_all(cases(Feature.BATCH_FIRST, Feature.PACKED))
def test_it_has_no_effect_on_packed_input(subject: Subject, case: Case) -> None:
    call = case.call()
    assert_equivalent(
        subject(time_major(call)), subject(call), what="batch_first leaves packed input alone"
    )
