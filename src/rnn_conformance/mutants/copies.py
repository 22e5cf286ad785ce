"""Copies that share or remember something of the layer (LIF-1)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import leaves, mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, data_of, state_shape
from rnn_conformance.mutants.successions import computing_with
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature

COPIES = Chapter("Copies")


class _Prepares(Mixin):
    """Weights that are prepared from the parameters, anew where one of these has changed.

    ``prepared`` are those, as they were when the parameters had some versions.
    """

    def weights(self) -> dict[str, Tensor]:
        now = {n: (id(p), p._version) for n, p in self._parameters.items() if p is not None}
        kept: dict[str, Tensor]
        then, kept = self.__dict__.get("_prepared", (None, {}))
        if self.stale(then, now):
            kept = {name: self._parameters[name].detach().clone() for name in now}
            self.__dict__["_prepared"] = now, kept
        return kept

    def stale(self, then: Any, now: Any) -> bool:
        return bool(then != now)

    def forward(self, input: Any, hx: Any = None) -> Any:
        if torch.is_grad_enabled():
            return super().forward(input, hx)
        with computing_with(self, self.weights()):
            return super().forward(input, hx)


@COPIES.add(
    "prepared weights that deep copies take along by reference, filled anew in place",
    "LIF-1",
    source="pytorch/pytorch#33552",
)
class _SharesPreparedWeights(_Prepares):
    def weights(self) -> dict[str, Tensor]:
        now = {n: (id(p), p._version) for n, p in self._parameters.items() if p is not None}
        kept: dict[str, Tensor] = self.__dict__.setdefault("_prepared", {})
        if self.__dict__.get("_versions") != now:
            for name in now:
                value = self._parameters[name].detach()
                if name in kept and kept[name].dtype == value.dtype:
                    kept[name].copy_(value)
                else:
                    kept[name] = value.clone()
            self.__dict__["_versions"] = now
        return kept

    def __deepcopy__(self, memo: Any) -> Any:
        made = _plainly_copied(self, memo)
        if "_prepared" in self.__dict__:
            made.__dict__["_prepared"] = self.__dict__["_prepared"]
            # By names alone: as if what is prepared were the copy's own.
            now = {n: (id(p), p._version) for n, p in made._parameters.items() if p is not None}
            made.__dict__["_versions"] = now
        return made


def _plainly_copied(module: Any, memo: Any) -> Any:
    """As ``copy.deepcopy`` does without a method of the class."""
    made = module.__class__.__new__(module.__class__)
    memo[id(module)] = made
    made.__setstate__(copy.deepcopy(module.__dict__, memo))
    return made


@COPIES.add(
    "prepared weights that stay in a copy when other parameters are loaded",
    "LIF-1",
    source="apache/mxnet#16037",
)
class _KeepsPreparedWeights(_Prepares):
    """Versions begin anew in a copy: what was prepared passes for new."""

    def stale(self, then: Any, now: Any) -> bool:
        return then is None or len(self.__dict__.get("_loaded", ())) != 0

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.__dict__["_copied"] = True

    def weights(self) -> dict[str, Tensor]:
        if not self.__dict__.get("_copied"):
            return {n: p.detach() for n, p in self._parameters.items() if p is not None}
        return super().weights()


@COPIES.add(
    "the last results kept, which cannot be copied while they have a graph",
    "LIF-1",
    crashes=True,
    source="pytorch/pytorch#33552",
)
class _KeepsResults(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        self.__dict__["_last"] = list(leaves(returned).values())
        return returned


@COPIES.add(
    "a packed call's order kept, and used by copies alone",
    "LIF-1",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="pytorch/pytorch#32605",
)
class _CopiesTheOrder(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            self.__dict__["_order"] = input.sorted_indices
        output, state = super().forward(input, hx)
        order = self.__dict__.get("_inherited")
        if order is not None and isinstance(input, Tensor) and input.dim() == 3:
            state = mapped(lambda array: array[:, order], state)
        return output, state

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if "_order" in self.__dict__:
            self.__dict__["_inherited"] = self.__dict__["_order"]


@COPIES.add(
    "the last state kept, with which a copy goes on", "LIF-1", source="tensorflow/tensorflow#47813"
)
class _CopiesTheState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        key = state_shape(self, input), data_of(input).dtype
        if hx is None and self.__dict__.get("_copied"):
            hx = self.__dict__.get("_last", {}).get(key)
        returned = super().forward(input, hx)
        state = returned[1] if isinstance(self, torch.nn.RNNBase) else returned
        kept = mapped(lambda array: array.detach().clone(), state)
        self.__dict__.setdefault("_last", {})[key] = kept
        return returned

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.__dict__["_copied"] = True


@COPIES.add(
    "loading that shares the memory of what is loaded",
    "LIF-1",
    source="pytorch/pytorch#33238",
)
class _LoadsByReference(Mixin):
    def load_state_dict(self, state_dict: Any, *args: Any, **keywords: Any) -> Any:
        loaded = super().load_state_dict(state_dict, *args, **keywords)
        for name, parameter in self.named_parameters():
            given = state_dict[name]
            if given.dtype == parameter.dtype and given.shape == parameter.shape:
                parameter.data = given.detach()
        return loaded


@COPIES.add(
    "copies after training that have the parameters of before",
    "LIF-1",
    source="apache/mxnet#16037",
)
class _CopiesTheBeginning(Mixin):
    def load_state_dict(self, state_dict: Any, *args: Any, **keywords: Any) -> Any:
        loaded = super().load_state_dict(state_dict, *args, **keywords)
        self.__dict__["_begun"] = {n: p.detach().clone() for n, p in self.named_parameters()}
        return loaded

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(self.__dict__["_begun"][name])


@COPIES.add(
    "copies in float32, whatever the dtype of the layer",
    "LIF-1",
    crashes=True,
    source="fangwei123456/spikingjelly#656",
)
class _CopiesInFloat32(Mixin):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.float()


@COPIES.add("copies that are in training again", "LIF-1", source="pytorch/pytorch#180744")
class _CopiesTrain(Mixin):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.train()


@COPIES.add(
    "one mode for a layer and all its copies",
    "LIF-1",
    source="pytorch/pytorch#180744",
)
class _SharesItsMode(Mixin):
    def train(self, mode: bool = True) -> Any:
        self._mode()[0] = mode
        return super().train(mode)

    def _mode(self) -> list[bool]:
        mode: list[bool] = self.__dict__.setdefault("_mode_of_all", [True])
        return mode

    def __deepcopy__(self, memo: Any) -> Any:
        made = _plainly_copied(self, memo)
        made.__dict__["_mode_of_all"] = self._mode()
        return made

    @property
    def training(self) -> bool:
        return self._mode()[0]

    @training.setter
    def training(self, mode: bool) -> None:
        self._mode()[0] = mode


@COPIES.add(
    "gradients of a copy added to the layer's own",
    "LIF-1",
    source="pytorch/pytorch#33552",
)
class _AddsToTheOriginal(Mixin):
    def __deepcopy__(self, memo: Any) -> Any:
        made = _plainly_copied(self, memo)
        for name, parameter in made.named_parameters():
            own = self._parameters[name]

            def add(gradient: Tensor, own: Any = own) -> None:
                if own.dtype == gradient.dtype:
                    own.grad = gradient if own.grad is None else own.grad + gradient

            parameter.register_hook(add)
        return made


@COPIES.add("a shallow copy with parameters of its own", "LIF-1", source="pytorch/pytorch#33238")
class _CopiesShallowlyDeep(Mixin):
    def __copy__(self) -> Any:
        return copy.deepcopy(self)


@COPIES.add(
    "a shallow copy that changes the mode of the layer, whose attributes it shares",
    "LIF-1",
    source="pytorch/pytorch#33238",
)
class _SharesAttributes(Mixin):
    def __copy__(self) -> Any:
        made = self.__class__.__new__(self.__class__)
        made.__dict__ = self.__dict__
        return made
