"""LIF: replicas, as data-parallel wrappers make them of a module."""

from rnn_conformance.checking import (
    SMALL,
    Call,
    Case,
    Subject,
    assert_equivalent,
    assert_within_bound,
    cases,
    clause,
    drawn,
    for_all,
)

OTHER = -0.5
"""What a replica's parameters are multiplied with, to be told from the module's own."""


def other(call: Call) -> Call:
    """The call of such a replica."""
    return call.replace(parameters={name: OTHER * array for name, array in call.parameters.items()})


@clause("LIF-4")
@for_all(cases(**SMALL), examples=0.2)
def test_each_replica_computes_with_what_it_is_given(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call, then = case.call(), other(case.call())
    # The state that a layer makes for itself is often made like a parameter.
    without = then.replace(h_0=None, c_0=None)
    module = torch_kit.named(subject, call)
    due = {asked: subject(asked) for asked in (call, then, without)}
    if case.seed % 2:
        torch_kit.answer(subject, module, call)
    with subject.doing(call, "replicating it for data-parallel computing"):
        first = torch_kit.replica(module, torch_kit.tensors(subject, call))
        second = torch_kit.replica(module, torch_kit.tensors(subject, then))
    for made, asked, which in (
        (first, call, "a replica with the same parameters"),
        (second, then, "a second replica, with other parameters"),
        (second, without, "the second replica, without a state"),
        (first, call, "the first replica, after the second's calls"),
        (module, call, "the module itself, after its replicas' calls"),
    ):
        assert_equivalent(due[asked], torch_kit.answer(subject, made, asked), what=which)


@clause("LIF-4")
@for_all(cases(**SMALL), examples=0.2)
def test_gradients_reach_what_a_replica_was_made_of(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call, then = case.call(), other(case.call())
    module = torch_kit.named(subject, call)
    backward = drawn(then, case.seed)
    with subject.doing(then, "the backward pass through a replica"):
        sources = dict(module.named_parameters())
        made = torch_kit.replica(module, {name: OTHER * own for name, own in sources.items()})
        gradients = torch_kit.gradients_through(subject, made, backward, sources, OTHER)
    assert_within_bound(gradients, what="through a replica, to the module's own parameters")
