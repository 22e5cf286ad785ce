"""GRD: gradients, against the oracle's own derivative and within a bound of their own.

What a module alone can show (graphs that are retained, parameters that are frozen) is
checked on drop-in classes; everything else on functions too that have a ``vjp``.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_conformance.agreement import Agreement
from rnn_conformance.calls import Array, Call
from rnn_conformance.cases import Case, State, Values, rounded
from rnn_conformance.checks import differentiated, differentiates, within
from rnn_conformance.errors import NonConforming
from rnn_conformance.gradient_bounds import gradient_reference, summed
from rnn_conformance.gradients import GRADIENT, Backward, drawn
from rnn_conformance.spec import Dtype, Feature
from rnn_conformance.strategies import cases
from rnn_conformance.subject import Subject
from rnn_conformance.suite import clause, for_all

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
    return differentiates(subject.pullback(call)(drawn(call, case.seed)))


@clause("GRD-1")
@for_all(cases(**SMALL | {"layers": (1, 3)}), examples=1.5)
def test_gradients_of_input_states_and_parameters(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.MULTI_LAYER, Feature.BIDIRECTIONAL, **SMALL), examples=0.4)
def test_gradients_in_every_layer_and_direction(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.75)
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
    call = replace(call, parameters=parameters)
    differentiated(subject.pullback(call)(drawn(call, case.seed)))


@clause("GRD-1")
@for_all(cases(dtypes=[Dtype.FLOAT64], **SMALL), examples=0.5)
def test_gradients_in_float64_are_computed_in_float64(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)


@clause("GRD-1")
@for_all(cases(**SMALL), examples=0.3)
def test_gradients_in_training_mode(subject: Subject, case: Case) -> None:
    from rnn_conformance.classes import Graph

    call = case.call()
    backward = drawn(call, case.seed)
    module = subject.module(call)
    with subject.doing(call, f"{backward.described} in training mode"):
        found = Graph.of(module.train(), call).gradients(backward)
    differentiated(found, what="in training mode, without dropout")


def remembering(call: Call) -> Call:
    """The same call with parameters under which the first step matters for the last.

    Open forget and update gates and, in an Elman network, a recurrent matrix that only
    permutes; everything else is small, so that nothing saturates.
    """
    size, kind = call.config.hidden_size, call.config.kind
    relu, elman = call.config.nonlinearity == "relu", len(kind.gates) == 1
    parameters = {}
    for name, array in call.parameters.items():
        small = array / (64.0 if elman else 16.0)
        if elman and name.startswith("weight_hh"):
            # Signs that alternate, so that tanh's state stays near 0, where its slope is 1.
            small = (1.0 if relu else -1.0) * np.roll(np.eye(size), 1, axis=0)
        elif relu and name.startswith("bias"):
            # Away from the kink.
            small = 0.25 + np.abs(small)
        elif not elman and name.startswith("bias_ih"):
            # f is the second gate of LSTM, z of GRU.
            small[size : 2 * size] += 4.0
        parameters[name] = rounded(small, call.dtype)
    return replace(call, parameters=parameters)


def from_the_ends(call: Call, seed: int) -> Backward:
    """Through the output at the end of each direction alone: the last step, or the first."""
    if call.lengths is not None:
        return drawn(call, seed, "h_n")
    ends: Array = np.zeros(call.shape("output"))
    whole = drawn(call, seed, "output").cotangents["output"]
    size = call.config.output_size
    ends[-1, :, :size], ends[0, :, size:] = whole[-1, :, :size], whole[0, :, size:]
    return Backward(call, {"output": ends})


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
    return differentiates(subject.pullback(call)(from_the_ends(call, case.seed)))


@clause("GRD-2")
@for_all(cases(length=(130, 270), **LONG | {"layers": (1, 1)}), examples=0.1)
def test_no_window_ends_the_gradient_of_a_long_sequence(subject: Subject, case: Case) -> None:
    call = remembering(case.call())
    differentiated(subject.pullback(call)(from_the_ends(call, case.seed)))


@clause("GRD-3")
@for_all(cases(**SMALL), examples=0.5)
def test_gradients_flow_through_each_result_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    for name in call.results:
        differentiated(back(drawn(call, case.seed, name)))


@clause("GRD-3")
@for_all(cases(Feature.PACKED, **SMALL | {"length": (1, 4)}), examples=0.3)
def test_gradients_flow_through_each_packed_result_alone(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    for name in call.results:
        differentiated(back(drawn(call, case.seed, name)))


@clause("GRD-3")
@for_all(cases(**SMALL), examples=0.5)
def test_gradients_flow_through_all_results_but_one(subject: Subject, case: Case) -> None:
    call = case.call()
    unused = call.results[case.seed % len(call.results)]
    used = [name for name in call.results if name != unused] or [unused]
    differentiated(subject.pullback(call)(drawn(call, case.seed, *used)))


@clause("GRD-3")
@for_all(cases(without=[Feature.PACKED], **SMALL), examples=0.4)
def test_gradients_arrive_in_whatever_layout(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.classes import Graph

    call = case.call()
    name = call.results[case.seed % len(call.results)]
    module = subject.module(call)
    drawn_one = drawn(call, case.seed, name)
    # The gradient of a sum is one number, expanded.
    ones = Backward(call, {name: np.ones(call.shape(name))})
    every_other = np.zeros(call.shape(name))
    every_other[..., ::2] = drawn_one.cotangents[name][..., ::2]
    with subject.doing(call, f"the backward pass through {name}.sum()"):
        graph = Graph.of(module, call)
        one = torch.ones((), dtype=graph.results[name].dtype, device=graph.results[name].device)
        expanded = graph.gradients(ones, {name: one.expand(graph.results[name].shape)}, retain=True)
    differentiated(expanded, what=f"through {name}.sum()")
    with subject.doing(call, f"the backward pass of a strided gradient of {name}"):
        given = graph.cotangents(drawn_one)[name]
        strided = torch.stack([given, given], dim=-1)[..., 0]
        found = graph.gradients(drawn_one, {name: strided}, retain=True)
    differentiated(found, what=f"a strided gradient of {name}")
    with subject.doing(call, f"the backward pass through {name}[..., ::2]"):
        part = replace(graph, results={name: graph.results[name][..., ::2]})
        found = part.gradients(Backward(call, {name: every_other}), {name: given[..., ::2]})
    differentiated(found, what=f"through {name}[..., ::2]")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.4)
def test_a_backward_pass_leaves_nothing_behind(subject: Subject, case: Case) -> None:
    call = case.call()
    back = subject.pullback(call)
    other = replace(call, input=-call.input[:, ::-1])
    differentiated(back(drawn(call, case.seed)))
    differentiated(back(drawn(other, case.seed + 1)), what="another call of the same layer")
    differentiated(back(drawn(call, case.seed)), what="the first call again")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.5)
def test_backward_passes_over_a_retained_graph_add_up(subject: Subject, case: Case) -> None:
    from rnn_conformance.classes import Graph

    call = case.call()
    backward = drawn(call, case.seed)
    module = subject.module(call)
    once = gradient_reference(backward)
    with subject.doing(call, "a backward pass over a retained graph"):
        graph = Graph.of(module, call)
        graph.accumulate(backward, retain=True)
        first = graph.accumulated(backward)
    differentiated(first)
    with subject.doing(call, "the second backward pass over a retained graph"):
        graph.accumulate(backward)
        second = graph.accumulated(backward)
    twice = summed(call.dtype, once, once)
    differentiated(second, to=twice, what="two backward passes over one graph add up")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.5)
def test_the_losses_of_two_calls_add_up(subject: Subject, case: Case) -> None:
    from rnn_conformance.classes import Graph

    call = case.call()
    other = replace(call, input=-call.input[:, ::-1], h_0=None, c_0=None)
    one, two = drawn(call, case.seed), drawn(other, case.seed + 1)
    module = subject.module(call)
    # Both calls come first: what the second does must not spoil the first one's graph.
    with subject.doing(call, "backward passes through two calls"):
        first, second = Graph.of(module, call), Graph.of(module, other)
        second.accumulate(two)
        first.accumulate(one)
        found = first.accumulated(one)
    both = summed(call.dtype, gradient_reference(one), gradient_reference(two))
    what = "the losses of two calls add up"
    differentiated(found, *call.parameters, to=both, what=what)
    # The arguments are each call's own.
    own = [name for name in one.arguments if name not in call.parameters]
    differentiated(found, *own, what="beside another call's loss")
    differentiated(second.accumulated(two), "input", what="beside another call's loss")


def frozen_of(backward: Backward, seed: int) -> tuple[str, Collection[str]]:
    """What asks for no gradient this time; all results depend on something that does."""
    parameters = tuple(backward.call.parameters)
    arguments = [name for name in backward.arguments if name not in parameters]
    lower = [name for name in parameters if backward.call.config.suffix(0, 0) in name]
    one = parameters[seed // 5 % len(parameters)]
    choices: list[tuple[str, Collection[str]]] = [
        ("all parameters frozen", parameters),
        ("an input and states that ask for no gradient", arguments),
        (f"{one} frozen", [one]),
        ("weights frozen", [name for name in parameters if name.startswith("weight")]),
        ("the lowest layer's parameters frozen", lower),
    ]
    return choices[seed % 5]


@clause("GRD-4")
@for_all(cases(**SMALL))
def test_what_asks_for_no_gradient_gets_none(subject: Subject, case: Case) -> None:
    from rnn_conformance.classes import Graph

    call = case.call()
    backward = drawn(call, case.seed)
    what, frozen = frozen_of(backward, case.seed)
    module = subject.module(call)
    with subject.doing(call, f"{backward.described} with {what}"):
        graph = Graph.of(module, call, frozen=frozen)
        graph.accumulate(backward)
        found = graph.accumulated(backward)
    asking = [name for name in backward.arguments if name not in frozen]
    for name in frozen:
        if found.given.get(name) is not None:
            raise NonConforming(
                f"{name} asks for no gradient and got one, with {what}",
                calls=(call,),
                array=GRADIENT + name,
            )
    differentiated(found, *asking, what=f"with {what}")


@clause("GRD-4")
@for_all(cases(**SMALL), examples=0.3)
def test_where_nothing_asks_for_a_gradient_no_graph_is_kept(subject: Subject, case: Case) -> None:
    import torch

    from rnn_conformance.classes import Graph

    call = case.call()
    module = subject.module(call)
    with subject.doing(call, "a call in which nothing asks for a gradient"):
        frozen = drawn(call, case.seed).arguments
        nothing = {"with everything frozen": Graph.of(module, call, frozen=frozen)}
        with torch.no_grad():
            nothing["under no_grad"] = Graph.of(module, call)
    for what, graph in nothing.items():
        for name, result in graph.results.items():
            if result.requires_grad:
                raise NonConforming(f"{name} asks for a gradient {what}", calls=(call,), array=name)


# The gradient belongs to training, so a forward-only implementation is not held to it.
@clause("PCK-5", "GRD-1")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.25)
def test_the_padding_gets_no_gradient(subject: Subject, case: Case) -> None:
    call = case.call()
    found = subject.pullback(call)(drawn(call, case.seed))["input"]
    padding = np.broadcast_to(~call.steps[:, :, None], found.shape)
    within(
        GRADIENT + "input",
        found,
        np.where(padding, 0.0, found),
        np.where(padding, 0.0, np.inf),
        calls=(call,),
        what="the padding gets no gradient",
    )


@clause("PCK-5", "GRD-1")
@for_all(cases(Feature.PACKED, **SMALL), examples=0.3)
def test_the_padding_has_no_influence_on_gradients(subject: Subject, case: Case) -> None:
    call = case.call()
    backward = drawn(call, case.seed)
    for value in (-1e4, np.nan):
        other = replace(call, input=np.where(call.steps[:, :, None], call.input, value))
        found = subject.pullback(other)(Backward(other, backward.cotangents))
        what = f"with {value} in the padding"
        differentiated(found, to=gradient_reference(backward), what=what)


@clause("GRD-1")
@for_all(cases(states=[State.OMITTED], **SMALL), examples=0.3)
def test_gradients_without_an_initial_state(subject: Subject, case: Case) -> Agreement:
    return are_right(subject, case)
