"""Layers to which a parameter is an object to be kept, not an attribute to be read (PAR-6)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import copy
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from rnn_conformance.mutants.mutant import Chapter, Mixin
from rnn_conformance.mutants.reading import Keeping, Read, Reading
from rnn_conformance.spec.clauses import CELLS, LAYERS

COMPUTED = Chapter("Computed parameters")


@COMPUTED.add(
    "the constructor's parameters, whatever is computed in their place",
    "PAR-6",
    source="pytorch/pytorch#65688",
)
class _Deaf(Keeping):
    def one(self, name: str) -> Tensor:
        return super().one(name) if self.is_plain(name) else self.first[name]


@COMPUTED.add("the constructor's biases, whatever is computed in their place", "PAR-6")
class _DeafToBiases(Keeping):
    def one(self, name: str) -> Tensor:
        keeps = name.startswith("bias") and not self.is_plain(name)
        return self.first[name] if keeps else super().one(name)


@COMPUTED.add(
    "the constructor's recurrent weights, whatever is computed in their place",
    "PAR-6",
    source="pytorch/pytorch#32346",
)
class _DeafToRecurrence(Keeping):
    def one(self, name: str) -> Tensor:
        keeps = name.startswith("weight_hh") and not self.is_plain(name)
        return self.first[name] if keeps else super().one(name)


@COMPUTED.add("what a parametrization computes from in its place", "PAR-6")
class _ReadsOriginals(Reading):
    def one(self, name: str) -> Tensor:
        computed = super().one(name)
        for place, parameter in self.named_parameters():
            original = place.startswith(f"parametrizations.{name}.original")
            if original and parameter.shape == computed.shape:
                return parameter
        return computed


@COMPUTED.add("pruned weights unpruned", "PAR-6", source="pytorch/pytorch#33618")
class _Unpruned(Reading):
    def one(self, name: str) -> Tensor:
        original: Tensor | None = getattr(self, f"{name}_orig", None)
        return super().one(name) if original is None else original


@COMPUTED.add(
    "what was computed at the first call in every call",
    "PAR-6",
    source="fastai/fastai#2591",
)
class _ComputesOnce(Reading):
    def one(self, name: str) -> Tensor:
        if self.is_plain(name):
            return super().one(name)
        kept: Read = self.__dict__.setdefault("_once", {})
        return kept.setdefault(name, super().one(name).detach().clone())


@COMPUTED.add(
    "what was computed, still used once it is a parameter again",
    "PAR-6",
    source="pytorch/pytorch#33618",
)
class _StaysComputed(Reading):
    def one(self, name: str) -> Tensor:
        kept: Read = self.__dict__.setdefault("_last", {})
        if not self.is_plain(name):
            kept[name] = super().one(name).detach().clone()
            return super().one(name)
        return kept.get(name, super().one(name))


@COMPUTED.add("no gradient for what a parameter is computed from", "PAR-6 LIF-4")
class _DetachesComputed(Reading):
    def one(self, name: str) -> Tensor:
        tensor = super().one(name)
        return tensor if tensor.is_leaf else tensor.detach()


@COMPUTED.add(
    "weights read as if they were contiguous",
    "PAR-6",
)
class _AssumesContiguous(Reading):
    def one(self, name: str) -> Tensor:
        tensor = super().one(name)
        if tensor.is_contiguous():
            return tensor
        strides = torch.empty(tensor.shape, device="meta").stride()
        return torch.as_strided(tensor, tensor.shape, strides)


@COMPUTED.add(
    "its parameters alone, so that a computed one is missing",
    "PAR-6 LIF-4",
    source="pytorch/pytorch#15749",
    crashes=True,
)
class _OnlyParameters(Reading):
    def read(self) -> Read:
        own = dict(self.named_parameters(remove_duplicate=False))
        return {name: own[name] for name in self.names}


@COMPUTED.add(
    "parameters told apart by what they are, so that of two tied ones one is missing",
    "PAR-6",
    crashes=True,
)
class _CountsOnce(Reading):
    def read(self) -> Read:
        distinct = {id(self.one(name)): name for name in self.names}
        return {name: self.one(name) for name in distinct.values()}

    def called(self, parameters: Read, input: Any, hx: Any) -> Any:
        if missing := set(self.names) - set(parameters):
            raise KeyError(f"{', '.join(sorted(missing))} is missing")
        return super().called(parameters, input, hx)


@COMPUTED.add("no gradient for the second of two tied parameters", "PAR-6")
class _DifferentiatesOnce(Reading):
    def read(self) -> Read:
        seen: set[int] = set()
        found = {}
        for name in self.names:
            tensor = self.one(name)
            found[name] = tensor.detach() if id(tensor) in seen else tensor
            seen.add(id(tensor))
        return found


def untie(module: nn.Module) -> None:
    """Each name a parameter of its own."""
    for name, parameter in list(module._parameters.items()):
        if parameter is not None:
            setattr(module, name, nn.Parameter(parameter.detach().clone()))


def is_tied(module: nn.Module) -> bool:
    """Whether two names are one parameter."""
    own = [id(parameter) for parameter in module._parameters.values() if parameter is not None]
    return len(set(own)) < len(own)


@COMPUTED.add(
    "tied parameters untied by a cast",
    "PAR-6",
    source="torch/nn#187",
)
class _CastsUntie(Mixin):
    def _apply(self, *args: Any, **keywords: Any) -> Any:
        made = super()._apply(*args, **keywords)
        if is_tied(made):
            untie(made)
        return made


@COMPUTED.add("tied parameters untied by loading", "PAR-6", source="pytorch/pytorch#188346")
class _LoadingUnties(Mixin):
    def load_state_dict(self, *args: Any, **keywords: Any) -> Any:
        if is_tied(self):
            untie(self)
        return super().load_state_dict(*args, **keywords)


@COMPUTED.add("tied parameters untied by flatten_parameters", "PAR-6", kinds=LAYERS)
class _FlatteningUnties(Mixin):
    def flatten_parameters(self) -> None:
        if is_tied(self):
            untie(self)


@COMPUTED.add("tied parameters untied by a deep copy", "PAR-6")
class _CopiesUntie(Mixin):
    def __deepcopy__(self, memo: Any) -> Any:
        made = type(self).__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if is_tied(made):
            untie(made)
        return made


@COMPUTED.add(
    "weights of a layer that was frozen, kept without gradients",
    "LIF-3",
)
class _StaysFrozen(Reading):
    def one(self, name: str) -> Tensor:
        kept: Read = self.__dict__.setdefault("_frozen", {})
        tensor = super().one(name)
        if tensor.requires_grad or not torch.is_grad_enabled():
            return kept.get(name, tensor)
        return kept.setdefault(name, tensor.detach())


@COMPUTED.add(
    "weak references to its parameters, so that they cannot be swapped",
    "PAR-4",
    kinds=CELLS,
    crashes=True,
)
class _RefersWeakly(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        self.__dict__["_references"] = [weakref.ref(parameter) for parameter in self.parameters()]
        return super().forward(input, hx)
