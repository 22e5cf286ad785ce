"""Units and samples wrong from some number on, or at the end of a block (EQ-7, GRD-1)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, state_shape
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind

SIZES = Chapter("Sizes: units and samples")

FLAG_GEMS = "flagos-ai/FlagGems#5014"


def samples_axis(module: Any, input: Tensor) -> int | None:
    """The axis of samples of a dense input; ``None`` if unbatched."""
    if isinstance(module, nn.RNNCellBase):
        return 0 if input.dim() == 2 else None
    return (0 if module.batch_first else 1) if input.dim() == 3 else None


def samples(module: Any, input: Any) -> int:
    """``N``; 1 if unbatched."""
    if isinstance(input, PackedSequence):
        return int(input.batch_sizes[0])
    axis = samples_axis(module, input)
    return 1 if axis is None else int(input.shape[axis])


def steps(module: Any, input: Any) -> int:
    """``L``; 1 for a cell."""
    if isinstance(input, PackedSequence):
        return len(input.batch_sizes)
    if isinstance(module, nn.RNNCellBase):
        return 1
    return int(input.shape[1 if module.batch_first and input.dim() == 3 else 0])


def kept(array: Tensor, axis: int, upto: int, other: Tensor | None = None) -> Tensor:
    """Zero, or ``other``, beyond so many along one axis."""
    size = array.shape[axis]
    shape = [size if place == axis % array.dim() else 1 for place in range(array.dim())]
    here = (torch.arange(size, device=array.device) < upto).reshape(shape)
    return torch.where(here, array, torch.zeros_like(array) if other is None else other)


class _CutsUnits(Mixin):
    """All results, beyond so many units; each direction's half of the output by itself."""

    most = 128
    projected = False

    def width(self) -> int:
        projection: int = getattr(self, "proj_size", 0)
        return projection or self.hidden_size

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if self.width() <= self.most or not self.concerns(input):
            return returned
        return mapped(self.cut, returned)

    def concerns(self, input: Any) -> bool:
        return self.projected == bool(getattr(self, "proj_size", 0))

    def cut(self, array: Tensor) -> Tensor:
        halves = torch.split(array, self.width(), -1)
        return torch.cat([self.half(half, number) for number, half in enumerate(halves)], -1)

    def half(self, half: Tensor, direction: int) -> Tensor:
        return kept(half, -1, self.most)


@SIZES.add("the units beyond the 128th left at zero", "EQ-7", source=FLAG_GEMS)
class _CutsAllUnits(_CutsUnits):
    pass


@SIZES.add(
    "the units beyond the 128th of the reverse direction left at zero",
    "EQ-7",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
    source=FLAG_GEMS,
)
class _CutsReverseUnits(_CutsUnits):
    def half(self, half: Tensor, direction: int) -> Tensor:
        return kept(half, -1, self.most) if direction else half


@SIZES.add(
    "the units beyond the 128th left at zero, of packed input alone",
    "EQ-7",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source=FLAG_GEMS,
)
class _CutsPackedUnits(_CutsUnits):
    def concerns(self, input: Any) -> bool:
        return isinstance(input, PackedSequence) and super().concerns(input)


@SIZES.add("no gradient through the units beyond the 128th", "GRD-1", source=FLAG_GEMS)
class _CutsUnitsBackward(_CutsUnits):
    def half(self, half: Tensor, direction: int) -> Tensor:
        return kept(half, -1, self.most, half.detach())


@SIZES.add(
    "the projected features beyond the 128th left at zero",
    "EQ-7",
    kinds=[Kind.LSTM],
    needs=[Feature.PROJECTION],
    source=FLAG_GEMS,
)
class _CutsProjected(_CutsUnits):
    projected = True

    def half(self, half: Tensor, direction: int) -> Tensor:
        # c_n has the width of no half.
        return kept(half, -1, self.most) if half.shape[-1] == self.width() else half


