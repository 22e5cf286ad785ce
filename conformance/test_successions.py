"""STA-3, CEL-1 in successions: each kind of call right after each other, and as the first."""

from rnn_conformance.checking import Subject, Succession, Successions, clause, for_each


@clause("STA-3")
@for_each(Successions())
def test_a_call_of_any_kind_is_answered_as_if_there_had_been_no_other(
    subject: Subject, succession: Succession
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.follow(subject, succession)


@clause("CEL-1")
@for_each(Successions())
def test_a_cell_is_asked_as_if_there_had_been_no_other_call(
    subject: Subject, succession: Succession
) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.follow(subject, succession)
