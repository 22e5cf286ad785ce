"""Less precision than is due, and results of the wrong dtype (EQ-6, TYP-1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import EQUATIONS, Chapter, Deviant, significant
from rnn_conformance.reference.oracle import Answer, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config, Dtype, Kind

PRECISIONS = Chapter[Deviant]()
_INACCURATE = EQUATIONS + " EQ-5 EQ-6 ACC-1"


def with_weights(change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle whose parameters are changed, each by itself."""

    class WithWeights(Deviant):
        def answer(self, call: Call) -> Answer:
            changed = {name: change(array) for name, array in call.parameters.items()}
            return super().answer(call.replace(parameters=changed))

    return WithWeights


def _int8(array: Array) -> Array:
    """Quantised to 127 levels either way, symmetrically, with one scale."""
    scale = float(np.abs(array).max(initial=0.0)) / 127.0 or 1.0
    return scale * np.round(array / scale)


def off_by(by: float) -> Callable[[Array], Array]:
    """Every other element off by so much of itself, so that not all is scaled alike."""

    def off(array: Array) -> Array:
        return array * np.where(np.arange(array.size) % 2, 1.0, 1.0 + by).reshape(array.shape)

    return off


for name, fix, source, change in (
    (
        "parameters rounded to bfloat16",
        "Compute with the parameters in their own dtype, without rounding them to bfloat16.",
        "common mistake",
        lambda array: significant(array, 8),
    ),
    (
        "parameters quantised to 8 bits",
        "Compute with the parameters in their own floating-point dtype, without quantising "
        "them to int8.",
        "torch.ao.quantization.quantize_dynamic",
        _int8,
    ),
    (
        "parameters off by 1e-4 of themselves",
        "Compute with the parameters exactly as given: all are too large by 1e-4 of themselves.",
        "common mistake",
        lambda array: array * (1.0 + 1e-4),
    ),
    *(
        (
            f"half of the parameters off by {by:g} of themselves",
            "Compute with the parameters exactly as given, to the last bit of their dtype: every "
            f"other one is too large by {by:g} of itself.",
            "common mistake",
            off_by(by),
        )
        for by in (1e-4, 1e-5, 1e-6)
    ),
):
    PRECISIONS.add(name, _INACCURATE, fix=fix, source=source)(with_weights(change))


def with_small_errors(factor: float, summand: float, dtype: Dtype | None) -> type[Deviant]:
    """An oracle whose activations are ``factor a + summand``, in one dtype if one is named."""

    class WithSmallErrors(Deviant):
        within = True

        def off(self, gates: Array) -> Array:
            return factor * gates + summand if self.within else gates

        def answer(self, call: Call) -> Answer:
            self.within = dtype in (None, call.dtype)
            return super().answer(call)

        def activation(self, config: Config, z: Array) -> Array:
            return self.off(super().activation(config, z))

        def lstm_gates(self, zx: Array, zh: Array) -> Array:
            return self.off(super().lstm_gates(zx, zh))

        def gru_gates(self, zx: Array, zh: Array) -> Array:
            return self.off(super().gru_gates(zx, zh))

    return WithSmallErrors


for by in (1e-4, 1e-5, 1e-6):
    PRECISIONS.add(
        f"activations off by {by:g} of themselves",
        _INACCURATE,
        fix="Compute sigmoid, tanh and relu as accurately as the dtype allows: a relative error of "
        f"{by:g}, as of a fast approximation, is too large.",
    )(with_small_errors(1.0 + by, 0.0, None))
PRECISIONS.add(
    "1e-6 added to activations, as against a division by zero",
    _INACCURATE,
    fix="Return sigmoid, tanh and relu as they are: nothing is divided by them, so that they "
    "need no epsilon of 1e-6.",
)(with_small_errors(1.0, 1e-6, None))
for dtype, by in ((Dtype.FLOAT64, 1e-12),):
    PRECISIONS.add(
        f"activations off by {by:g} of themselves in {dtype}",
        _INACCURATE,
        fix=f"Compute sigmoid, tanh and relu in {dtype} to its last digits: a relative error of "
        f"{by:g} is too large there.",
    )(with_small_errors(1.0 + by, 0.0, dtype))


