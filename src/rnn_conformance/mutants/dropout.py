"""Dropout that is wrong: where it acts, what is drawn, how, and on the way back (DRP)."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout

from rnn_conformance.mutants.layer_by_layer import LayerByLayer, Masked, mask
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

DROPOUT = Chapter("Dropout")


@DROPOUT.add("dropout in evaluation, drawn anew", "DRP-1", kinds=LAYERS)
class _InEvaluation(LayerByLayer):
    def drop(self, data: Tensor) -> Tensor:
        return dropout(data, self.dropout, True)


@DROPOUT.add(
    "dropout in evaluation after training", "DRP-1", kinds=LAYERS, source="pytorch/pytorch#180744"
)
class _InEvaluationAfterTraining(LayerByLayer):
    prepared: bool | None = None

    def drop(self, data: Tensor) -> Tensor:
        if self.prepared is None:
            self.prepared = self.training
        return dropout(data, self.dropout, self.prepared)


@DROPOUT.add("dropout in a single layer", "DRP-1", kinds=LAYERS)
class _InASingleLayer(LayerByLayer):
    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        data, finals = super().stack(data, sizes, states)
        return (self.drop(data) if self.num_layers == 1 else data), finals


@DROPOUT.add("no warning of dropout in a single layer", "DRP-1", kinds=LAYERS)
class _WithoutWarning(LayerByLayer):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().__init__(*args, **kwargs)


@DROPOUT.add("dropout of the last layer's output", "DRP-2", kinds=LAYERS)
class _OfTheLastOutput(LayerByLayer):
    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        data, finals = super().stack(data, sizes, states)
        return (self.drop(data) if self.num_layers > 1 else data), finals


@DROPOUT.add("dropout of the first layer's input", "DRP-2", kinds=LAYERS)
class _OfTheInput(LayerByLayer):
    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        return super().stack(self.drop(data) if self.num_layers > 1 else data, sizes, states)


@DROPOUT.add("dropout of the final states", "DRP-2", kinds=LAYERS)
class _OfReturnedStates(LayerByLayer):
    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        data, finals = super().stack(data, sizes, states)
        return data, [self.drop(final) if self.num_layers > 1 else final for final in finals]


@DROPOUT.add(
    "dropout of the recurrent state",
    "DRP-2",
    kinds=LAYERS,
    source="Gal & Ghahramani, arXiv:1512.05287",
)
class _OfWhatRecurs(LayerByLayer):
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


@DROPOUT.add("dropout below the second layer only", "DRP-2", kinds=LAYERS)
class _BelowTheSecondLayerOnly(LayerByLayer):
    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return self.drop(data) if layer == 1 else data


@DROPOUT.add("dropout ignored", "DRP-2 DRP-3", kinds=LAYERS)
class _Never(LayerByLayer):
    def drop(self, data: Tensor) -> Tensor:
        return data


@DROPOUT.add("dropout ignored for packed input", "DRP-2", kinds=LAYERS)
class _NeverOfPackedInput(LayerByLayer):
    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return self.drop(data) if sizes is None else data


@DROPOUT.add("NaN for a dropout of 1", "DRP-3", kinds=LAYERS)
class _NaNForOne(Masked):
    def drop(self, data: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return data
        return data * self.mask(data) / torch.tensor(1.0 - self.dropout)


@DROPOUT.add("a dropout of 1 that drops nothing", "DRP-3", kinds=LAYERS)
class _NothingForOne(LayerByLayer):
    def drop(self, data: Tensor) -> Tensor:
        return super().drop(data) if self.dropout < 1.0 else data


@DROPOUT.add("dropout where gradients are recorded, whatever the mode", "DRP-2 LIF-2", kinds=LAYERS)
class _WhereRecorded(LayerByLayer):
    def drop(self, data: Tensor) -> Tensor:
        return torch.dropout(data, self.dropout, torch.is_grad_enabled())


@DROPOUT.add("kept elements not scaled", "DRP-3", kinds=LAYERS)
class _Unscaled(Masked):
    def factor(self) -> float:
        return 1.0


@DROPOUT.add(
    "dropout that scales in evaluation instead of training",
    "DRP-1 DRP-3",
    kinds=LAYERS,
    source="Srivastava et al. (2014)",
)
class _ScaledInEvaluation(Masked):
    def factor(self) -> float:
        return 1.0

    def drop(self, data: Tensor) -> Tensor:
        return super().drop(data) if self.training else data * (1.0 - self.dropout)


@DROPOUT.add("kept elements scaled by 1/p", "DRP-3", kinds=LAYERS)
class _ScaledByOneOverP(Masked):
    def factor(self) -> float:
        return 1.0 / self.dropout


@DROPOUT.add("dropout taken for the probability of keeping", "DRP-3", kinds=LAYERS)
class _PIsWhatIsKept(Masked):
    def mask(self, data: Tensor) -> Tensor:
        return mask(data, 1.0 - self.dropout)


@DROPOUT.add("elements dropped a twentieth more often", "DRP-3", kinds=LAYERS)
class _ALittleOften(Masked):
    def mask(self, data: Tensor) -> Tensor:
        return mask(data, min(1.0, self.dropout + 0.05))


@DROPOUT.add("Gaussian dropout", "DRP-3", kinds=LAYERS, source="Srivastava et al. (2014)")
class _Gaussian(Masked):
    def mask(self, data: Tensor) -> Tensor:
        if self.dropout == 1.0:
            return torch.zeros_like(data)
        deviation: float = (self.dropout / (1.0 - self.dropout)) ** 0.5
        return (1.0 + deviation * torch.randn_like(data)) / self.factor()


@DROPOUT.add(
    "one dropout mask for all steps",
    "DRP-3",
    kinds=LAYERS,
    source="Gal & Ghahramani, arXiv:1512.05287",
)
class _OneMaskForAllSteps(Masked):
    def mask(self, data: Tensor) -> Tensor:
        return super().mask(data[:1]) if data.ndim == 3 else super().mask(data)


@DROPOUT.add("one dropout mask for all samples", "DRP-3", kinds=LAYERS)
class _OneMaskForAllSamples(Masked):
    def mask(self, data: Tensor) -> Tensor:
        return super().mask(data[:, :1]) if data.ndim == 3 else super().mask(data)


@DROPOUT.add("one dropout mask for all features", "DRP-3", kinds=LAYERS)
class _OneMaskForAllFeatures(Masked):
    def mask(self, data: Tensor) -> Tensor:
        return super().mask(data[..., :1])


@DROPOUT.add("one dropout mask for both directions", "DRP-3", kinds=LAYERS)
class _OneMaskForBothDirections(Masked):
    def mask(self, data: Tensor) -> Tensor:
        size = data.shape[-1] // self.directions
        return super().mask(data[..., :size]).repeat_interleave(1, -1).tile(self.directions)


@DROPOUT.add("one dropout mask for all layers", "DRP-3", kinds=LAYERS)
class _OneMaskForAllLayers(Masked):
    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        self.drawn: Tensor | None = None
        return super().stack(data, sizes, states)

    def mask(self, data: Tensor) -> Tensor:
        if self.drawn is None:
            self.drawn = super().mask(data)
        return self.drawn


@DROPOUT.add("a dropout mask for each direction that reads", "DRP-3", kinds=LAYERS)
class _AMaskForEachDirection(Masked):
    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        return data

    def layer(
        self, layer: int, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        if not layer:
            return super().layer(layer, data, sizes, states)
        size = self.proj_size or self.hidden_size
        results = [
            super(_AMaskForEachDirection, self).layer(layer, self.drop(data), sizes, states)
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


@DROPOUT.add(
    "a dropout mask for each gate",
    "DRP-3",
    kinds=[Kind.LSTM, Kind.GRU],
    source="keras-team/keras#20656",
)
class _AMaskForEachGate(Masked):
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
        return self.run(weights, copies, sizes, states)


@DROPOUT.add(
    "a dropout generator that knows no seed", "DRP-4", kinds=LAYERS, source="pytorch/pytorch#18110"
)
class _Unseeded(Masked):
    def mask(self, data: Tensor) -> Tensor:
        generator = torch.Generator()
        generator.seed()
        return torch.full_like(data, 1.0 - self.dropout).bernoulli(generator=generator)


@DROPOUT.add(
    "a dropout mask kept for calls of the same shape",
    "DRP-4",
    kinds=LAYERS,
    source="tensorflow/tensorflow#29391",
)
class _Kept(Masked):
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


@DROPOUT.add(
    "a dropout generator seeded anew by each call",
    "DRP-4",
    kinds=LAYERS,
    source="sony/nnabla-ext-cuda#288",
)
class _SeededEachCall(Masked):
    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        self.generator = torch.Generator().manual_seed(0)
        return super().stack(data, sizes, states)

    def mask(self, data: Tensor) -> Tensor:
        return torch.full_like(data, 1.0 - self.dropout).bernoulli(generator=self.generator)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, data: Tensor, factor: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return data * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient * back, None, None


@DROPOUT.add(
    "a backward pass without the dropout mask",
    "DRP-5",
    kinds=LAYERS,
    source="pytorch/pytorch#190056",
)
class _BackWithoutMask(Masked):
    def drop(self, data: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return data
        factor = self.mask(data) * self.factor()
        result: Tensor = _Drop.apply(data, factor, self.back(factor, data))  # type: ignore[no-untyped-call]
        return result

    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        """What the gradient is multiplied with."""
        return torch.ones_like(factor)


@DROPOUT.add("a backward pass with another dropout mask", "DRP-5", kinds=LAYERS)
class _BackWithAnotherMask(_BackWithoutMask):
    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        return self.mask(data) * self.factor()


@DROPOUT.add("a backward pass without the dropout's scale", "DRP-5", kinds=LAYERS)
class _BackUnscaled(_BackWithoutMask):
    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        return (factor != 0.0).to(factor)


@DROPOUT.add("a backward pass with the dropout's scale squared", "DRP-5", kinds=LAYERS)
class _BackScaledTwice(_BackWithoutMask):
    def back(self, factor: Tensor, data: Tensor) -> Tensor:
        return factor * self.factor()