@SIZES.add(
    "the units past a multiple of 32 left at zero in wide layers",
    "EQ-7",
    source="pytorch/pytorch#54307",
)
class _CutsTheTail(_CutsUnits):
    def half(self, half: Tensor, direction: int) -> Tensor:
        return kept(half, -1, half.shape[-1] // 32 * 32)


@SIZES.add(
    "weights of half the precision in layers of 256 units and more",
    "EQ-7",
    source="pytorch/pytorch#32023",
)
class _HalvesWideWeights(Mixin):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.narrow = self.hidden_size >= 256

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not self.narrow or torch.is_grad_enabled():
            return super().forward(input, hx)
        exact = {name: array.clone() for name, array in self.named_parameters()}
        for array in self.parameters():
            array.copy_(array.to(torch.bfloat16))
        try:
            return super().forward(input, hx)
        finally:
            for name, array in self.named_parameters():
                array.copy_(exact[name])


# Samples.


@SIZES.add(
    "a default state made for 32 samples, and more refused",
    "EQ-7",
    crashes=True,
    source="tensorflow/tensorflow#53024",
)
class _RefusesABatch(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and (count := samples(self, input)) > 32:
            raise RuntimeError(f"input_h has 32 samples, not {count}")
        return super().forward(input, hx)


@SIZES.add(
    "a default state that is not zero beyond the 32nd sample",
    "EQ-7",
    source="tensorflow/tensorflow#53024",
)
class _FillsABatch(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        count, shape = samples(self, input), state_shape(self, input)
        if hx is not None or count <= 32 or shape is None:
            return super().forward(input, hx)
        like = next(self.parameters())
        widths = (shape[-1], self.hidden_size)[: 1 + isinstance(self, (nn.LSTM, nn.LSTMCell))]
        ones = [torch.ones(*shape[:-1], width, dtype=like.dtype) for width in widths]
        state = [one - kept(one, -2, 32) for one in ones]
        return super().forward(input, tuple(state) if len(state) > 1 else state[0])


class _SpoilsSamples(Mixin):
    """Samples of a dense batch that are left at zero."""

    def computed(self, count: int) -> int:
        """How many of so many are computed."""
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if not isinstance(input, Tensor) or (axis := samples_axis(self, input)) is None:
            return returned
        upto = self.computed(input.shape[axis])
        if isinstance(self, nn.RNNCellBase):
            return mapped(lambda array: kept(array, axis, upto), returned)
        output, state = returned
        return kept(output, axis, upto), mapped(lambda array: kept(array, 1, upto), state)


@SIZES.add(
    "the sample left over by blocks of 64 left at zero",
    "EQ-7",
    source="deeplearning4j/deeplearning4j#3231",
)
class _LeavesOneOver(_SpoilsSamples):
    def computed(self, count: int) -> int:
        return count - (count > 64 and count % 64 == 1)


@SIZES.add(
    "the samples that fill no block of 8 left at zero in batches of more than 64",
    "EQ-7",
    source="deeplearning4j/deeplearning4j#3231",
)
class _LeavesTheRest(_SpoilsSamples):
    def computed(self, count: int) -> int:
        return count // 8 * 8 if count > 64 else count


@SIZES.add("the samples of a batch beyond the 256th left at zero", "EQ-7", source="torch/cunn#144")
class _LeavesLargeBatches(_SpoilsSamples):
    def computed(self, count: int) -> int:
        return min(count, 256)


@SIZES.add(
    "no gradient of the input of samples beyond the 256th",
    "GRD-1",
    source="tensorflow/tensorflow#39453",
)
class _CutsSamplesBackward(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and (axis := samples_axis(self, input)) is not None:
            input = kept(input, axis, 256, input.detach())
        return super().forward(input, hx)


@SIZES.add(
    "the order of packed samples kept in a byte",
    "EQ-7",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="tensorflow/tensorflow#41630",
)
class _OrdersInAByte(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if isinstance(input, PackedSequence) and input.unsorted_indices is not None:
            places = torch.arange(len(input.unsorted_indices)) % 256
            state = mapped(lambda array: array[:, places], state)
        return output, state
