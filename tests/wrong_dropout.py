"""Drop-in classes whose dropout is wrong, each in one way, and a right one that they vary.

The right one computes layer by layer with ``torch.nn``'s own kernels for one layer, and
drops in between with a method of its own.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

KERNELS: dict[str, Any] = {
    "LSTM": torch._VF.lstm,
    "GRU": torch._VF.gru,
    "RNN_TANH": torch._VF.rnn_tanh,
    "RNN_RELU": torch._VF.rnn_relu,
}


class LayerByLayer(nn.RNNBase):
    """Right: what ``torch.nn`` computes, a layer at a time. To be mixed into its classes."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        unbatched = not packed and input.ndim == 2
        data, sizes = (input.data, input.batch_sizes) if packed else (input, None)
        if unbatched:
            data = data.unsqueeze(1)
        elif self.batch_first and not packed:
            data = data.transpose(0, 1)
        batch = int(sizes[0]) if sizes is not None else data.shape[1]
        if hx is None:
            widths = [self.proj_size or self.hidden_size, self.hidden_size]
            states = [
                data.new_zeros(self.num_layers * self.directions, batch, width)
                for width in widths[: 1 + (self.mode == "LSTM")]
            ]
        else:
            states = list(hx) if self.mode == "LSTM" else [hx]
            if unbatched:
                states = [state.unsqueeze(1) for state in states]
            if packed and input.sorted_indices is not None:
                states = [state[:, input.sorted_indices] for state in states]
        data, finals = self.stack(data, sizes, states)
        if packed:
            output: Any = PackedSequence(data, sizes, input.sorted_indices, input.unsorted_indices)
            if input.unsorted_indices is not None:
                finals = [final[:, input.unsorted_indices] for final in finals]
        else:
            output = data.transpose(0, 1) if self.batch_first and not unbatched else data
        if unbatched:
            output, finals = output.squeeze(1), [final.squeeze(1) for final in finals]
        return output, tuple(finals) if self.mode == "LSTM" else finals[0]

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        finals: list[list[Tensor]] = [[] for _ in states]
        for layer in range(self.num_layers):
            if layer:
                data = self.between(data, layer, sizes)
            own = slice(layer * self.directions, (layer + 1) * self.directions)
            data, ends = self.layer(layer, data, sizes, [state[own] for state in states])
            for each, end in zip(finals, ends, strict=True):
                each.append(end)
        return data, [torch.cat(each) for each in finals]

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        """What ``layer`` reads of the output below it."""
        return self.drop(data)

    def drop(self, data: Tensor) -> Tensor:
        return dropout(data, self.dropout, self.training)

    def layer(
        self, layer: int, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """One layer, time-major or packed, in all its directions."""
        weights = [
            weight
            for direction in range(self.directions)
            for weight in self.all_weights[layer * self.directions + direction]
        ]
        state = tuple(states) if self.mode == "LSTM" else states[0]
        common = (weights, self.bias, 1, 0.0, False, self.bidirectional)
        kernel = KERNELS[self.mode]
        output, *ends = (
            kernel(data, state, *common, False)
            if sizes is None
            else kernel(data, sizes, state, *common)
        )
        return output, ends


def mask(like: Tensor, p: float) -> Tensor:
    """1 with probability ``1 - p``, else 0."""
    return torch.full_like(like, 1.0 - p).bernoulli()


# Where it acts.


class InEvaluation(LayerByLayer):
    """It drops in evaluation too."""

    def drop(self, data: Tensor) -> Tensor:
        return dropout(data, self.dropout, True)


class InEvaluationAfterTraining(LayerByLayer):
    """What was prepared in training mode is used again in evaluation (pytorch/pytorch#180744)."""

    prepared: bool | None = None

    def drop(self, data: Tensor) -> Tensor:
        if self.prepared is None:
            self.prepared = self.training
        return dropout(data, self.dropout, self.prepared)


class InASingleLayer(LayerByLayer):
    """The only layer's output is dropped."""

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        data, finals = super().stack(data, sizes, states)
        return (self.drop(data) if self.num_layers == 1 else data), finals


class WithoutWarning(LayerByLayer):
    """Dropout that has no effect goes unnoticed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().__init__(*args, **kwargs)


class OfTheLastOutput(LayerByLayer):
    """The last layer's output is dropped as well."""

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        data, finals = super().stack(data, sizes, states)
        return (self.drop(data) if self.num_layers > 1 else data), finals


class OfTheInput(LayerByLayer):
    """The first layer's input is dropped as well."""

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        return super().stack(self.drop(data) if self.num_layers > 1 else data, sizes, states)


class OfReturnedStates(LayerByLayer):
    """What is returned as final state is what the next layer reads."""

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        data, finals = super().stack(data, sizes, states)
        return data, [self.drop(final) if self.num_layers > 1 else final for final in finals]


class OfWhatRecurs(LayerByLayer):
    """Recurrent dropout (Gal & Ghahramani, arXiv:1512.05287), on top of that between layers."""

    def layer(
        self, layer: int, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        if self.num_layers > 1:
            states = [self.drop(states[0]), *states[1:]]
        if sizes is not None or self.bidirectional or self.num_layers == 1:
            return super().layer(layer, data, sizes, states)
        outputs = []
        for x in data.unsqueeze(1):
            states = [self.drop(states[0]), *states[1:]]
            output, states = super().layer(layer, x, None, states)
            outputs.append(output)
        return torch.cat(outputs), states


class BelowTheSecondLayerOnly(LayerByLayer):
    """Only the first layer's output is dropped."""

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return self.drop(data) if layer == 1 else data


class Never(LayerByLayer):
    """The argument is taken and forgotten."""

    def drop(self, data: Tensor) -> Tensor:
        return data


class NeverOfPackedInput(LayerByLayer):
    """The branch for packed input knows no dropout."""

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return self.drop(data) if sizes is None else data


# What is drawn.


class Masked(LayerByLayer):
    """What is dropped is told by a mask."""

    def drop(self, data: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return data
        return data * self.mask(data) * self.factor()

    def mask(self, data: Tensor) -> Tensor:
        return mask(data, self.dropout)

    def factor(self) -> float:
        return 1.0 / (1.0 - self.dropout) if self.dropout < 1.0 else 0.0


class NaNForOne(Masked):
    """The scale is infinite for ``p = 1``."""

    def drop(self, data: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return data
        return data * self.mask(data) / torch.tensor(1.0 - self.dropout)


class Unscaled(Masked):
    """What is kept is not scaled."""

    def factor(self) -> float:
        return 1.0


class ScaledInEvaluation(Masked):
    """Not scaled in training, but by ``1 - p`` in evaluation (Srivastava et al., 2014)."""

    def factor(self) -> float:
        return 1.0

    def drop(self, data: Tensor) -> Tensor:
        return super().drop(data) if self.training else data * (1.0 - self.dropout)


class ScaledByOneOverP(Masked):
    """``p`` is taken for the probability of keeping, in the scale."""

    def factor(self) -> float:
        return 1.0 / self.dropout


class PIsWhatIsKept(Masked):
    """``p`` is taken for the probability of keeping."""

    def mask(self, data: Tensor) -> Tensor:
        return mask(data, 1.0 - self.dropout)


class ALittleOften(Masked):
    """More is dropped than was asked for."""

    def mask(self, data: Tensor) -> Tensor:
        return mask(data, min(1.0, self.dropout + 0.05))


class Gaussian(Masked):
    """Everything is multiplied by noise of the right mean and variance, nothing dropped."""

    def mask(self, data: Tensor) -> Tensor:
        if self.dropout == 1.0:
            return torch.zeros_like(data)
        deviation: float = (self.dropout / (1.0 - self.dropout)) ** 0.5
        return (1.0 + deviation * torch.randn_like(data)) / self.factor()


class OneMaskForAllSteps(Masked):
    """Variational dropout (Gal & Ghahramani, arXiv:1512.05287)."""

    def mask(self, data: Tensor) -> Tensor:
        return super().mask(data[:1]) if data.ndim == 3 else super().mask(data)


class OneMaskForAllSamples(Masked):
    """The mask is drawn without a batch dimension."""

    def mask(self, data: Tensor) -> Tensor:
        return super().mask(data[:, :1]) if data.ndim == 3 else super().mask(data)


class OneMaskForAllFeatures(Masked):
    """Whole steps are dropped."""

    def mask(self, data: Tensor) -> Tensor:
        return super().mask(data[..., :1])


class OneMaskForBothDirections(Masked):
    """The mask is as wide as one direction's output."""

    def mask(self, data: Tensor) -> Tensor:
        size = data.shape[-1] // self.directions
        return super().mask(data[..., :size]).repeat_interleave(1, -1).tile(self.directions)


class OneMaskForAllLayers(Masked):
    """The mask is drawn once a call."""

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        self.drawn: Tensor | None = None
        return super().stack(data, sizes, states)

    def mask(self, data: Tensor) -> Tensor:
        if self.drawn is None:
            self.drawn = super().mask(data)
        return self.drawn


class AMaskForEachDirection(Masked):
    """Each direction of the next layer draws what it does not read."""

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return data

    def layer(
        self, layer: int, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        if not layer:
            return super().layer(layer, data, sizes, states)
        size = self.proj_size or self.hidden_size
        results = [
            super(AMaskForEachDirection, self).layer(layer, self.drop(data), sizes, states)
            for _ in range(self.directions)
        ]
        output = torch.cat(
            [part[..., d * size : (d + 1) * size] for d, (part, _) in enumerate(results)], -1
        )
        ends = [
            torch.stack([results[d][1][state][d] for d in range(self.directions)])
            for state in range(len(states))
        ]
        return output, ends


class AMaskForEachGate(Masked):
    """Each gate reads with a mask of its own, as if all had one (keras-team/keras#20656)."""

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return data

    def layer(
        self, layer: int, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        if not layer:
            return super().layer(layer, data, sizes, states)
        # As many copies of the input as there are gates, each dropped by itself; each gate's
        # weights meet their own copy and are zero for the others.
        gates = len(self.all_weights[0][0]) // self.hidden_size
        copies = torch.cat([self.drop(data) for _ in range(gates)], -1)
        weights = []
        for direction in range(self.directions):
            w_ih, *rest = self.all_weights[layer * self.directions + direction]
            diagonal = torch.block_diag(*w_ih.chunk(gates))  # type: ignore[no-untyped-call]
            weights += [diagonal, *rest]
        state = tuple(states) if self.mode == "LSTM" else states[0]
        common = (weights, self.bias, 1, 0.0, False, self.bidirectional)
        kernel = KERNELS[self.mode]
        output, *ends = (
            kernel(copies, state, *common, False)
            if sizes is None
            else kernel(copies, sizes, state, *common)
        )
        return output, ends


# How it is drawn.


class Unseeded(Masked):
    """Masks come from a generator that knows no seed (pytorch/pytorch#18110)."""

    def mask(self, data: Tensor) -> Tensor:
        generator = torch.Generator()
        generator.seed()
        return torch.full_like(data, 1.0 - self.dropout).bernoulli(generator=generator)


class Kept(Masked):
    """A mask is kept for the next call of the same shape (tensorflow/tensorflow#29391)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: dict[Any, Tensor] = {}

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        self.place = (layer, data.shape)
        return self.drop(data)

    def mask(self, data: Tensor) -> Tensor:
        if self.place not in self.kept:
            self.kept[self.place] = super().mask(data)
        return self.kept[self.place]


class SeededEachCall(Masked):
    """Each call sets its generator up anew (sony/nnabla-ext-cuda#288)."""

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        self.generator = torch.Generator().manual_seed(0)
        return super().stack(data, sizes, states)

    def mask(self, data: Tensor) -> Tensor:
        return torch.full_like(data, 1.0 - self.dropout).bernoulli(generator=self.generator)


# The way back.


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, data: Tensor, factor: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return data * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient * back, None, None


class BackWithoutMask(Masked):
    """The backward pass ignores the mask (pytorch/pytorch#190056)."""

    def drop(self, data: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return data
        factor = self.mask(data) * self.factor()
        result: Tensor = _Drop.apply(data, factor, self.back(factor, data))  # type: ignore[no-untyped-call]
        return result

    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        """What the gradient is multiplied with."""
        return torch.ones_like(factor)


class BackWithAnotherMask(BackWithoutMask):
    """The backward pass draws anew, as recomputation without the generator's state does."""

    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        return self.mask(data) * self.factor()


class BackUnscaled(BackWithoutMask):
    """The backward pass forgets the scale."""

    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        return (factor != 0.0).to(factor)


class BackScaledTwice(BackWithoutMask):
    """The backward pass scales twice."""

    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        return factor * self.factor()


@dataclass(frozen=True)
class Wrong:
    """A wrong class and the clauses that it breaks, by every one of which it must be caught."""

    cls: type[LayerByLayer]
    breaks: str
    kinds: str = "RNN LSTM GRU"


WRONG = (
    Wrong(InEvaluation, "DRP-1"),
    Wrong(InEvaluationAfterTraining, "DRP-1"),
    Wrong(InASingleLayer, "DRP-1"),
    Wrong(WithoutWarning, "DRP-1"),
    Wrong(OfTheLastOutput, "DRP-2"),
    Wrong(OfTheInput, "DRP-2"),
    Wrong(OfReturnedStates, "DRP-2"),
    Wrong(OfWhatRecurs, "DRP-2"),
    Wrong(BelowTheSecondLayerOnly, "DRP-2"),
    Wrong(Never, "DRP-2 DRP-3"),
    Wrong(NeverOfPackedInput, "DRP-2"),
    Wrong(NaNForOne, "DRP-3"),
    Wrong(Unscaled, "DRP-3"),
    Wrong(ScaledInEvaluation, "DRP-1 DRP-3"),
    Wrong(ScaledByOneOverP, "DRP-3"),
    Wrong(PIsWhatIsKept, "DRP-3"),
    Wrong(ALittleOften, "DRP-3"),
    Wrong(Gaussian, "DRP-3"),
    Wrong(OneMaskForAllSteps, "DRP-3"),
    Wrong(OneMaskForAllSamples, "DRP-3"),
    Wrong(OneMaskForAllFeatures, "DRP-3"),
    Wrong(OneMaskForBothDirections, "DRP-3"),
    Wrong(OneMaskForAllLayers, "DRP-3"),
    Wrong(AMaskForEachDirection, "DRP-3"),
    Wrong(AMaskForEachGate, "DRP-3", "LSTM GRU"),
    Wrong(Unseeded, "DRP-4"),
    Wrong(Kept, "DRP-4"),
    Wrong(SeededEachCall, "DRP-4"),
    Wrong(BackWithoutMask, "DRP-5"),
    Wrong(BackWithAnotherMask, "DRP-5"),
    Wrong(BackUnscaled, "DRP-5"),
    Wrong(BackScaledTwice, "DRP-5"),
)


def of_kind(cls: type[LayerByLayer], kind: str) -> type[LayerByLayer]:
    """The class of this kind, with ``torch.nn``'s constructor."""
    return type(f"{cls.__name__}{kind}", (cls, getattr(nn, kind)), {})
