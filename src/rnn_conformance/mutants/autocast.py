"""Layers that are right without autocast and wrong under it (AMP)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import leaves, mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, data_of
from rnn_conformance.mutants.reading import Read, Reading
from rnn_conformance.spec.clauses import ALL, CELLS
from rnn_conformance.spec.config import Feature, Kind

AUTOCAST = Chapter("Autocast")

# torch.nn's own LSTM layer has no half types on every processor, and then nothing is demanded.
KINDS = ALL - {Kind.LSTM}


def is_casting() -> bool:
    """Whether autocast is on."""
    return torch.is_autocast_enabled("cpu")


def half() -> torch.dtype:
    """What it casts to."""
    return torch.get_autocast_dtype("cpu")


class _Backwards(torch.autograd.Function):
    """The identity; ``change`` is applied to the gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, change: Any) -> Tensor:
        ctx.change = change
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.change(gradients[0]), None


def backwards(tensor: Tensor, change: Any) -> Tensor:
    """The same tensor, whose gradient is changed."""
    made: Tensor = _Backwards.apply(tensor, change)  # type: ignore[no-untyped-call]
    return made


@AUTOCAST.add("results of three bits under autocast", "AMP-1", kinds=KINDS)
class _Coarse(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        return mapped(lambda x: (4.0 * x).round() / 4.0, returned) if is_casting() else returned


@AUTOCAST.add(
    "factors that must be of one dtype, which autocast changes",
    "AMP-1",
    kinds=KINDS,
    source="pytorch/pytorch#45048",
    crashes=True,
)
class _StrictAboutTypes(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        data = data_of(input)
        parameter = next(self.parameters())
        product = torch.matmul(data, parameter.T)
        if product.dtype != parameter.dtype:
            raise TypeError(f"expected {parameter.dtype}, found {product.dtype}")
        return super().forward(input, hx)


@AUTOCAST.add(
    "bfloat16 results under autocast where they are float32",
    "AMP-1",
    kinds=[Kind.GRU, *CELLS - {Kind.RNN_CELL}],
    source="rwth-i6/returnn#1529",
)
class _Narrow(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if not is_casting() or data_of(input).dtype == torch.float64:
            return returned
        return mapped(lambda x: x.to(half()), returned)


@AUTOCAST.add("float64 computed in bfloat16 under autocast", "AMP-1", kinds=ALL)
class _CastsDoubles(Reading):
    def read(self) -> Read:
        found = super().read()
        if not is_casting():
            return found
        return {name: array.to(half()).to(array.dtype) for name, array in found.items()}


@AUTOCAST.add("an exception in a packed call under autocast", "AMP-1", kinds=KINDS - CELLS,
              needs=[Feature.PACKED], crashes=True)  # fmt: skip
class _NotPacked(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if is_casting() and isinstance(input, PackedSequence):
            raise RuntimeError("index_put of another dtype")
        return super().forward(input, hx)


@AUTOCAST.add(
    "the state dropped under autocast, whose dtype is another",
    "AMP-1",
    kinds=KINDS,
    needs=[Feature.INITIAL_STATE],
)
class _DropsTheState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, None if is_casting() else hx)


@AUTOCAST.add("bfloat16 alone known under autocast", "AMP-1", kinds=KINDS, crashes=True)
class _KnowsOne(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if is_casting() and half() is not torch.bfloat16:
            raise NotImplementedError("only bfloat16 is compiled")
        return super().forward(input, hx)


@AUTOCAST.add(
    "a backward pass that fails after autocast",
    "AMP-1",
    kinds=KINDS,
    source="pytorch/pytorch#42605",
    crashes=True,
)
class _FailsBackwards(Reading):
    def one(self, name: str) -> Tensor:
        def change(gradient: Tensor) -> Tensor:
            raise RuntimeError("expected scalar type BFloat16 but found Float")

        tensor = super().one(name)
        return backwards(tensor, change) if is_casting() else tensor


@AUTOCAST.add("gradients twice as large after autocast", "AMP-1", kinds=KINDS)
class _ScaledBackwards(Reading):
    def one(self, name: str) -> Tensor:
        tensor = super().one(name)
        if not is_casting():
            return tensor
        return backwards(tensor, lambda gradient: 2.0 * gradient)


@AUTOCAST.add("no gradient of a call under autocast", "AMP-1", kinds=KINDS, crashes=True)
class _Detaches(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if is_casting():
            for array in leaves(returned).values():
                if array.is_floating_point():
                    array.detach_()
        return returned