def with_less_bias(by: float) -> type[Deviant]:
    """An oracle whose biases are all too small by so much."""

    class WithLessBias(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            if not call.config.bias:
                return weights
            return replace(weights, b_ih=weights.b_ih - by, b_hh=weights.b_hh - by)

    return WithLessBias


for by in (1e-4, 1e-5, 1e-6):
    PRECISIONS.add(
        f"biases too small by {by:g}",
        _INACCURATE,
        fix=f"Add bias_ih and bias_hh exactly as given: {by:g} is missing from every element.",
    )(with_less_bias(by))


@PRECISIONS.add(
    "the input rounded to bfloat16",
    _INACCURATE,
    fix="Compute with the input in its own dtype, without rounding it to bfloat16.",
)
class _RoundedInput(Deviant):
    def answer(self, call: Call) -> Answer:
        return super().answer(call.replace(input=significant(call.input, 8)))


@PRECISIONS.add(
    "factors of products rounded to TF32",
    "EQ-6 EQ-5 CEL-2",
    fix="Multiply matrices in the parameters' dtype, without TF32, which keeps 11 significant "
    "bits: torch.backends.cuda.matmul.allow_tf32 = False.",
    source="torch.backends.cuda.matmul.allow_tf32",
)
class _TF32(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        weights = super().weights(call, layer, direction)
        return replace(
            weights, w_ih=significant(weights.w_ih, 11), w_hh=significant(weights.w_hh, 11)
        )

    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, significant(x, 11))


@PRECISIONS.add(
    "products added up in bfloat16",
    _INACCURATE,
    fix="Add up products in the parameters' dtype, and in float32 where that is float16 or "
    "bfloat16: a running sum in bfloat16 loses digits at every addition.",
)
class _Accumulated(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        total = np.zeros((*x.shape[:2], len(weights.w_ih))) + weights.b_ih
        for feature in range(x.shape[2]):
            total = significant(total + x[..., feature, None] * weights.w_ih[:, feature], 8)
        return total


@PRECISIONS.add(
    "float64 computed in float32",
    "EQ-6 CEL-2",
    fix="Compute in float64 throughout where input and parameters are float64: no buffer, "
    "constant or kernel of float32 comes in between.",
    source="elixir-nx/axon#646",
)
class _Single(Deviant):
    def answer(self, call: Call) -> Answer:
        if call.dtype is not Dtype.FLOAT64:
            return super().answer(call)

        def single(array: Array | None) -> Array | None:
            return None if array is None else significant(array, 24)

        answer = super().answer(
            call.replace(
                input=significant(call.input, 24),
                parameters={n: significant(a, 24) for n, a in call.parameters.items()},
                h_0=single(call.h_0),
                c_0=single(call.c_0),
            )
        )
        return replace(
            answer,
            output=significant(answer.output, 24),
            h_n=significant(answer.h_n, 24),
            c_n=single(answer.c_n),
        )


@PRECISIONS.add(
    "the state rounded to bfloat16 at every step",
    _INACCURATE,
    fix="Keep h (and c) from step to step in the parameters' dtype, without rounding to bfloat16.",
)
class _RoundedState(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, h, c = super().step(config, weights, zx, h, c)
        return zh, gates, significant(h, 8), significant(c, 8)


@PRECISIONS.add(
    "outputs rounded to float16",
    "EQ-6 EQ-5",
    fix="Write the output in the input's dtype, without rounding it to float16 on the way.",
    kinds=LAYERS,
)
class _HalfOutputs(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        return replace(answer, output=significant(answer.output, 11))


@PRECISIONS.add(
    "1e-4 added to the pre-activations",
    _INACCURATE,
    fix="Add nothing but the biases to W_ih x and W_hh h: no epsilon of 1e-4.",
)
class _Epsilon(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, x) + 1e-4


def of_dtype(states: Dtype, output: Dtype | None = None) -> type[Deviant]:
    """An oracle whose results come back in these dtypes; ``None`` for the right one."""

    class OfDtype(Deviant):
        def dtypes(self, call: Call) -> dict[str, str]:
            dtypes = super().dtypes(call)
            return {
                name: (output.value if output else dtype) if name == "output" else states.value
                for name, dtype in dtypes.items()
            }

    return OfDtype


PRECISIONS.add(
    "results always in float32",
    "TYP-1 EQ-6",
    fix="Return results in the input's dtype: allocate them with dtype=input.dtype, not with "
    "float32.",
)(of_dtype(Dtype.FLOAT32, Dtype.FLOAT32))
PRECISIONS.add(
    "results always in float64",
    "TYP-1 EQ-6",
    fix="Return results in the input's dtype: allocate them with dtype=input.dtype, since "
    "NumPy's default is float64.",
    source="keras-team/keras#2209",
)(of_dtype(Dtype.FLOAT64, Dtype.FLOAT64))
PRECISIONS.add(
    "states always in float32",
    "TYP-1 EQ-6",
    fix="Return h_n (and c_n) in the input's dtype, like the output: allocate them with "
    "dtype=input.dtype, not with float32.",
    kinds=LAYERS,
)(of_dtype(Dtype.FLOAT32))


def one_of_dtype(result: str, dtype: Dtype) -> type[Deviant]:
    """An oracle one result of which comes back in this dtype."""

    class OneOfDtype(Deviant):
        def dtypes(self, call: Call) -> dict[str, str]:
            return {**super().dtypes(call), result: dtype.value}

    return OneOfDtype


for result, kinds in (("output", LAYERS), ("h_n", LAYERS), ("c_n", frozenset({Kind.LSTM}))):
    for dtype in (Dtype.FLOAT32, Dtype.FLOAT64):
        PRECISIONS.add(
            f"{result} alone always in {dtype}",
            "TYP-1 EQ-6",
            fix=f"Return {result} in the input's dtype, as the others: it is made or cast as "
            f"{dtype}.",
            kinds=kinds,
        )(one_of_dtype(result, dtype))
