"""Copies, modes and hooks that are wrong (LIF)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import copy
from typing import Any

import torch

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, data_of
from rnn_conformance.spec.clauses import LAYERS

LIFECYCLE = Chapter("Lifecycle")


@LIFECYCLE.add("deep copies that share their parameters", "LIF-1")
class _CopiesShare(Mixin):
    def __deepcopy__(self, memo: Any) -> Any:
        return copy.copy(self)


@LIFECYCLE.add("fresh parameters after unpickling", "LIF-1")
class _PicklesItsConstruction(Mixin):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.reset_parameters()


@LIFECYCLE.add("a function among its attributes, which cannot be pickled", "LIF-1", crashes=True)
class _KeepsAFunction(Mixin):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.scale = lambda x: x


@LIFECYCLE.add(
    "its mode decided by the first call of each shape",
    "LIF-2",
    kinds=LAYERS,
    source="pytorch/pytorch#180744",
)
class _RemembersItsMode(Mixin):
    training: bool

    def forward(self, input: Any, hx: Any = None) -> Any:
        modes = self.__dict__.setdefault("_modes", {})
        now, self.training = self.training, modes.setdefault(data_of(input).shape, self.training)
        try:
            return super().forward(input, hx)
        finally:
            self.training = now


@LIFECYCLE.add("an eval that does nothing after train", "LIF-2", kinds=LAYERS)
class _DropsUntilEvaluated(Mixin):
    def train(self, mode: bool = True) -> Any:
        self._trained = mode or getattr(self, "_trained", False)
        return super().train(self._trained)


@LIFECYCLE.add("nothing returned by train and eval", "LIF-2", kinds=LAYERS, crashes=True)
class _ReturnsNothingFromTrain(Mixin):
    def train(self, mode: bool = True) -> Any:
        super().train(mode)


@LIFECYCLE.add("gradients recorded although none are asked for", "LIF-3")
class _RecordsAlways(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        with torch.inference_mode(False), torch.enable_grad():
            return super().forward(mapped(torch.clone, input), mapped(torch.clone, hx))


@LIFECYCLE.add("a call that is made again answered from what was kept", "LIF-3", crashes=True)
class _AnswersFromWhatWasKept(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        of, state, kept = self.__dict__.get("_last", (None, None, None))
        if of is input and state is hx and torch.is_grad_enabled():
            return kept
        returned = super().forward(input, hx)
        self.__dict__["_last"] = (input, hx, returned)
        return returned


@LIFECYCLE.add("hooks that do not run", "LIF-3")
class _SkipsHooks(Mixin):
    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.forward(*args, **keywords)


@LIFECYCLE.add("hooks that run twice", "LIF-3")
class _CallsItself(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.__dict__.get("_inside"):
            return super().forward(input, hx)
        self.__dict__["_inside"] = True
        try:
            return self(input, hx)
        finally:
            self.__dict__["_inside"] = False
