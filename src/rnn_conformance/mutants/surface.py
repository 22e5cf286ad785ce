"""Layers with another surface than public code expects (PAR-7)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from rnn_conformance.mutants.mutant import Chapter, Mixin
from rnn_conformance.mutants.reading import Read, Reading
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature

SURFACE = Chapter("Surface")


@SURFACE.add("a second argument called h_0", "PAR-7", source="pytorch/pytorch#136925", crashes=True)
class _CallsItH0(Mixin):
    def forward(self, input: Any, h_0: Any = None) -> Any:
        return super().forward(input, h_0)


@SURFACE.add("a first argument called x", "PAR-7", crashes=True)
class _CallsItX(Mixin):
    def forward(self, x: Any, hx: Any = None) -> Any:
        return super().forward(x, hx)


@SURFACE.add("arguments by position alone", "PAR-7", crashes=True)
class _ByPosition(Mixin):
    def forward(self, *arguments: Any) -> Any:
        return super().forward(*arguments)


@SURFACE.add("a state given by its keyword ignored", "PAR-7")
class _IgnoresKeywords(Mixin):
    def forward(self, input: Any, *state: Any, **keywords: Any) -> Any:
        return super().forward(input, *state)


@SURFACE.add("no None for a state", "PAR-7", crashes=True)
class _NoNone(Mixin):
    def forward(self, input: Any, *state: Any, **keywords: Any) -> Any:
        for hx in (*state, *keywords.values()):
            if hx is None:
                raise TypeError("hx is to be a tensor")
        return super().forward(input, *state, **keywords)


class _Made(Mixin):
    """The constructor's own ``reset_parameters`` is right."""

    hidden_size: int

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._made = True

    def reset_parameters(self) -> None:
        if "_made" in self.__dict__:
            self.reset()
        else:
            super().reset_parameters()

    def reset(self) -> None:
        """Every later one."""
        super().reset_parameters()

    @property
    def limit(self) -> float:
        """That of initial values."""
        return 1.0 / math.sqrt(self.hidden_size)


@SURFACE.add("no reset_parameters", "PAR-7", crashes=True)
class _NoReset(_Made):
    def reset(self) -> None:
        raise AttributeError(f"{type(self).__name__} has no reset_parameters")


@SURFACE.add("a reset_parameters that does nothing", "PAR-7")
class _ResetsNothing(_Made):
    def reset(self) -> None:
        pass


@SURFACE.add("a reset_parameters that leaves the biases", "PAR-7")
class _LeavesBiases(_Made):
    def reset(self) -> None:
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.uniform_(parameter, -self.limit, self.limit)


@SURFACE.add("a reset_parameters that makes the biases zero", "PAR-7")
class _ZeroesBiases(_Made):
    def reset(self) -> None:
        for name, parameter in self.named_parameters():
            limit = 0.0 if name.startswith("bias") else self.limit
            nn.init.uniform_(parameter, -limit, limit)


@SURFACE.add("a reset_parameters within 1", "PAR-7")
class _ResetsWithinOne(_Made):
    def reset(self) -> None:
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1.0, 1.0)


@SURFACE.add("a reset_parameters that makes other parameters", "PAR-7")
class _ResetsByReplacing(_Made):
    def reset(self) -> None:
        for name, parameter in list(self.named_parameters()):
            made = torch.empty_like(parameter).uniform_(-self.limit, self.limit)
            setattr(self, name, nn.Parameter(made))


@SURFACE.add(
    "a reset_parameters of the first layer alone",
    "PAR-7",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)
class _ResetsTheFirst(_Made):
    def reset(self) -> None:
        for name, parameter in self.named_parameters():
            if "_l0" in name:
                nn.init.uniform_(parameter, -self.limit, self.limit)


@SURFACE.add("a reset_parameters that no seed decides", "PAR-7")
class _ResetsUnseeded(_Made):
    def reset(self) -> None:
        generator = torch.Generator()
        generator.seed()
        for parameter in self.parameters():
            parameter.data.uniform_(-self.limit, self.limit, generator=generator)


@SURFACE.add("a reset_parameters after which the old values are used", "PAR-7")
class _ResetsBesides(_Made, Reading):
    def reset(self) -> None:
        self._old = {name: self.one(name).detach().clone() for name in self.names}
        super().reset()

    def read(self) -> Read:
        return self.__dict__.get("_old") or super().read()


@SURFACE.add(
    "dropout as it was when constructed",
    "PAR-7",
    kinds=LAYERS,
    needs=[Feature.DROPOUT, Feature.MULTI_LAYER],
)
class _KeepsDropout(Mixin):
    dropout: float

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._dropout = self.dropout

    def forward(self, input: Any, hx: Any = None) -> Any:
        now, self.dropout = self.dropout, self._dropout
        try:
            return super().forward(input, hx)
        finally:
            self.dropout = now


@SURFACE.add(
    "batch_first as it was when constructed",
    "PAR-7",
    kinds=LAYERS,
    needs=[Feature.BATCH_FIRST],
    crashes=True,
)
class _KeepsBatchFirst(Mixin):
    batch_first: bool

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._batch_first = self.batch_first

    def forward(self, input: Any, hx: Any = None) -> Any:
        now, self.batch_first = self.batch_first, self._batch_first
        try:
            return super().forward(input, hx)
        finally:
            self.batch_first = now


@SURFACE.add("a repr of what it does not have", "PAR-7", crashes=True)
class _CannotBePrinted(Mixin):
    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.output_size}"


@SURFACE.add(
    "no proj_size where a pickle has none",
    "PAR-7",
    kinds=LAYERS,
    source="pytorch/pytorch#53359",
    crashes=True,
)
class _ForgetsOldPickles(Mixin):
    proj_size: int

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if "proj_size" not in state:
            del self.proj_size
