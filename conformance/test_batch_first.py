"""BF: what batch_first changes, and what it does not."""

from rnn_conformance.cases import Case, State
from rnn_conformance.checks import same
from rnn_conformance.parts import consists_of_parts, time_major
from rnn_conformance.spec import Feature
from rnn_conformance.strategies import cases
from rnn_conformance.subject import Subject
from rnn_conformance.suite import clause, for_all


@clause("BF-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED]))
def test_it_transposes_input_and_output_and_nothing_else(subject: Subject, case: Case) -> None:
    call = case.call()
    same(subject(time_major(call)), subject(call), what="batch_first only transposes")


@clause("BF-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED, Feature.UNBATCHED]))
def test_it_transposes_in_every_layer_and_direction(subject: Subject, case: Case) -> None:
    consists_of_parts(subject, case.call())


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
    same(subject(time_major(call)), subject(call), what="batch_first leaves states alone")


@clause("BF-3")
@for_all(cases(Feature.BATCH_FIRST, Feature.PACKED))
def test_it_has_no_effect_on_packed_input(subject: Subject, case: Case) -> None:
    call = case.call()
    same(subject(time_major(call)), subject(call), what="batch_first leaves packed input alone")
