"""Layers stacked wrongly, or the wrong ones returned (LAY)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS as LAYER_KINDS
from rnn_conformance.spec.config import Feature

LAYERS = Chapter[Deviant]()
_STACKED = (Feature.MULTI_LAYER,)


class _Outputs(Deviant):
    """An oracle that has every layer's output at hand."""

    def outputs(self, answer: Answer) -> list[Array]:
        """Each layer's output, first layer first."""
        return [
            self.join([self.aligned(trace, direction) for direction, trace in enumerate(row)])
            for row in answer.traces
        ]


@LAYERS.add(
    "the first layer's output in place of the last's",
    "LAY-3",
    fix="Return the last layer's output: each layer reads the output of the one below, and "
    "only the topmost is returned.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
)
class _First(_Outputs):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        return replace(answer, output=self.outputs(answer)[0])


@LAYERS.add(
    "the layers' outputs added up",
    "LAY-3",
    fix="Return the last layer's output alone, not the sum over all layers.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
)
class _Sum(_Outputs):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        return replace(answer, output=np.sum(self.outputs(answer), axis=0))


@LAYERS.add(
    "all layers' outputs concatenated",
    "LAY-3 SHP-1",
    fix="Return the last layer's output alone, of shape (L, N, D * H_out), instead of all "
    "layers' side by side.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
)
class _Concatenated(_Outputs):
    def present(self, call: Call, answer: Answer) -> dict[str, Array]:
        wide = np.concatenate(self.outputs(answer), axis=-1)
        return super().present(call, replace(answer, output=wide))


@LAYERS.add(
    "the first layer's recurrent weights in every layer",
    "LAY-2",
    fix="Use each layer's own recurrent weights: weight_hh_l0 in the first, weight_hh_l1 in "
    "the second, and so on.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
)
class _Recurrent(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        return replace(weights, w_hh=super().weights(call, 0, direction).w_hh)


@LAYERS.add(
    "the second layer's parameters in all above it",
    "LAY-2",
    fix="Use each layer's own parameters: those of the third layer end in _l2, those of the "
    "fourth in _l3, and so on.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
)
class _Second(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        return super().weights(call, min(layer, 1), direction)


@LAYERS.add(
    "a residual connection around the last layer",
    "LAY-2",
    fix="Return what the last layer computes without adding its input to it: torch.nn has no "
    "residual connections.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
    source="Wu et al., arXiv:1609.08144",
)
class _Residual(_Outputs):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        outputs = self.outputs(answer)
        return answer if len(outputs) < 2 else replace(answer, output=outputs[-1] + outputs[-2])


@LAYERS.add(
    "relu between the layers",
    "LAY-2",
    fix="Hand each layer's output to the next as it is: between layers there is dropout in "
    "training and nothing else.",
    kinds=LAYER_KINDS,
    needs=_STACKED,
)
class _Relu(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        return super().direction(call, layer, direction, np.maximum(x, 0.0) if layer else x)


@LAYERS.add(
    "outputs scaled by 1 - p between the layers in evaluation",
    "DRP-1",
    fix="Leave outputs unscaled in evaluation: dropout has scaled what it keeps by 1 / (1 - p) in "
    "training already.",
    kinds=LAYER_KINDS,
    needs=(Feature.MULTI_LAYER, Feature.DROPOUT),
    source="Srivastava et al. (2014)",
)
class _ScaledDropout(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        return super().direction(
            call, layer, direction, (1.0 - call.config.dropout) * x if layer else x
        )


@LAYERS.add(
    "dropout in evaluation",
    "DRP-1",
    fix="Apply dropout in training mode alone, as in torch.nn.functional.dropout(x, p, "
    "training=self.training): after eval() it does nothing.",
    kinds=LAYER_KINDS,
    needs=(Feature.MULTI_LAYER, Feature.DROPOUT),
    source="pytorch/pytorch#180744",
)
class _Dropout(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        p = call.config.dropout
        if layer and p:
            rng = np.random.default_rng(layer)
            x = x * (rng.random(x.shape) >= p) / (1.0 - p if p < 1.0 else 1.0)
        return super().direction(call, layer, direction, x)
