"""Less precision than is due, and results of the wrong dtype (EQ-6, TYP-1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.calls import Array, Call
from rnn_conformance.deviations.deviation import (
    EQUATIONS,
    LAYERS,
    Chapter,
    Deviant,
    significant,
)
from rnn_conformance.oracle import Answer, Weights
from rnn_conformance.spec import Config, Dtype

PRECISIONS = Chapter()
_INACCURATE = EQUATIONS + " EQ-5 EQ-6"


def with_weights(change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle whose parameters are changed, each by itself."""

    class WithWeights(Deviant):
        def answer(self, call: Call) -> Answer:
            changed = {name: change(array) for name, array in call.parameters.items()}
            return super().answer(replace(call, parameters=changed))

    return WithWeights


def _int8(array: Array) -> Array:
    """Quantised to 127 levels either way, symmetrically, with one scale."""
    scale = float(np.abs(array).max(initial=0.0)) / 127.0 or 1.0
    return scale * np.round(array / scale)


def _outwards(array: Array) -> Array:
    """Every other element off by 1e-4 of itself."""
    off = np.where(np.arange(array.size) % 2, 1.0, 1.0 + 1e-4)
    return array * off.reshape(array.shape)


for name, source, change in (
    ("parameters rounded to bfloat16", "common mistake", lambda array: significant(array, 8)),
    ("parameters quantised to 8 bits", "torch.ao.quantization.quantize_dynamic", _int8),
    ("parameters off by 1e-4 of themselves", "common mistake", lambda array: array * (1.0 + 1e-4)),
    ("half of the parameters off by 1e-4 of themselves", "common mistake", _outwards),
):
    PRECISIONS.add(name, _INACCURATE, source=source)(with_weights(change))


@PRECISIONS.add("the input rounded to bfloat16", _INACCURATE)
class _RoundedInput(Deviant):
    def answer(self, call: Call) -> Answer:
        return super().answer(replace(call, input=significant(call.input, 8)))


@PRECISIONS.add(
    "factors of products rounded to TF32",
    "EQ-6 EQ-5 CEL-2",
    source="torch.backends.cuda.matmul.allow_tf32",
)
class _TF32(Deviant):
    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        right = super().weights(call, layer, direction)
        return replace(right, w_ih=significant(right.w_ih, 11), w_hh=significant(right.w_hh, 11))

    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, significant(x, 11))


@PRECISIONS.add("products added up in bfloat16", _INACCURATE)
class _Accumulated(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        total = np.zeros((*x.shape[:2], len(weights.w_ih))) + weights.b_ih
        for feature in range(x.shape[2]):
            total = significant(total + x[..., feature, None] * weights.w_ih[:, feature], 8)
        return total


@PRECISIONS.add("float64 computed in float32", "EQ-6 CEL-2", source="elixir-nx/axon#646")
class _Single(Deviant):
    def answer(self, call: Call) -> Answer:
        if call.dtype is not Dtype.FLOAT64:
            return super().answer(call)

        def single(array: Array | None) -> Array | None:
            return None if array is None else significant(array, 24)

        answer = super().answer(
            replace(
                call,
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


@PRECISIONS.add("the state rounded to bfloat16 at every step", _INACCURATE)
class _RoundedState(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, h, c = super().step(config, weights, zx, h, c)
        return zh, gates, significant(h, 8), significant(c, 8)


@PRECISIONS.add("outputs rounded to float16", "EQ-6 EQ-5", kinds=LAYERS)
class _HalfOutputs(Deviant):
    def answer(self, call: Call) -> Answer:
        right = super().answer(call)
        return replace(right, output=significant(right.output, 11))


@PRECISIONS.add("1e-4 added to the pre-activations", _INACCURATE)
class _Epsilon(Deviant):
    def input_side(self, weights: Weights, x: Array) -> Array:
        return super().input_side(weights, x) + 1e-4


def of_dtype(states: Dtype, output: Dtype | None = None) -> type[Deviant]:
    """An oracle whose results come back in these dtypes; ``None`` for the right one."""

    class OfDtype(Deviant):
        def dtypes(self, call: Call) -> dict[str, str]:
            right = super().dtypes(call)
            return {
                name: (output.value if output else dtype) if name == "output" else states.value
                for name, dtype in right.items()
            }

    return OfDtype


PRECISIONS.add("results always in float32", "TYP-1 EQ-6")(of_dtype(Dtype.FLOAT32, Dtype.FLOAT32))
PRECISIONS.add("results always in float64", "TYP-1 EQ-6", source="keras-team/keras#2209")(
    of_dtype(Dtype.FLOAT64, Dtype.FLOAT64)
)
PRECISIONS.add("states always in float32", "TYP-1 EQ-6", kinds=LAYERS)(of_dtype(Dtype.FLOAT32))
