"""Layers whose first derivatives are right and whose second ones are not (GRD-5).

Each parameter or argument is handed on by an identity of its own, whose backward pass hands
the gradient on: as a number without a graph, or with a wrong one. What shows under torch.func
alone is not here, since a quick run does not load it.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.layer_by_layer import LayerByLayer
from rnn_conformance.mutants.mutant import Chapter, Mixin
from rnn_conformance.mutants.reading import Reading
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature

SECOND = Chapter("Derivatives of derivatives")


class _Identity(torch.autograd.Function):
    """Right, and once more differentiable."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].clone()


class _Constant(_Identity):
    """Its gradient has no graph."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].detach()


class _Once(_Identity):
    """It says that it has no second derivative."""

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0]


class _Doubling(_Identity):
    """The gradient of its gradient is twice what it should be."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return 2.0 * gradients[0] - gradients[0].detach()


class _Looking(_Identity):
    """It asks for a number of its gradient's gradient, which a mapped one has not."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return _LookingAgain.apply(gradients[0])  # type: ignore[no-untyped-call]


class _LookingAgain(_Identity):
    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0] if float(gradients[0].sum()) else gradients[0].clone()


def through(function: Any) -> Callable[[Tensor], Tensor]:
    """As a function of one tensor; nothing is done to indices."""
    apply: Callable[[Tensor], Tensor] = function.apply
    return apply


class _Handing(Reading):
    """Hands some parameters on by an identity."""

    identity: Any = _Constant
    begin = ""

    def one(self, name: str) -> Tensor:
        tensor = super().one(name)
        return through(self.identity)(tensor) if name.startswith(self.begin) else tensor


@SECOND.add("a backward pass that is a constant", "GRD-5", source="pytorch/pytorch#25315")
class _AllConstant(_Handing):
    def forward(self, input: Any, hx: Any = None) -> Any:
        constant = through(_Constant)
        return super().forward(mapped(constant, input), mapped(constant, hx))


@SECOND.add(
    "a backward pass that can be differentiated once, by its own account",
    "GRD-5",
    source="pytorch/pytorch#20449",
    crashes=True,
)
class _SaysOnce(_Handing):
    identity = _Once


@SECOND.add("second derivatives twice as large", "GRD-5", source="chainer/chainer#4824")
class _Doubled(_Handing):
    identity = _Doubling


@SECOND.add("gradients of weights that are constants", "GRD-5", source="pytorch/pytorch#9229")
class _ConstantWeights(_Handing):
    begin = "weight"


@SECOND.add("gradients of recurrent weights that are constants", "GRD-5")
class _ConstantRecurrence(_Handing):
    begin = "weight_hh"


@SECOND.add("gradients of biases that are constants", "GRD-5")
class _ConstantBiases(_Handing):
    begin = "bias"


@SECOND.add("a gradient of the input that is a constant", "GRD-5", source="chainer/chainer#4017")
class _ConstantInput(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(mapped(through(_Constant), input), hx)


@SECOND.add("gradients of states that are constants", "GRD-5", needs=[Feature.INITIAL_STATE])
class _ConstantStates(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, mapped(through(_Constant), hx))


@SECOND.add("second derivatives with respect to what comes back left out", "GRD-5")
class _ConstantCotangents(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return mapped(through(_Constant), super().forward(input, hx))


@SECOND.add(
    "second derivatives that end between layers",
    "GRD-5",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
)
class _EndsBetweenLayers(LayerByLayer):
    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return through(_Constant)(super().between(data, layer, sizes))


@SECOND.add(
    "a backward pass of packed input that is a constant",
    "GRD-5",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)
class _ConstantWhenPacked(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        return super().forward(mapped(through(_Constant), input) if packed else input, hx)


@SECOND.add(
    "a backward pass in float32 that is a constant", "GRD-5", source="pytorch/pytorch#99413"
)
class _ConstantInFloat32(_Handing):
    def one(self, name: str) -> Tensor:
        self.identity = _Constant if getattr(self, name).dtype == torch.float32 else _Identity
        return super().one(name)


@SECOND.add("a backward pass that looks at its numbers", "GRD-5 LIF-3", crashes=True)
class _Looks(_Handing):
    identity = _Looking
