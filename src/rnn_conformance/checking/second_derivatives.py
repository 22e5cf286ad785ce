"""Derivatives of derivatives of a module, by each of torch's ways to them.

What ``torch.nn``'s own class cannot do on this device and in this dtype is demanded of nobody;
but whatever is answered must be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from rnn_conformance.checking.assertions import assert_close
from rnn_conformance.checking.deployment import quiet, torchs
from rnn_conformance.checking.modules import graph
from rnn_conformance.checking.subject import PROFILES, Subject
from rnn_conformance.errors import NonConforming
from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.implementations.tensors import (
    assembled,
    tensor,
    tensors,
    tensors_of,
    values,
)
from rnn_conformance.reference.second_derivatives import changes, directions
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.result import Result

Named: TypeAlias = Mapping[str, torch.Tensor]
Function: TypeAlias = Callable[[Named], torch.Tensor]

Way: TypeAlias = Callable[[Subject, Any, Backward, Named], Mapping[str, torch.Tensor | None]]
"""The changes of gradients and results along a direction, by name, as far as it gives them."""


def assert_right_changes(subject: Subject, backward: Backward, seed: int, *ways: Way) -> None:
    """How gradients or results change along a direction is right, in each of the ways.

    Where ``torch.nn``'s own class raises an exception so may the implementation; that is
    noted. Raises ``NonConforming``.
    """
    direction = directions(backward.call, seed)
    due = None
    for way in ways:
        what = (way.__doc__ or "").splitlines()[0].rstrip(".")
        try:
            found = _tried(subject, backward, direction, way, what)
        except NonConforming as error:
            try:
                _tried(torchs(subject), backward, direction, way, what)
            except NonConforming:
                note = f"{what}: torch.nn.{subject.kind} itself has none in {backward.call.dtype}"
                subject.tally.notes[note] = None
                continue
            error.backward = backward
            raise
        if due is None:
            due = changes(backward, direction, tf32=subject.implementation.declaration.tf32)
        _compare(backward, found, due.values, due.bounds, what)


def _tried(
    subject: Subject, backward: Backward, direction: Mapping[str, Array], way: Way, what: str
) -> Mapping[str, torch.Tensor | None]:
    call, device = backward.call, subject.implementation.device
    dtype = torch_dtype(call.dtype)
    along = {
        name: tensor(array if name in call.parameters else call.give(name, array), dtype, device)
        for name, array in direction.items()
    }
    module = subject.module(call)
    with subject.doing(call, what), quiet():
        return way(subject, module, backward, along)


def _compare(
    backward: Backward,
    found: Mapping[str, torch.Tensor | None],
    due: Mapping[str, Array],
    bounds: Mapping[str, Array],
    what: str,
) -> None:
    call = backward.call
    given = {name: None if array is None else values(array) for name, array in found.items()}
    gradients = Gradients(backward, given)
    for name in found:
        if name in call.results:
            array = given[name]
            if array is None:
                array = call.give(name, 0.0 * due[name])
            got = Result(call, {name: array}, {}, {})[name]
        else:
            got = gradients[name]
        assert_close(
            name,
            got,
            due[name],
            bounds[name],
            calls=(call,),
            what=what,
            backward=None if name in call.results else backward,
        )


def through_the_graph(
    subject: Subject, module: Any, backward: Backward, along: Named
) -> Mapping[str, torch.Tensor | None]:
    """A backward pass through the backward pass."""
    leaves, cotangents, first = recorded(subject, module, backward)
    asked = {**leaves, **cotangents}
    changing = [(gradient * along[name]).sum() for name, gradient in first.items()]
    if not changing:
        # Constants: as silent as in the loss that a penalty on gradients is added to.
        return dict.fromkeys(asked)
    # Not torch.autograd.grad, which passes by a node that would raise and leads to nothing asked.
    torch.stack(changing).sum().backward()  # type: ignore[no-untyped-call]
    return {name: leaf.grad for name, leaf in asked.items()}


def mapped_through_the_graph(
    subject: Subject, module: Any, backward: Backward, along: Named
) -> Mapping[str, torch.Tensor | None]:
    """Backward passes through the backward pass, mapped over directions."""
    leaves, cotangents, first = recorded(subject, module, backward)
    asked = {**leaves, **cotangents}
    if not first:
        return dict.fromkeys(asked)
    second: Sequence[torch.Tensor | None] = torch.autograd.grad(
        list(first.values()),
        list(asked.values()),
        [torch.stack([-along[name], along[name]]) for name in first],
        allow_unused=True,
        is_grads_batched=True,
    )
    return {
        name: None if array is None else array[1] for name, array in zip(asked, second, strict=True)
    }


def recorded(
    subject: Subject, module: Any, backward: Backward
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Arguments and parameters, cotangents, and those gradients that depend on them, by name."""
    called = graph(subject, module, backward.call)
    cotangents = called.cotangents(backward)
    for cotangent in cotangents.values():
        cotangent.requires_grad_()
    leaves = dict(called.leaves)
    first: Sequence[torch.Tensor | None] = torch.autograd.grad(
        [called.results[name] for name in cotangents],
        list(leaves.values()),
        list(cotangents.values()),
        create_graph=True,
        allow_unused=True,
    )
    changing = {
        name: gradient
        for name, gradient in zip(leaves, first, strict=True)
        if gradient is not None and gradient.requires_grad
    }
    return leaves, cotangents, changing


