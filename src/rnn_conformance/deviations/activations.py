"""Activation functions that are others, approximations, or fail for large arguments."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import EQUATIONS, GRUS, LSTMS, RNNS, Chapter, Deviant
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.reference.oracle import Trace, sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Feature, Kind

ACTIVATIONS = Chapter[Deviant]()

Function = Callable[[Array], Array]

SIGMOIDS: dict[str, Function] = {}
"""What stands in for the sigmoid, by name."""

TANHS: dict[str, Function] = {}
"""What stands in for tanh, by name."""


def _tanh(z: Array) -> Array:
    return np.tanh(z)


def with_activations(sigmoid: Function = sigmoid, tanh: Function = _tanh) -> type[Deviant]:
    """An oracle with other functions in place of the sigmoid and tanh."""

    class WithActivations(Deviant):
        def activation(self, config: Config, z: Array) -> Array:
            return super().activation(config, z) if config.nonlinearity == "relu" else tanh(z)

        def lstm_gates(self, zx: Array, zh: Array) -> Array:
            size = zx.shape[-1] // 4
            z = zx + zh
            gates = sigmoid(z)
            gates[:, 2 * size : 3 * size] = tanh(z[:, 2 * size : 3 * size])
            return gates

        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            _, c = super().lstm_step(gates, c, w_hr)
            h = gates[:, 3 * c.shape[-1] :] * tanh(c)
            return (h if w_hr is None else h @ w_hr.T), c

        def gru_gates(self, zx: Array, zh: Array) -> Array:
            size = zx.shape[-1] // 3
            gates = sigmoid(zx + zh)
            gates[:, 2 * size :] = tanh(zx[:, 2 * size :] + gates[:, :size] * zh[:, 2 * size :])
            return gates

    return WithActivations


def _after(first: Function, then: Function) -> Function:
    return lambda z: then(first(z))


def _rational_tanh(z: Array) -> Array:
    z = np.clip(z, -3.0, 3.0)
    return z * (27.0 + z * z) / (27.0 + 9.0 * z * z)


_LARGEST: ContextVar[float] = ContextVar("the largest number of the dtype", default=np.inf)


class _OfDtype(Deviant):
    """What overflows does so where the call's dtype does, not where that of the oracle does."""

    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        token = _LARGEST.set(FORMATS[call.dtype].largest)
        try:
            return super().direction(call, layer, direction, x)
        finally:
            _LARGEST.reset(token)


def of_dtype(variant: type[Deviant]) -> type[Deviant]:
    """A variant whose functions overflow as in the call's dtype."""
    return type("OverflowingOfDtype", (_OfDtype, variant), {})


def _exp(z: Array) -> Array:
    power = np.exp(z)
    return np.where(power > _LARGEST.get(), np.inf, power)


def _overflowing_sigmoid(z: Array) -> Array:
    return _exp(z) / (1.0 + _exp(z))


def _overflowing_tanh(z: Array) -> Array:
    return (_exp(2.0 * z) - 1.0) / (_exp(2.0 * z) + 1.0)


def _table(function: Function, bound: float, entries: int) -> Function:
    """The function by its value at the nearest of equally spaced points."""

    def looked_up(z: Array) -> Array:
        step = 2.0 * bound / entries
        return function(step * np.round(np.clip(z, -bound, bound) / step))

    return looked_up


for name, fix, source, function in (
    (
        "a hard sigmoid, clip(0.2 z + 0.5, 0, 1)",
        "Use the logistic sigmoid, 1 / (1 + exp(-z)): recurrent_activation='sigmoid' in "
        "Keras, Sigmoid instead of HardSigmoid in ONNX.",
        "ONNX and Keras HardSigmoid",
        lambda z: np.clip(0.2 * z + 0.5, 0.0, 1.0),
    ),
    (
        "a hard sigmoid, clip(z / 6 + 0.5, 0, 1)",
        "Use the logistic sigmoid, 1 / (1 + exp(-z)): torch.sigmoid, not torch.nn.Hardsigmoid.",
        "torch.nn.Hardsigmoid",
        lambda z: np.clip(z / 6.0 + 0.5, 0.0, 1.0),
    ),
    (
        "a sigmoid of softsign form, (1 + z / (1 + |z|)) / 2",
        "Use the logistic sigmoid, 1 / (1 + exp(-z)): it equals (1 + tanh(z / 2)) / 2, but z "
        "/ (1 + |z|) does not stand in for tanh(z / 2).",
        COMMON,
        lambda z: 0.5 + 0.5 * z / (1.0 + np.abs(z)),
    ),
    (
        "a sigmoid clipped at ±4",
        "Leave the sigmoid's argument unclipped: sigmoid(4) is 0.982, and 1 / (1 + exp(-z)) "
        "comes closer to 1 as z grows.",
        COMMON,
        lambda z: sigmoid(np.clip(z, -4.0, 4.0)),
    ),
    (
        "a sigmoid from a table of 1024 entries",
        "Compute the sigmoid as 1 / (1 + exp(-z)), as accurately as the dtype allows: a table "
        "of 1024 entries from -8 to 8 is off by up to 0.002.",
        "fastmachinelearning/hls4ml",
        _table(sigmoid, 8.0, 1024),
    ),
    (
        "a sigmoid of temperature 1.702",
        "Compute the sigmoid as 1 / (1 + exp(-z)), without a factor before z: 1.702 comes "
        "from an approximation of GELU.",
        "Hendrycks & Gimpel, arXiv:1606.08415",
        lambda z: sigmoid(1.702 * z),
    ),
    (
        "a sigmoid off by 1e-4",
        "Compute the sigmoid as 1 / (1 + exp(-z)), as accurately as the dtype allows, and add "
        "nothing to it: an error of 1e-4 is too large.",
        COMMON,
        lambda z: sigmoid(z) + 1e-4,
    ),
):
    SIGMOIDS[name] = function
    ACTIVATIONS.add(name, "EQ-2 EQ-3 EQ-5 CEL-2", fix=fix, kinds=LSTMS | GRUS, source=source)(
        with_activations(sigmoid=function)
    )

