"""A GRU's gates, computed or used in the wrong way (EQ-3, CEL-2)."""

from __future__ import annotations

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, NEW_GATE, Chapter, Deviant
from rnn_conformance.reference.oracle import Weights, sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config

GRU_GATES = Chapter[Deviant]()


class _Reset(Deviant):
    """A GRU whose new gate is :meth:`new`, from both sides and the other two gates."""

    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        raise NotImplementedError

    def gru_gates(self, zx: Array, zh: Array) -> Array:
        size = zx.shape[-1] // 3
        gates = super().gru_gates(zx, zh)
        r, z = gates[:, :size], gates[:, size : 2 * size]
        gates[:, 2 * size :] = self.new(zx[:, 2 * size :], zh[:, 2 * size :], r, z)
        return gates


@GRU_GATES.add(
    "no reset gate",
    "EQ-3 CEL-2",
    fix=f"Multiply the state's side of the new gate by the reset gate: {NEW_GATE} with r = "
    "sigmoid(W_ir x + b_ir + W_hr h + b_hr).",
    kinds=GRUS,
)
class _NoReset(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return np.tanh(zx + zh)


@GRU_GATES.add(
    "the reset gate on the input's side too",
    "EQ-3 CEL-2",
    fix=f"Apply the reset gate to the state's side alone: {NEW_GATE}, without r before W_in x "
    "+ b_in.",
    kinds=GRUS,
)
class _ResetBoth(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return np.tanh(r * (zx + zh))


@GRU_GATES.add(
    "the interpolation reading r * h",
    "EQ-3 CEL-2",
    fix="Keep the state beside what the reset gate multiplies: h' = (1 - z) * n + z * h reads h as "
    "it was before the step, not r * h.",
    kinds=GRUS,
)
class _ResetKept(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        return super().gru_step(gates, gates[:, : h.shape[-1]] * h)


@GRU_GATES.add(
    "the update gate in place of the reset gate",
    "EQ-3 CEL-2",
    fix=f"Multiply by r, the first block of rows, inside the new gate: {NEW_GATE}. The update "
    "gate z, the second block, comes in only at h' = (1 - z) * n + z * h.",
    kinds=GRUS,
)
class _UpdateAsReset(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return np.tanh(zx + z * zh)


@GRU_GATES.add(
    "n put through a sigmoid",
    "EQ-3 CEL-2",
    fix=f"Put the new gate through tanh: {NEW_GATE}. Only r and z are sigmoids.",
    kinds=GRUS,
)
class _SigmoidN(_Reset):
    def new(self, zx: Array, zh: Array, r: Array, z: Array) -> Array:
        return sigmoid(zx + r * zh)


@GRU_GATES.add(
    "the reset gate before the matrix product",
    "EQ-3 CEL-2",
    fix=f"Apply the reset gate after the matrix product, {NEW_GATE}: linear_before_reset=1 in "
    "ONNX, reset_after=True in Keras.",
    kinds=GRUS,
    source="Cho et al., arXiv:1406.1078v1; pytorch/pytorch#189225",
)
class _ResetBefore(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, _, c = super().step(config, weights, zx, h, c)
        size = config.hidden_size
        product = (gates[:, :size] * h) @ weights.w_hh[2 * size :].T
        zh[:, 2 * size :] = product + weights.b_hh[2 * size :]
        gates[:, 2 * size :] = np.tanh(zx[:, 2 * size :] + zh[:, 2 * size :])
        return zh, gates, self.gru_step(gates, h), c


@GRU_GATES.add(
    "the update gate inverted, h = z n + (1 - z) h",
    "EQ-3 CEL-2",
    fix="Weight the old state by z and the new gate by 1 - z: h' = (1 - z) * n + z * h. Where "
    "a paper has them the other way round, exchange z and 1 - z.",
    kinds=GRUS,
    source="Chung et al., arXiv:1412.3555",
)
class _Inverted(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        size = h.shape[-1]
        z, n = gates[:, size : 2 * size], gates[:, 2 * size :]
        return z * n + (1.0 - z) * h


@GRU_GATES.add(
    "the new gate not weighted, h = n + z h",
    "EQ-3 CEL-2",
    fix="Weight the new gate by 1 - z: h' = (1 - z) * n + z * h.",
    kinds=GRUS,
)
class _Unweighted(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        size = h.shape[-1]
        return gates[:, 2 * size :] + gates[:, size : 2 * size] * h


@GRU_GATES.add(
    "the new gate weighted by z and the old state dropped, h = z n",
    "EQ-3 CEL-2",
    fix="Weight the new gate by 1 - z and keep z of the old state: h' = (1 - z) * n + z * h.",
    kinds=GRUS,
)
class _UpdateOnNew(Deviant):
    def gru_step(self, gates: Array, h: Array) -> Array:
        size = h.shape[-1]
        return gates[:, size : 2 * size] * gates[:, 2 * size :]