def gradient_of_a_gradient(
    subject: Subject, module: Any, backward: Backward, along: Named
) -> Mapping[str, torch.Tensor | None]:
    """torch.func.grad of torch.func.grad."""
    leaves, loss = functional(subject, module, backward)

    def changing(given: Named) -> torch.Tensor:
        return inner(torch.func.grad(loss)(given), along)

    found: Mapping[str, torch.Tensor | None] = torch.func.grad(changing)(leaves)
    return found


def forward_over_reverse(
    subject: Subject, module: Any, backward: Backward, along: Named
) -> Mapping[str, torch.Tensor | None]:
    """torch.func.jvp of torch.func.grad."""
    leaves, loss = functional(subject, module, backward)
    found: Mapping[str, torch.Tensor | None]
    found = torch.func.jvp(torch.func.grad(loss), (leaves,), (dict(along),))[1]
    return found


def forward_mode(
    subject: Subject, module: Any, backward: Backward, along: Named
) -> Mapping[str, torch.Tensor | None]:
    """torch.func.jvp of the call."""
    leaves, results = answering(subject, module, backward)
    found: Mapping[str, torch.Tensor | None]
    found = torch.func.jvp(results, (leaves,), (dict(along),))[1]
    return found


def mapped_gradients(
    subject: Subject, module: Any, backward: Backward, along: Named
) -> Mapping[str, torch.Tensor | None]:
    """torch.func.vmap of torch.func.grad of torch.func.grad."""
    leaves, loss = functional(subject, module, backward)

    def changed(direction: Named) -> Named:
        found: Named = torch.func.grad(
            lambda given: inner(torch.func.grad(loss)(given), direction)
        )(leaves)
        return found

    both = {name: torch.stack([-array, array]) for name, array in along.items()}
    found = torch.func.vmap(changed)(both)
    return {name: array[1] for name, array in found.items()}


def answering(
    subject: Subject, module: Any, backward: Backward
) -> tuple[dict[str, torch.Tensor], Callable[[Named], dict[str, torch.Tensor]]]:
    """The arguments and parameters by name, and the results as a function of them."""
    call = backward.call
    leaves = {
        **tensors(call, subject.implementation.device),
        **{name: parameter.detach() for name, parameter in module.named_parameters()},
    }

    def results(given: Named) -> dict[str, torch.Tensor]:
        parameters = {name: given[name] for name in call.parameters}
        returned = torch.func.functional_call(module, parameters, assembled(call, given))
        return tensors_of(call, returned)[0]

    return leaves, results


def functional(
    subject: Subject, module: Any, backward: Backward
) -> tuple[dict[str, torch.Tensor], Function]:
    """The same with the scalar of which the backward pass gives the gradient."""
    leaves, results = answering(subject, module, backward)
    dtype, device = torch_dtype(backward.call.dtype), subject.implementation.device
    cotangents = {
        name: tensor(backward.call.give(name, array), dtype, device)
        for name, array in backward.cotangents.items()
    }
    return leaves, lambda given: inner(results(given), cotangents)


def inner(one: Named, other: Named) -> torch.Tensor:
    """The sum of all products."""
    terms: Iterable[torch.Tensor] = ((one[name] * array).sum() for name, array in other.items())
    return torch.stack(list(terms)).sum()


def transforming(subject: Subject) -> tuple[Way, ...]:
    """The ways of ``torch.func``, which loads torch's compiler for them.

    That alone takes longer than a quick run should, which is left with the one that does not.
    """
    if subject.profile.cases < PROFILES["standard"].cases:
        return (mapped_through_the_graph,)
    return (
        mapped_through_the_graph,
        gradient_of_a_gradient,
        forward_over_reverse,
        forward_mode,
        mapped_gradients,
    )
