"""Illegal arguments that are made to fit and answered (ERR)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from rnn_conformance.deviations.deviation import LSTMS
from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import (
    Chapter,
    Mixin,
    as_given,
    both,
    cycled,
    data_of,
    state_shape,
)
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

ERRORS = Chapter("Errors")


@ERRORS.add("sizes rounded, and made one at least", "ERR-1")
class _MakesSizesFit(Mixin):
    def __init__(self, input_size: Any, hidden_size: Any, *args: Any, **keywords: Any) -> None:
        super().__init__(max(1, int(input_size)), max(1, int(hidden_size)), *args, **keywords)


@ERRORS.add("one layer for num_layers=0", "ERR-1", kinds=LAYERS)
class _OneLayerAtLeast(Mixin):
    def __init__(self, *args: Any, num_layers: Any = 1, **keywords: Any) -> None:
        super().__init__(*args, num_layers=max(1, int(num_layers)), **keywords)


@ERRORS.add("dropout clipped to a probability", "ERR-1", kinds=LAYERS)
class _ClipsDropout(Mixin):
    def __init__(self, *args: Any, dropout: Any = 0.0, **keywords: Any) -> None:
        p = float(dropout)
        p = 0.0 if math.isnan(p) or keywords.get("num_layers", 1) == 1 else min(1.0, max(0.0, p))
        super().__init__(*args, dropout=p, **keywords)


@ERRORS.add("dropout=True taken for a probability", "ERR-1", kinds=LAYERS)
class _TrueIsOne(Mixin):
    def __init__(self, *args: Any, dropout: Any = 0.0, **keywords: Any) -> None:
        several = keywords.get("num_layers", 1) > 1
        p = float(dropout) if several else 0.0
        super().__init__(*args, dropout=p if isinstance(dropout, bool) else dropout, **keywords)


@ERRORS.add("an impossible proj_size ignored", "ERR-1")
class _IgnoresAProjection(Mixin):
    def __init__(self, *args: Any, proj_size: Any = 0, **keywords: Any) -> None:
        hidden = keywords.get("hidden_size", args[1] if len(args) > 1 else 0)
        if getattr(self, "has_projection", False) and 0 < proj_size < hidden:
            keywords["proj_size"] = proj_size
        super().__init__(*args, **keywords)


@ERRORS.add("tanh for any nonlinearity that is not relu", "ERR-1")
class _IgnoresANonlinearity(Mixin):
    def __init__(self, *args: Any, nonlinearity: Any = "tanh", **keywords: Any) -> None:
        if nonlinearity == "relu":
            keywords["nonlinearity"] = "relu"
        super().__init__(*args, **keywords)


@ERRORS.add("a misspelt name where the constructor refuses", "ERR-1")
class _MisnamesAnArgument(Mixin):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        try:
            super().__init__(*args, **keywords)
        except (ValueError, RuntimeError):
            raise ValueError(f"wrong sizes {sizes}") from None  # type: ignore[name-defined]  # noqa: F821


def resized(array: Tensor, axis: int, size: int) -> Tensor:
    """Cut, or filled up with zeros, along one axis."""
    if array.shape[axis] >= size:
        return array.narrow(axis, 0, size)
    shape = list(array.shape)
    shape[axis] = size - array.shape[axis]
    return torch.cat([array, array.new_zeros(shape)], axis)


@ERRORS.add(
    "input cut or filled up to input_size features", "ERR-2 CEL-4", source="chainer/chainer#5436"
)
class _FitsFeatures(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if data_of(input).dim() == 0:
            return super().forward(input, hx)
        return super().forward(mapped(lambda x: resized(x, -1, self.input_size), input), hx)


@ERRORS.add("superfluous input features ignored", "ERR-2 CEL-4")
class _CutsFeatures(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        def cut(x: Tensor) -> Tensor:
            return x[..., : self.input_size] if x.dim() else x

        return super().forward(mapped(cut, input), hx)


@ERRORS.add(
    "superfluous leading axes of the input joined", "ERR-2 CEL-4", source="pytorch/pytorch#86576"
)
class _JoinsLeadingAxes(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        rank = 2 if isinstance(self, nn.RNNCellBase) else 3
        if isinstance(input, Tensor) and input.dim() > rank:
            input = input.reshape(-1, *input.shape[-rank + 1 :])
        return super().forward(input, hx)


@ERRORS.add("a vector taken for a sequence of one step", "ERR-2", kinds=LAYERS)
class _TakesAVector(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and input.dim() == 1:
            input = input[None]
        return super().forward(input, hx)


class _FitsTheState(Mixin):
    """A state is repeated or cut until it fits. To be told which axis and which state."""

    axis = -2
    only = slice(None)

    def forward(self, input: Any, hx: Any = None) -> Any:
        shape = self.right_shape(input)
        if shape is None or hx is None or not all(state.dim() == len(shape) for state in both(hx)):
            return super().forward(input, hx)
        states = list(both(hx))
        for number in range(len(states))[self.only]:
            states[number] = self.fitted(states[number], shape)
        return super().forward(input, as_given(hx, states))

    def fitted(self, state: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The state with the right size along the axis."""
        if -self.axis > len(shape) or state.shape[self.axis] == 0:
            return state
        return cycled(state, self.axis, shape[self.axis])

    def right_shape(self, input: Any) -> tuple[int, ...] | None:
        return state_shape(self, input) if isinstance(input, Tensor) else None


