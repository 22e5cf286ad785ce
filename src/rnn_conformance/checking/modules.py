"""Calling a ``torch.nn.Module`` that is already there, whatever was done with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import count
from typing import Any, TypeVar

import torch
from torch.autograd.graph import saved_tensors_hooks

from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, NonConforming, Sort, Unsupported
from rnn_conformance.implementations.autograd import Graph
from rnn_conformance.implementations.tensors import parameters
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.result import Result

T = TypeVar("T")


def answer(subject: Subject, module: Any, call: Call) -> Result:
    """What it answers, without gradients and in the mode that it is in."""
    given = subject.arguments(call)
    with subject.doing(call), torch.no_grad():
        returned = module(*given)
    return subject.result(call, returned)


def named(subject: Subject, call: Call) -> Any:
    """A module whose parameters have ``torch.nn``'s names, for what is done to them by name.

    Raises ``Unsupported`` for one that has other names, declared or not.
    """
    names = subject.implementation.names(call.config)
    if any(name != own for name, own in names.items()):
        raise Unsupported("has its parameters under names of its own", Gap.NAMES)
    return subject.module(call)


def tensors(subject: Subject, call: Call) -> dict[str, torch.Tensor]:
    """The call's parameters by the implementation's own names, on its device.

    Raises ``Unsupported`` where these are not known.
    """
    names = subject.implementation.names(call.config)
    given = parameters(call.layer, subject.implementation.device)
    return {names[name]: value for name, value in given.items()}


def by_torchs_names(subject: Subject, call: Call, given: Mapping[str, T]) -> dict[str, T]:
    """What a module has for its parameters, by ``torch.nn``'s names of them.

    Raises ``Unsupported`` where its own names are not known, and ``NonConforming`` where
    there is nothing under one of them.
    """
    names = subject.implementation.names(call.config)
    if missing := [own for own in names.values() if own not in given]:
        raise NonConforming(
            f"there is no parameter {missing[0]}; there is {', '.join(given)} (PAR-1)",
            sort=Sort.SURFACE,
            calls=(call,),
        )
    return {name: given[own] for name, own in names.items()}


class Recomputed:
    """A module whose calls are computed again for the backward pass, to keep less of them.

    As ``torch.utils.checkpoint`` does it, which is not used itself: it imports torch's compiler,
    which takes seconds and reads every module of the process, also those that cannot be read.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.named_parameters = module.named_parameters
        self.module = module

    def __call__(self, *arguments: Any) -> Any:
        """What the module returns."""
        places, again = count(), count()
        recomputed: dict[int, torch.Tensor] = {}

        def keep(saved: torch.Tensor) -> None:
            recomputed[next(again)] = saved.detach()

        def find(place: int) -> torch.Tensor:
            if not recomputed:
                with torch.enable_grad(), saved_tensors_hooks(keep, lambda nothing: nothing):
                    self.module(*arguments)
            if place not in recomputed:
                raise LookupError("called again, the module saves fewer tensors than before")
            return recomputed[place]

        with saved_tensors_hooks(lambda saved: next(places), find):
            return self.module(*arguments)


def graph(subject: Subject, module: Any, call: Call, *, frozen: Collection[str] = ()) -> Graph:
    """A call of a module as automatic differentiation recorded it.

    What is ``frozen`` asks for no gradient.
    """
    implementation = subject.implementation
    names, tf32 = implementation.names(call.config), implementation.declaration.tf32
    return Graph.of(module, call, implementation.device, names, frozen=frozen, tf32=tf32)
