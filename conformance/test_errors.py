"""ERR: what must be refused by an exception, never broadcast, truncated or answered.

Each illegal call departs from a legal one in one place, and only what ``torch.nn`` itself
refuses counts. Any class of exception will do; one other than PyTorch's is noted.
"""

from rnn_conformance.checking import (
    Case,
    Edges,
    Feature,
    Kind,
    State,
    Subject,
    cases,
    clause,
    for_all,
    for_each,
)


@clause("ERR-1")
@for_all(cases(states=[State.OMITTED]), examples=0.5)
def test_the_constructor_refuses_illegal_arguments(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_constructions(subject, case.call())


@clause("ERR-2")
@for_all(cases(), examples=0.6)
def test_an_input_of_wrong_dimensions_or_features_is_refused(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.inputs)


@clause("ERR-3")
@for_all(cases(states=[State.OMITTED], without=[Feature.PACKED]), examples=0.6)
def test_a_state_of_wrong_size_or_structure_is_refused(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.states)


# torch.nn.LSTM does not look at the state that comes with packed input, and may crash.
@clause("ERR-3", kinds=frozenset({Kind.RNN, Kind.GRU}))
@for_all(cases(Feature.PACKED, states=[State.OMITTED]), examples=0.5)
def test_a_state_of_wrong_size_is_refused_with_packed_input_too(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.states)


@clause("ERR-4")
@for_all(cases(states=[State.OMITTED]), examples=0.5)
def test_a_state_of_another_dtype_than_the_weights_is_refused(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.state_dtypes)


@clause("ERR-2")
@for_each(Edges())
def test_an_input_is_looked_at_where_it_is_empty_single_unbatched_or_packed(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.inputs)


@clause("ERR-3")
@for_each(Edges(packed=False))
def test_a_state_is_looked_at_where_the_input_is_empty_single_or_unbatched(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.states)


@clause("ERR-4")
@for_each(Edges())
def test_a_state_s_dtype_is_looked_at_where_the_input_is_empty_single_unbatched_or_packed(
    subject: Subject, case: Case
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.refuses_calls(subject, case.call(), torch_kit.state_dtypes)