@ERRORS.add(
    "a state of another batch size repeated or cut", "ERR-3 CEL-4", source="pytorch/pytorch#6178"
)
class _FitsTheBatch(_FitsTheState):
    """Along the axis of samples."""


@ERRORS.add("a state of one sample broadcast", "ERR-3 CEL-4")
class _BroadcastsTheBatch(_FitsTheState):
    def fitted(self, state: Tensor, shape: tuple[int, ...]) -> Tensor:
        if len(shape) < 2 or state.shape[-2] != 1:
            return state
        return super().fitted(state, shape)


@ERRORS.add("a c_0 of another batch size repeated or cut", "ERR-3 CEL-4", kinds=LSTMS)
class _FitsTheCellState(_FitsTheState):
    only = slice(1, 2)


@ERRORS.add("a state of too many or too few layers repeated or cut", "ERR-3", kinds=LAYERS)
class _FitsLayers(_FitsTheState):
    axis = -3


@ERRORS.add("superfluous layers of a state ignored", "ERR-3", kinds=LAYERS)
class _CutsLayers(_FitsTheState):
    axis = -3

    def fitted(self, state: Tensor, shape: tuple[int, ...]) -> Tensor:
        return state[: shape[0]] if len(shape) == 3 else state


@ERRORS.add("a state of too many or too few features repeated or cut", "ERR-3 CEL-4")
class _FitsStateFeatures(_FitsTheState):
    axis = -1

    def right_shape(self, input: Any) -> tuple[int, ...] | None:
        # Of c_0 too, but where there is a projection.
        return None if getattr(self, "proj_size", 0) else super().right_shape(input)


@ERRORS.add("a state reshaped until it fits", "ERR-3 CEL-4", source="pytorch/pytorch#106769")
class _ReshapesTheState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None or not isinstance(input, Tensor):
            return super().forward(input, hx)
        shape = state_shape(self, input)
        if shape is None or getattr(self, "proj_size", None):
            return super().forward(input, hx)
        count = math.prod(shape)
        if any(state.numel() < count for state in both(hx)):
            return super().forward(input, hx)
        return super().forward(
            input, as_given(hx, [state.reshape(-1)[:count].reshape(shape) for state in both(hx)])
        )


@ERRORS.add("a lone h_0 completed by zeros", "ERR-3 CEL-4", kinds=LSTMS)
class _TakesALoneState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(hx, Tensor):
            shape = (*hx.shape[:-1], self.hidden_size)
            hx = (hx, hx.new_zeros(shape))
        return super().forward(input, hx)


@ERRORS.add(
    "the first of a tuple taken for the state",
    "ERR-3 CEL-4",
    kinds=[Kind.RNN, Kind.GRU, Kind.RNN_CELL, Kind.GRU_CELL],
)
class _TakesTheFirstOfATuple(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx[0] if isinstance(hx, tuple) else hx)


@ERRORS.add("an unassigned variable where a state is refused", "ERR-3 CEL-4")
class _StumblesOverStates(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        try:
            return super().forward(input, hx)
        except (RuntimeError, ValueError):
            if hx is not None and not isinstance(hx, (Tensor, tuple)):
                message = "hx is no tensor"
            raise RuntimeError(message) from None


@ERRORS.add(
    "a sequence of no steps answered",
    "SHP-5",
    kinds=LAYERS,
    source="microsoft/onnxruntime#749",
)
class _NoStepsNoError(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and 0 in input.shape[:-1]:
            longer = torch.zeros([max(size, 1) for size in input.shape], dtype=input.dtype)
            return super().forward(longer, None if hx is None else hx)
        return super().forward(input, hx)
