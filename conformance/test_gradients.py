"""GRD: gradients, against the oracle's own derivative and within a bound of their own.

What a module alone can show (graphs that are retained, parameters that are frozen) is
checked on drop-in classes; everything else on functions too that have a ``vjp``.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from rnn_conformance.checking import (
    Agreement,
    Backward,
    Case,
    Dtype,
    Feature,
    NonConforming,
    Sort,
    State,
    Subject,
    Sum,
    Values,
    assert_close,
    assert_within_bound,
    assert_within_scatter,
    cases,
    clause,
    drawn,
    for_all,
    from_the_ends,
    frozen_of,
    remembering,
)

# A backward pass costs twice its forward pass, and so does its reference.
SMALL: dict[str, Any] = {
    "layers": (1, 2),
    "length": (2, 5),
    "batch": (3, 4),
    "inputs": (2, 5),
    "hidden": (2, 6),
}


def are_right(subject: Subject, case: Case) -> Agreement:
    """All gradients through all results."""
    call = case.call()
    return assert_within_scatter(subject.pullback(call)(drawn(call, case.seed)))


@clause("GRD-1")
@for_all(cases(**SMALL | {"layers": (1, 3)}), examples=1.5)
def test_gradients_of_input_states_and_parameters(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
# Three layers: one that is neither the first nor the last has a way of its own through some code.
@for_all(
    cases(Feature.MULTI_LAYER, Feature.BIDIRECTIONAL, **SMALL | {"layers": (3, 3)}), examples=0.4
)
def test_gradients_in_every_layer_and_direction(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.PACKED, **SMALL | {"layers": (1, 3)}), examples=0.75)
def test_gradients_of_sequences_of_different_lengths(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.PROJECTION, **SMALL), examples=0.5)
def test_gradients_with_a_projection(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(
    cases(Feature.BATCH_FIRST, without=[Feature.PACKED, Feature.UNBATCHED], **SMALL), examples=0.5
)
def test_gradients_with_batch_first(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.BIAS_FREE, **SMALL), examples=0.3)
def test_gradients_without_bias(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.UNBATCHED, **SMALL), examples=0.3)
def test_gradients_of_unbatched_input(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(**SMALL | {"batch": (1, 1)}, degenerate=False), examples=0.3)
def test_gradients_of_a_single_sample(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(**SMALL | {"length": (1, 1)}, degenerate=False), examples=0.3)
def test_gradients_of_a_single_step(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.EMPTY_BATCH, **SMALL), examples=0.25)
def test_gradients_of_an_empty_batch(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.RELU, values=[Values.TYPICAL, Values.SATURATED, Values.MIXED], **SMALL))
def test_gradients_through_relu(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.RELU, values=[Values.TYPICAL, Values.SATURATED], **SMALL), examples=0.5)
def test_relu_has_no_slope_at_zero(subject: Subject, case: Case) -> None:
    call = case.call()
    # A unit whose parameters are zero is at zero exactly, however the sum is computed.
    parameters = {name: array.copy() for name, array in call.parameters.items()}
    for array in parameters.values():
        array[0] = 0.0
    call = call.replace(parameters=parameters)
    assert_within_bound(subject.pullback(call)(drawn(call, case.seed)))


@clause("GRD-1")
@for_all(cases(dtypes=[Dtype.FLOAT64], **SMALL), examples=0.5)
def test_gradients_in_float64_are_computed_in_float64(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(**SMALL), examples=0.3)
def test_gradients_in_training_mode(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    backward = drawn(call, case.seed)
    module = subject.module(call)
    with subject.doing(call, f"{backward.described} in training mode"):
        gradients = torch_kit.graph(subject, module.train(), call).gradients(backward)
    assert_within_bound(gradients, what="in training mode, without dropout")


LONG: dict[str, Any] = {
    "without": [Feature.BIAS_FREE, Feature.PROJECTION],
    "layers": (1, 2),
    "batch": (1, 2),
    "inputs": (2, 3),
    "hidden": (2, 4),
    "values": [Values.TYPICAL],
    "degenerate": False,
}


@clause("GRD-2")
@for_all(cases(length=(20, 60), **LONG), examples=0.3)
def test_the_last_step_depends_on_the_first(subject: Subject, case: Case) -> Agreement:
    call = remembering(case.call())
    return assert_within_scatter(subject.pullback(call)(from_the_ends(call, case.seed)))


@clause("GRD-2")
@for_all(cases(length=(130, 270), **LONG | {"layers": (1, 1)}), examples=0.1)
def test_no_window_ends_the_gradient_of_a_long_sequence(subject: Subject, case: Case) -> None:
    call = remembering(case.call())
    assert_within_bound(subject.pullback(call)(from_the_ends(call, case.seed)))


@clause("GRD-3")
@for_all(cases(**SMALL), examples=0.5)
def test_gradients_flow_through_each_result_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    for name in call.results:
        assert_within_bound(back(drawn(call, case.seed, name)))


@clause("GRD-3")
@for_all(cases(Feature.PACKED, **SMALL | {"length": (1, 4)}), examples=0.3)
def test_gradients_flow_through_each_packed_result_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    for name in call.results:
        assert_within_bound(back(drawn(call, case.seed, name)))


@clause("GRD-3")
@for_all(cases(**SMALL), examples=0.5)
def test_gradients_flow_through_all_results_but_one(subject: Subject, case: Case) -> None:
    call = case.call()
    unused = call.results[case.seed % len(call.results)]
    used = [name for name in call.results if name != unused] or [unused]
    assert_within_bound(subject.pullback(call)(drawn(call, case.seed, *used)))


@clause("GRD-3")
@for_all(cases(without=[Feature.PACKED], **SMALL), examples=0.4)
def test_gradients_arrive_in_whatever_layout(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call = case.call()
    name = call.results[case.seed % len(call.results)]
    module = subject.module(call)
    drawn_one = drawn(call, case.seed, name)
    # The gradient of a sum is one number, expanded.
    ones = Backward(call, {name: np.ones(call.shape(name))})
    every_other = np.zeros(call.shape(name))
    every_other[..., ::2] = drawn_one.cotangents[name][..., ::2]
    with subject.doing(call, f"the backward pass through {name}.sum()"):
        graph = torch_kit.graph(subject, module, call)
        one = graph.cotangents(ones)[name]
        one = torch.ones((), dtype=one.dtype, device=one.device).expand(one.shape)
        expanded = graph.gradients(ones, {name: one}, retain=True)
    assert_within_bound(expanded, what=f"through {name}.sum()")
    with subject.doing(call, f"the backward pass of a strided gradient of {name}"):
        given = graph.cotangents(drawn_one)[name]
        strided = torch.stack([given, given], dim=-1)[..., 0]
        gradients = graph.gradients(drawn_one, {name: strided}, retain=True)
    assert_within_bound(gradients, what=f"a strided gradient of {name}")
    with subject.doing(call, f"the backward pass through {name}[..., ::2]"):
        part = replace(graph, results={name: graph.results[name][..., ::2]})
        gradients = part.gradients(Backward(call, {name: every_other}), {name: given[..., ::2]})
    assert_within_bound(gradients, what=f"through {name}[..., ::2]")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.4)
def test_a_backward_pass_leaves_nothing_behind(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    other = call.replace(input=-call.input[:, ::-1])
    assert_within_bound(back(drawn(call, case.seed)))
    assert_within_bound(back(drawn(other, case.seed + 1)), what="another call of the same layer")
    assert_within_bound(back(drawn(call, case.seed)), what="the first call again")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.5)
def test_backward_passes_over_a_retained_graph_add_up(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    backward = drawn(call, case.seed)
    module = subject.module(call)
    once = subject.expected(backward)
    with subject.doing(call, "a backward pass over a retained graph"):
        graph = torch_kit.graph(subject, module, call)
        graph.accumulate(backward, retain=True)
        first = graph.accumulated(backward)
    assert_within_bound(first)
    with subject.doing(call, "the second backward pass over a retained graph"):
        graph.accumulate(backward)
        second = graph.accumulated(backward)
    twice = Sum(once, once)
    assert_within_bound(second, expected=twice, what="two backward passes over one graph add up")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.5)
def test_the_losses_of_two_calls_add_up(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    other = call.replace(input=-call.input[:, ::-1])
    without_state = other.replace(h_0=None, c_0=None)
    other = without_state if subject.declares(without_state) else other
    one, two = drawn(call, case.seed), drawn(other, case.seed + 1)
    module = subject.module(call)
    # Both calls come first: what the second does must not spoil the first one's graph.
    with subject.doing(call, "backward passes through two calls"):
        first, second = (
            torch_kit.graph(subject, module, call),
            torch_kit.graph(subject, module, other),
        )
        second.accumulate(two)
        first.accumulate(one)
        gradients = first.accumulated(one)
    both = Sum(subject.expected(one), subject.expected(two))
    what = "the losses of two calls add up"
    assert_within_bound(gradients, *call.parameters, expected=both, what=what)
    # The arguments are each call's own.
    arguments = [name for name in one.arguments if name not in call.parameters]
    assert_within_bound(gradients, *arguments, what="beside another call's loss")
    assert_within_bound(second.accumulated(two), "input", what="beside another call's loss")


@clause("GRD-4")
@for_all(cases(**SMALL))
def test_what_asks_for_no_gradient_gets_none(subject: Subject, case: Case) -> None:
    from rnn_conformance.checking import torch_kit

    call = case.call()
    backward = drawn(call, case.seed)
    what, frozen = frozen_of(backward, case.seed)
    module = subject.module(call)
    with subject.doing(call, f"{backward.described} with {what}"):
        graph = torch_kit.graph(subject, module, call, frozen=frozen)
        graph.accumulate(backward)
        gradients = graph.accumulated(backward)
    asking = [name for name in backward.arguments if name not in frozen]
    for name in frozen:
        if gradients.given.get(name) is not None:
            raise NonConforming(
                f"{name} asks for no gradient and got one, with {what}",
                sort=Sort.SIDE_EFFECT,
                calls=(call,),
                array=name,
                gradient=True,
            )
    assert_within_bound(gradients, *asking, what=f"with {what}")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.3)
def test_where_nothing_asks_for_a_gradient_no_graph_is_kept(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.checking import torch_kit

    call = case.call()
    module = subject.module(call)
    with subject.doing(call, "a call in which nothing asks for a gradient"):
        frozen = drawn(call, case.seed).arguments
        nothing = {"with everything frozen": torch_kit.graph(subject, module, call, frozen=frozen)}
        with torch.no_grad():
            nothing["under no_grad"] = torch_kit.graph(subject, module, call)
    for what, graph in nothing.items():
        for name, result in graph.results.items():
            if result.requires_grad:
                raise NonConforming(
                    f"{name} asks for a gradient {what}",
                    sort=Sort.SIDE_EFFECT,
                    calls=(call,),
                    array=name,
                )


# PCK-5 is the padding's influence on results, which is asked of what has no gradient too.
@clause("GRD-1")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.25)
def test_the_padding_gets_no_gradient(subject: Subject, case: Case) -> None:
    call = case.call()
    backward = drawn(call, case.seed)
    gradient = subject.pullback(call)(backward)["input"]
    padding = np.broadcast_to(~call.steps[:, :, None], gradient.shape)
    assert_close(
        "input",
        gradient,
        np.where(padding, 0.0, gradient),
        np.where(padding, 0.0, np.inf),
        calls=(call,),
        what="the padding gets no gradient",
        backward=backward,
    )


@clause("GRD-1")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.3)
def test_the_padding_has_no_influence_on_gradients(subject: Subject, case: Case) -> None:
    call = case.call()
    backward = drawn(call, case.seed)
    for value in (-1e4, np.nan):
        other = call.replace(input=np.where(call.steps[:, :, None], call.input, value))
        gradients = subject.pullback(other)(Backward(other, backward.cotangents))
        what = f"with {value} in the padding"
        assert_within_bound(gradients, expected=subject.expected(backward), what=what)


@clause("GRD-1")
@for_all(cases(states=[State.OMITTED], **SMALL), examples=0.3)
def test_gradients_without_an_initial_state(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)
