"""Which parameters a call uses, where these are not those that the module has (PAR-3, PAR-4, …)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_conformance.checking.comparing import are_close
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments, finest, plain_call
from rnn_conformance.reference.oracle import Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call

if TYPE_CHECKING:
    import torch

USING = Experiments()

CLAUSES = "PAR-3 PAR-4 PAR-6 LIF-1 LIF-3"
"""What fails where a call uses other parameters than the module has."""

FIX = "Read self's parameters in every call, or renew what is made of them when they change."


def _made(subject: Subject, call: Call) -> torch.nn.Module:
    """A fresh module of the class, in the call's dtype, in evaluation mode."""
    from rnn_conformance.implementations.devices import torch_dtype

    implementation = subject.implementation
    module: torch.nn.Module = implementation.construct(call.config)
    return module.to(implementation.device, torch_dtype(call.dtype)).eval()


def _held(subject: Subject, call: Call, module: torch.nn.Module) -> dict[str, Array]:
    """The module's parameters now, by ``torch.nn``'s names."""
    names = subject.implementation.names(call.config)
    own = dict(module.named_parameters())
    return {
        name: np.array(own[names[name]].detach().cpu().double().numpy())
        for name in call.config.parameters
    }


def _answer(subject: Subject, call: Call, module: Any) -> Array:
    import torch

    with torch.no_grad():
        return subject.result(call, module(*subject.arguments(call))).h_n


def _gives(given: Array, call: Call, parameters: dict[str, Array]) -> bool:
    """Whether a state is that of a layer with these parameters, and not of another."""
    return are_close(given, Oracle().answer(call.replace(parameters=parameters)).h_n, 1e-4)


def _change(module: torch.nn.Module, how: Callable[[torch.nn.Module, str], None]) -> None:
    for name in [name for name, _ in module.named_parameters()]:
        how(module, name)


def _stale(subject: Subject, how: Callable[[torch.nn.Module, str], None], *, called: bool) -> str:
    """Of which parameters a call after a change uses what was there before; empty if of none."""
    call = plain_call(subject, finest(subject), (3, 4), seed=2)
    module = _made(subject, call)
    before = _held(subject, call, module)
    if called:
        _answer(subject, call, module)
    _change(module, how)
    after = _held(subject, call, module)
    given = _answer(subject, call, module)
    if _gives(given, call, after):
        return ""
    if _gives(given, call, before):
        return "the parameters"
    every = call.config.kind.gates
    for names, gates in _parts(call):
        kept = np.repeat([gate in gates for gate in every], call.config.hidden_size)
        mixed = {
            # Rows are the last axis of what is transposed, whether a matrix or a bias.
            name: np.where(kept, before[name].T, after[name].T).T
            for name in names
        }
        if _gives(given, call, after | mixed):
            return ", ".join(names) + (f" at {', '.join(gates)}" if gates != every else "")
    return ""


def _parts(call: Call) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Parameters and gates that may be kept together: as many as can be of both, then fewer."""
    gates, names = call.config.kind.gates, tuple(call.config.parameters)
    for count, number in product(range(len(names), 0, -1), range(len(gates), 0, -1)):
        yield from product(combinations(names, count), combinations(gates, number))


def _in_place(module: torch.nn.Module, name: str) -> None:
    import torch

    with torch.no_grad():
        module.get_parameter(name).add_(0.5)


def _assigned(module: torch.nn.Module, name: str) -> None:
    import torch

    place, _, last = name.rpartition(".")
    other = torch.nn.Parameter(module.get_parameter(name).detach() + 0.5)
    setattr(module.get_submodule(place), last, other)


def _loaded(module: torch.nn.Module, name: str) -> None:
    state = module.state_dict()
    state[name] = state[name].detach() + 0.5
    module.load_state_dict(state)


CHANGES = {
    "changed in place": _in_place,
    "loaded by load_state_dict": _loaded,
    "assigned as new parameters": _assigned,
}

for called, when in ((False, "when it is made"), (True, "at the first call")):
    for words, how in CHANGES.items():

        def _seen(
            subject: Subject,
            how: Callable[[torch.nn.Module, str], None] = how,
            called: bool = called,
            words: str = words,
        ) -> str:
            if not (stale := _stale(subject, how, called=called)):
                return ""
            first = "after a first call, " if called else ""
            return f"{first}results with parameters {words} are those of {stale} before"

        USING.add(
            f"parameters that are copied {when}: those that are {words} later are not used",
            CLAUSES,
            fix=FIX,
        )(_seen)