for name, fix, source, function in (
    (
        "a rational tanh, z (27 + z²) / (27 + 9 z²), clipped at ±3",
        "Compute tanh as accurately as the dtype allows: this rational approximation of it is "
        "off by up to 0.024.",
        COMMON,
        _rational_tanh,
    ),
    (
        "tanh clipped at ±3",
        "Leave the argument of tanh unclipped: tanh(3) is 0.995, and tanh(z) comes closer to "
        "1 as z grows.",
        COMMON,
        lambda z: np.tanh(np.clip(z, -3.0, 3.0)),
    ),
    (
        "a hard tanh, clip(z, -1, 1)",
        "Use tanh itself: torch.tanh, not torch.nn.Hardtanh or a clip to ±1.",
        "torch.nn.Hardtanh",
        lambda z: np.clip(z, -1.0, 1.0),
    ),
    (
        "softsign in place of tanh",
        "Use tanh, not z / (1 + |z|): the activation Tanh, not Softsign, in ONNX.",
        "torch.nn.Softsign",
        lambda z: z / (1.0 + np.abs(z)),
    ),
    (
        "a scaled tanh, 1.7159 tanh(2 z / 3)",
        "Use tanh(z) without factors: the activation Tanh, not ScaledTanh, in ONNX.",
        "ONNX ScaledTanh",
        lambda z: 1.7159 * np.tanh(2.0 / 3.0 * z),
    ),
    (
        "tanh from a table of 1024 entries",
        "Compute tanh as accurately as the dtype allows: a table of 1024 entries from -4 to 4 "
        "is off by up to 0.004.",
        "fastmachinelearning/hls4ml",
        _table(np.tanh, 4.0, 1024),
    ),
    (
        "tanh off by a ten-thousandth of itself",
        "Compute tanh as accurately as the dtype allows: a relative error of 1e-4, as of a "
        "fast approximation, is too large.",
        COMMON,
        lambda z: np.tanh(z) * (1.0 + 1e-4),
    ),
):
    TANHS[name] = function
    ACTIVATIONS.add(name, EQUATIONS + " EQ-5", fix=fix, source=source)(
        with_activations(tanh=function)
    )

SIGMOIDS["a sigmoid that overflows, exp(z) / (1 + exp(z))"] = _overflowing_sigmoid
TANHS["a tanh that overflows, (exp(2 z) - 1) / (exp(2 z) + 1)"] = _overflowing_tanh

ACTIVATIONS.add(
    "a sigmoid that overflows, exp(z) / (1 + exp(z))",
    "SPC-2 CEL-2",
    fix="Compute the sigmoid as 1 / (1 + exp(-z)) or (1 + tanh(z / 2)) / 2: where exp(z) "
    "overflows, exp(z) / (1 + exp(z)) is inf / inf, which is NaN, and 1 is due.",
    kinds=LSTMS | GRUS,
    source="clab/dynet#1525",
)(of_dtype(with_activations(sigmoid=_overflowing_sigmoid)))

ACTIVATIONS.add(
    "a tanh that overflows, (exp(2 z) - 1) / (exp(2 z) + 1)",
    "SPC-2 CEL-2",
    fix="Use the library's tanh: where exp(2 z) overflows, (exp(2 z) - 1) / (exp(2 z) + 1) is "
    "inf / inf, which is NaN, and 1 is due.",
    source="clab/dynet#1525",
)(of_dtype(with_activations(tanh=_overflowing_tanh)))

