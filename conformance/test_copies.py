"""LIF-1 after a life: copies of each way, after each history."""

from rnn_conformance.checking import Copies, Copy, Subject, clause, for_each


@clause("LIF-1")
@for_each(Copies())
def test_a_copy_and_the_layer_do_not_mind_one_another(subject: Subject, copy: Copy) -> None:
    from rnn_conformance.checking import torch_kit

    torch_kit.copied(subject, copy)
