"""SHP: shapes and structure of what comes back."""

from rnn_conformance.checking import (
    Case,
    Feature,
    State,
    Subject,
    assert_equivalent,
    assert_shape,
    assert_within_bound,
    cases,
    clause,
    for_all,
)


@clause("SHP-1")
@for_all(cases(without=[Feature.EMPTY_BATCH]))
def test_output_is_steps_by_samples_by_directions_times_features(
    subject: Subject, case: Case
) -> None:
    assert_shape(subject(case.call()), "output")


@clause("SHP-1")
@for_all(cases(Feature.BATCH_FIRST, without=[Feature.PACKED, Feature.UNBATCHED]))
def test_output_is_samples_by_steps_with_batch_first(subject: Subject, case: Case) -> None:
    assert_shape(subject(case.call()), "output")


@clause("SHP-1")
@for_all(cases(Feature.UNBATCHED))
def test_unbatched_output_has_two_axes_whatever_batch_first_says(
    subject: Subject, case: Case
) -> None:
    assert_shape(subject(case.call()), "output")


@clause("SHP-2")
@for_all(cases())
def test_h_n_is_layers_times_directions_by_samples_by_features(
    subject: Subject, case: Case
) -> None:
    assert_shape(subject(case.call()), "h_n")


@clause("SHP-3")
@for_all(cases())
def test_c_n_has_hidden_size_features(subject: Subject, case: Case) -> None:
    assert_shape(subject(case.call()), "c_n")


@clause("SHP-3")
@for_all(cases(Feature.PROJECTION))
def test_c_n_has_hidden_size_features_with_a_projection_too(subject: Subject, case: Case) -> None:
    assert_shape(subject(case.call()), "c_n")


@clause("SHP-4")
@for_all(cases())
def test_the_output_comes_with_the_state_a_pair_for_lstm_alone(
    subject: Subject, case: Case
) -> None:
    # The adapters take apart what comes back, by this structure and no other.
    subject(case.call())


@clause("SHP-5")
@for_all(cases(Feature.EMPTY_BATCH))
def test_an_empty_batch_gives_empty_results(subject: Subject, case: Case) -> None:
    assert_within_bound(subject(case.call()))


@clause("SHP-5")
@for_all(cases(without=[Feature.PACKED], states=[State.OMITTED]), examples=0.5)
def test_a_sequence_of_no_steps_is_refused(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = subject.build(call)
    subject.refuses(call.replace(input=call.input[:0]), "a sequence of no steps", layer)


@clause("SHP-5")
@for_all(cases(without=[Feature.PACKED], states=[State.OMITTED]))
def test_a_class_refuses_a_sequence_of_no_steps_with_a_state_too(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.no_steps)


@clause("SHP-6")
@for_all(cases(Feature.UNBATCHED))
def test_unbatched_input_equals_a_batch_of_one(subject: Subject, case: Case) -> None:
    call = case.call()
    batched = call.replace(unbatched=False)
    assert_equivalent(subject(batched), subject(call), what="unbatched equals a batch of one")