for name, source, function in (
    (
        "clamping that turns NaN into a number",
        "fmin and fmax of IEEE 754",
        lambda z: np.fmin(np.fmax(z, -100.0), 100.0),
    ),
    (
        "clamping that turns NaN into the largest number",
        "ONNX Runtime's kernels, where there is a bias",
        lambda z: np.fmax(np.fmin(z, 100.0), -100.0),
    ),
):
    ACTIVATIONS.add(
        name,
        "SPC-1 CEL-2",
        fix="Let NaN through: fmin and fmax return the argument that is a number, torch.clamp and "
        "numpy.clip keep NaN; sigmoid and tanh need no clamp at all.",
        source=source,
    )(with_activations(_after(function, sigmoid), _after(function, np.tanh)))


def with_relu(relu: Function) -> type[Deviant]:
    """An oracle with another function in place of relu."""

    class WithRelu(Deviant):
        def activation(self, config: Config, z: Array) -> Array:
            return relu(z) if config.nonlinearity == "relu" else np.tanh(z)

    return WithRelu


for name, fix, source, function in (
    (
        "tanh although nonlinearity is relu",
        "Heed nonlinearity='relu', h' = max(0, W_ih x + b_ih + W_hh h + b_hh): the activation "
        "Relu in ONNX.",
        "microsoft/onnxruntime#4034",
        np.tanh,
    ),
    (
        "a leaky relu",
        "Use max(0, z): relu's slope below zero is 0, not 0.01.",
        "torch.nn.LeakyReLU",
        lambda z: np.where(z > 0.0, z, 0.01 * z),
    ),
    (
        "softplus in place of relu",
        "Use max(0, z) instead of its smooth version log(1 + exp(z)).",
        "torch.nn.Softplus",
        lambda z: np.logaddexp(0.0, z),
    ),
    (
        "silu in place of relu",
        "Use max(0, z) instead of z * sigmoid(z).",
        "torch.nn.SiLU",
        lambda z: z * sigmoid(z),
    ),
    (
        "relu clipped at 1",
        "Use max(0, z), which has no upper bound of 1.",
        "ONNX RNN, clip",
        lambda z: np.clip(z, 0.0, 1.0),
    ),
    (
        "relu clipped at 6",
        "Use max(0, z), which has no upper bound: torch.relu, not torch.nn.ReLU6.",
        "torch.nn.ReLU6",
        lambda z: np.clip(z, 0.0, 6.0),
    ),
    (
        "the magnitude in place of relu",
        "Use max(0, z): what is negative becomes zero, not positive.",
        COMMON,
        np.abs,
    ),
):
    ACTIVATIONS.add(name, "EQ-1 CEL-2", fix=fix, kinds=RNNS, needs=[Feature.RELU], source=source)(
        with_relu(function)
    )

ACTIVATIONS.add(
    "relu clipped at 20",
    "EQ-5 SPC-2 CEL-2",
    fix="Use max(0, z), which has no upper bound: 20 is that of Deep Speech.",
    kinds=RNNS,
    needs=[Feature.RELU],
    source="Hannun et al., arXiv:1412.5567",
)(with_relu(lambda z: np.clip(z, 0.0, 20.0)))

ACTIVATIONS.add(
    "a relu that turns NaN into zero",
    "SPC-1 CEL-2",
    fix="Let NaN through relu: torch.relu and numpy.maximum keep it, whereas fmax(z, 0) and "
    "the choice of z where z > 0 and 0 elsewhere make it zero.",
    kinds=RNNS,
    needs=[Feature.RELU],
    source="fmax of IEEE 754",
)(with_relu(lambda z: np.fmax(z, 0.0)))


@ACTIVATIONS.add(
    "relu although nonlinearity is tanh",
    "EQ-1 CEL-2",
    fix="Use tanh unless nonlinearity='relu' is given: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).",
    kinds=RNNS,
)
class _AlwaysRelu(Deviant):
    def activation(self, config: Config, z: Array) -> Array:
        return np.maximum(z, 0.0)


@ACTIVATIONS.add(
    "relu in the forward direction only",
    "EQ-1 DIR-2",
    fix="Apply the chosen nonlinearity in both directions: in ONNX, activations has one entry "
    "for each, ['Relu', 'Relu'].",
    kinds=[Kind.RNN],
    needs=[Feature.RELU, Feature.BIDIRECTIONAL],
    source="onnx/tensorflow-onnx#2211",
)
class _ForwardRelu(Deviant):
    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        if direction:
            call = call.replace(config=replace(call.config, nonlinearity="tanh"))
        return super().scan(call, layer, direction, x, steps)
