"""BF: what batch_first changes, and what it does not."""

from dataclasses import replace

from rnn_conformance.calls import Call
from rnn_conformance.cases import Case, State
from rnn_conformance.checks import matches, same
from rnn_conformance.spec import Feature
from rnn_conformance.strategies import cases
from rnn_conformance.subject import Subject
from rnn_conformance.suite import clause, for_all


def time_major(call: Call) -> Call:
    """The same call of a layer without batch_first."""
    return replace(call, config=replace(call.config, batch_first=False))


@clause("BF-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED]))
def test_it_transposes_input_and_output_and_nothing_else(subject: Subject, case: Case) -> None:
    call = case.call()
    same(subject(time_major(call)), subject(call), what="batch_first only transposes")


@clause("BF-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED, Feature.UNBATCHED]))
def test_output_and_states_are_right_with_it(subject: Subject, case: Case) -> None:
    matches(subject(case.call()))


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
    matches(subject(case.call()))


@clause("BF-3")
@for_all(cases(Feature.BATCH_FIRST, Feature.PACKED))
def test_it_has_no_effect_on_packed_input(subject: Subject, case: Case) -> None:
    call = case.call()
    same(subject(time_major(call)), subject(call), what="batch_first leaves packed input alone")
