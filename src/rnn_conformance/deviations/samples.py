"""Samples that influence one another, or are left out (INV-1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import EQUATIONS, Chapter, Deviant
from rnn_conformance.reference.oracle import Answer, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config

SAMPLES = Chapter[Deviant]()


@SAMPLES.add(
    "the first sample's state for all samples",
    "INV-1 " + EQUATIONS,
    fix="Carry a state for every sample, (N, H): at each step, sample n starts from its own "
    "row and not from the first sample's.",
    source="apple/coremltools#303",
)
class _OneState(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        first = np.zeros(len(h), dtype=int)
        return super().step(config, weights, zx, h[first], c[first])


@SAMPLES.add(
    "pre-activations normalised over the batch",
    "INV-1 " + EQUATIONS,
    fix="Use W_ih x + b_ih as it is: torch.nn's recurrent layers have no batch normalisation, "
    "and samples have no influence on one another.",
    source="Laurent et al., arXiv:1510.01378",
)
class _Normalised(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        zx = super().input_side(weights, x)
        if zx.shape[1] < 2:
            return zx
        mean, deviation = (moment(axis=1, keepdims=True) for moment in (zx.mean, zx.std))
        normalised: Array = (zx - mean) / (deviation + 1e-5)
        return normalised


@SAMPLES.add(
    "the last of an odd number of samples left at zero",
    "INV-1 " + EQUATIONS,
    fix="Compute all N samples: where a loop takes two at a time, an odd one is left over at "
    "the end and needs a step of its own.",
)
class _TailOfBatch(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, h, c = super().step(config, weights, zx, h, c)
        done = (np.arange(len(h)) < len(h) // 2 * 2)[:, None]
        return zh, gates, np.where(done, h, 0.0), np.where(done, c, 0.0)


@SAMPLES.add(
    "the second sample's state in the third and those after it",
    "INV-1 " + EQUATIONS,
    fix="Step every sample from its own state: the third sample and those after it read the "
    "second's, as where an offset into a buffer stops growing.",
    source="microsoft/onnxruntime#3893",
)
class _Scratch(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        read = np.minimum(np.arange(len(h)), 1)
        return super().step(config, weights, zx, h[read], c[read])


@SAMPLES.add(
    "a NaN of one sample spread to all of them",
    "SPC-1 INV-1 CEL-2",
    fix="Keep the samples apart: no sum or product may run over the batch, not even times "
    "zero, since 0 * NaN is NaN.",
)
class _SpreadingNaN(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        output, h_n = (
            array + 0.0 * array.sum(axis=1, keepdims=True) for array in (answer.output, answer.h_n)
        )
        return replace(answer, output=output, h_n=h_n)


@SAMPLES.add(
    "the units past a multiple of four left at zero",
    EQUATIONS + " EQ-5",
    fix="Compute all H units: where a loop takes four at a time, up to three are left over at "
    "the end and need a step of their own.",
)
class _TailOfUnits(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, h, c = super().step(config, weights, zx, h, c)
        h = np.where(np.arange(h.shape[1]) < max(h.shape[1] // 4 * 4, 1), h, 0.0)
        return zh, gates, h, c


@SAMPLES.add(
    "the input features past the sixteenth left out",
    "EQ-5 CEL-2",
    fix="Sum W_ih x over all input features, however many there are, and not over the first "
    "16 alone.",
)
class _TailOfFeatures(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        return x[..., :16] @ weights.w_ih[:, :16].T + weights.b_ih


@SAMPLES.add(
    "the units past the sixteenth not recurring",
    "EQ-5 CEL-2",
    fix="Sum W_hh h over all units of h, however many there are, and not over the first 16 alone.",
)
class _TailOfProduct(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        cut = np.where(np.arange(weights.w_hh.shape[1]) < 16, weights.w_hh, 0.0)
        narrow = Weights(weights.w_ih, cut, weights.b_ih, weights.b_hh, weights.w_hr)
        return super().step(config, narrow, zx, h, c)
