"""Small implementations that are right, in one way each.

They are the ways in which an implementation may legally differ from the next, each in the
working precision: none of them may fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from rnn_conformance import drop_in
from rnn_conformance.deviations import Deviant
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants.equations import Answering, Floats, Miniature, miniature
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Config, Dtype, Kind


def correct(kind: Kind) -> Miniature:
    """The oracle itself, rounded to the dtype."""
    return miniature("the equations", kind, Deviant)


class Way:
    """A legal way to compute a layer; subclasses take other ones.

    Arrays are float64 or float32; the half types are computed in float32, and stored with
    their own few bits after every operation.
    """

    def __init__(self, dtype: Dtype) -> None:
        self.dtype = dtype
        self.work = np.float64 if dtype is Dtype.FLOAT64 else np.float32

    def store(self, array: Floats) -> Floats:
        """The array as memory holds it."""
        if self.dtype in (Dtype.FLOAT32, Dtype.FLOAT64):
            return array
        return rounded(array.astype(np.float64), self.dtype).astype(self.work)

    def product(self, x: Floats, w: Floats) -> Floats:
        """``W x``; ``x`` is ``(N, n)``, ``w`` ``(m, n)``."""
        return x @ w.T

    def affine(self, x: Floats, w: Floats, b: Floats) -> Floats:
        return self.store(self.product(x, w) + b)

    def sigmoid(self, z: Floats) -> Floats:
        return 1.0 / (1.0 + np.exp(-z))

    def tanh(self, z: Floats) -> Floats:
        return np.tanh(z)

    def preactivation(self, p: dict[str, Floats], x: Floats, h: Floats) -> Floats:
        return self.store(
            self.affine(x, p["weight_ih"], p["bias_ih"])
            + self.affine(h, p["weight_hh"], p["bias_hh"])
        )

    def multiply_add(self, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
        """``a b + c d``."""
        return self.store(self.store(a * b) + self.store(c * d))

    def rnn(
        self, config: Config, p: dict[str, Floats], x: Floats, h: Floats, c: Floats
    ) -> tuple[Floats, Floats]:
        z = self.preactivation(p, x, h)
        relu = config.nonlinearity == "relu"
        return self.store(np.maximum(z, 0.0) if relu else self.tanh(z)), c

    def lstm(
        self, config: Config, p: dict[str, Floats], x: Floats, h: Floats, c: Floats
    ) -> tuple[Floats, Floats]:
        zi, zf, zg, zo = np.split(self.preactivation(p, x, h), 4, axis=1)
        i, f, o = (self.store(self.sigmoid(z)) for z in (zi, zf, zo))
        c = self.multiply_add(f, c, i, self.store(self.tanh(zg)))
        h = self.store(o * self.store(self.tanh(c)))
        return (self.store(self.product(h, p["weight_hr"])) if "weight_hr" in p else h), c

    def gru(
        self, config: Config, p: dict[str, Floats], x: Floats, h: Floats, c: Floats
    ) -> tuple[Floats, Floats]:
        xr, xz, xn = np.split(self.affine(x, p["weight_ih"], p["bias_ih"]), 3, axis=1)
        hr, hz, hn = np.split(self.affine(h, p["weight_hh"], p["bias_hh"]), 3, axis=1)
        r = self.store(self.sigmoid(self.store(xr + hr)))
        z = self.store(self.sigmoid(self.store(xz + hz)))
        n = self.store(self.tanh(self.store(xn + self.store(r * hn))))
        return self.update(z, n, h), c

    def update(self, z: Floats, n: Floats, h: Floats) -> Floats:
        one = self.work(1.0)
        return self.multiply_add(self.store(one - z), n, z, h)

    def scan(
        self,
        config: Config,
        p: dict[str, Floats],
        x: Floats,
        h: Floats,
        c: Floats,
        steps: NDArray[np.bool_],
    ) -> tuple[Floats, Floats, Floats]:
        """The outputs ``(L, N, ·)`` and the final ``h`` and ``c`` of one direction."""
        step = {Kind.RNN: self.rnn, Kind.LSTM: self.lstm, Kind.GRU: self.gru}[config.kind.layer]
        outputs = []
        for data, here in zip(x, steps[:, :, None], strict=True):
            new_h, new_c = step(config, p, data, h, c)
            h, c = np.where(here, new_h, h), np.where(here, new_c, c)
            outputs.append(np.where(here, h, self.work(0.0)))
        return np.stack(outputs), h, c

    def parameters(self, call: Call, layer: int, direction: int) -> dict[str, Floats]:
        """By their roles; zeros for the biases that there are not."""
        p: dict[str, Floats] = {
            parameter.role.value: call.parameters[name].astype(self.work)
            for name, parameter in call.config.parameters.items()
            if (parameter.layer, parameter.direction) == (layer, direction)
        }
        zeros = np.zeros(len(p["weight_ih"]), self.work)
        return {"bias_ih": zeros, "bias_hh": zeros, **p}

    def answer(self, call: Call) -> dict[str, Floats]:
        """The results by name, canonical."""
        config = call.config
        below: Floats = call.input.astype(self.work)
        finals: dict[str, list[Floats]] = {"h_n": [], "c_n": []}
        for layer in range(config.num_layers):
            halves = []
            for direction in range(config.num_directions):
                place = layer * config.num_directions + direction
                h, c = (
                    np.zeros((call.batch, width), self.work)
                    if state is None
                    else state[place].astype(self.work)
                    for state, width in (
                        (call.h_0, config.output_size),
                        (call.c_0, config.hidden_size),
                    )
                )
                order = slice(None, None, -1 if direction else 1)
                p = self.parameters(call, layer, direction)
                output, h, c = self.scan(config, p, below[order], h, c, call.steps[order])
                halves.append(output[order])
                finals["h_n"].append(h)
                finals["c_n"].append(c)
            below = np.concatenate(halves, axis=-1)
        arrays = {"output": below, **{name: np.stack(state) for name, state in finals.items()}}
        return {name: arrays[name] for name in call.results}

    def __call__(self, call: Call) -> dict[str, Floats]:
        with np.errstate(all="ignore"):
            return {
                name: call.give(name, rounded(array.astype(np.float64), self.dtype))
                for name, array in self.answer(call).items()
            }


class FusedBiases(Way):
    """The biases added to one another first, but for GRU's new gate."""

    def parameters(self, call: Call, layer: int, direction: int) -> dict[str, Floats]:
        p = super().parameters(call, layer, direction)
        fused, rest = self.store(p["bias_ih"] + p["bias_hh"]), np.zeros_like(p["bias_hh"])
        if call.config.kind.layer is Kind.GRU:
            new = slice(2 * call.config.hidden_size, None)
            fused[new], rest[new] = p["bias_ih"][new], p["bias_hh"][new]
        return {**p, "bias_ih": fused, "bias_hh": rest}


class ProductsFirst(Way):
    """Each product stored before its bias is added, as where a matrix is not contiguous."""

    def affine(self, x: Floats, w: Floats, b: Floats) -> Floats:
        return self.store(self.store(self.product(x, w)) + b)


class BiasesLast(ProductsFirst):
    """Both products added to one another first, and then the biases one by one."""

    def preactivation(self, p: dict[str, Floats], x: Floats, h: Floats) -> Floats:
        products = (self.product(x, p["weight_ih"]), self.product(h, p["weight_hh"]))
        z = self.store(self.store(products[0]) + self.store(products[1]))
        return self.store(self.store(z + p["bias_ih"]) + p["bias_hh"])


class Reversed(Way):
    """Sums from the last term to the first."""

    def product(self, x: Floats, w: Floats) -> Floats:
        total = np.zeros((len(x), len(w)), self.work)
        for k in reversed(range(w.shape[1])):
            total = total + x[:, k, None] * w[:, k]
        return total


class Loops(Way):
    """Sums from the bias on, one product after the other."""

    def affine(self, x: Floats, w: Floats, b: Floats) -> Floats:
        total: Floats = np.broadcast_to(b, (len(x), len(w)))
        for k in range(w.shape[1]):
            total = total + x[:, k, None] * w[:, k]
        return self.store(total)


class Blocked(Way):
    """Sums of partial sums of four terms."""

    def product(self, x: Floats, w: Floats) -> Floats:
        total = np.zeros((len(x), len(w)), self.work)
        for k in range(0, w.shape[1], 4):
            total = total + x[:, k : k + 4] @ w[:, k : k + 4].T
        return total


class Pairwise(Way):
    """Sums of the sums of both halves of the terms."""

    def product(self, x: Floats, w: Floats) -> Floats:
        half = w.shape[1] // 2
        if not half:
            return x * w[:, 0] if w.shape[1] else x @ w.T
        return self.product(x[:, :half], w[:, :half]) + self.product(x[:, half:], w[:, half:])


class Double(Way):
    """Everything in float64, rounded at the end."""

    def __init__(self, dtype: Dtype) -> None:
        super().__init__(dtype)
        self.work = np.float64

    def store(self, array: Floats) -> Floats:
        return array


class Single(Way):
    """The half types in float32 throughout, rounded at the end."""

    def store(self, array: Floats) -> Floats:
        return array


class SigmoidFromTanh(Way):
    """``sigmoid(z) = (1 + tanh(z / 2)) / 2``."""

    def sigmoid(self, z: Floats) -> Floats:
        return self.work(0.5) * (self.work(1.0) + np.tanh(self.work(0.5) * z))


class TanhFromSigmoid(Way):
    """``tanh(z) = 2 sigmoid(2 z) - 1``."""

    def tanh(self, z: Floats) -> Floats:
        two, one = self.work(2.0), self.work(1.0)
        return two * self.sigmoid(two * z) - one


class RationalTanh(Way):
    """A quotient of polynomials in the place of tanh, as Eigen and XLA have it for float32."""

    ODD = (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
    EVEN = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)

    def tanh(self, z: Floats) -> Floats:
        if self.work is not np.float32:
            return super().tanh(z)
        x = np.clip(z, np.float32(-7.90531110763549805), np.float32(7.90531110763549805))
        square, p, q = x * x, np.float32(0.0), np.float32(0.0)
        for coefficient in self.ODD:
            p = p * square + np.float32(coefficient)
        for coefficient in self.EVEN:
            q = q * square + np.float32(coefficient)
        tanh: Floats = np.where(np.abs(z) < np.float32(4e-4), z, x * p / q)
        return np.where(np.isnan(z), z, tanh)


class PowersOfTwo(Way):
    """Both activations from ``2^x``, as tinygrad and many kernels have it."""

    def sigmoid(self, z: Floats) -> Floats:
        one: Floats = self.work(1.0) / (
            self.work(1.0) + np.exp2(z * self.work(-1.4426950408889634))
        )
        return one

    def tanh(self, z: Floats) -> Floats:
        two, one = self.work(2.0), self.work(1.0)
        return two * self.sigmoid(two * z) - one


class SigmoidByBranches(Way):
    """``exp`` of negative numbers only, as those write it who fear overflow."""

    def sigmoid(self, z: Floats) -> Floats:
        e = np.exp(-np.abs(z))
        return np.where(z >= 0.0, 1.0 / (1.0 + e), e / (1.0 + e))


class Interpolated(Way):
    """GRU's ``h = n + z (h - n)``."""

    def update(self, z: Floats, n: Floats, h: Floats) -> Floats:
        return self.store(n + self.store(z * self.store(h - n)))


class MultiplyAdd(Way):
    """``a b + c d`` with a single rounding at its end."""

    def multiply_add(self, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
        a, b, c, d = (array.astype(np.float64) for array in (a, b, c, d))
        return self.store((a * b + c * d).astype(self.work))


class OneProduct(Way):
    """``[W U] [x; h]``, but for GRU's new gate, whose sides stay apart."""

    def preactivation(self, p: dict[str, Floats], x: Floats, h: Floats) -> Floats:
        joined = np.concatenate([p["weight_ih"], p["weight_hh"]], axis=1)
        both = np.concatenate([x, h], axis=1)
        return self.store(self.product(both, joined) + (p["bias_ih"] + p["bias_hh"]))

    def gru(
        self, config: Config, p: dict[str, Floats], x: Floats, h: Floats, c: Floats
    ) -> tuple[Floats, Floats]:
        size = config.hidden_size
        first = {name: array[: 2 * size] for name, array in p.items()}
        last = {name: array[2 * size :] for name, array in p.items()}
        r, z = np.split(self.store(self.sigmoid(self.preactivation(first, x, h))), 2, axis=1)
        xn = self.affine(x, last["weight_ih"], last["bias_ih"])
        hn = self.affine(h, last["weight_hh"], last["bias_hh"])
        n = self.store(self.tanh(self.store(xn + self.store(r * hn))))
        return self.update(z, n, h), c


class SeparateGates(Way):
    """One product for each gate."""

    def affine(self, x: Floats, w: Floats, b: Floats) -> Floats:
        gates = len(w) // max(1, self.size)
        pieces = zip(np.split(w, gates), np.split(b, gates), strict=True)
        return np.concatenate([super(SeparateGates, self).affine(x, *p) for p in pieces], axis=1)

    def answer(self, call: Call) -> dict[str, Floats]:
        self.size = call.config.hidden_size
        return super().answer(call)


class ColumnMajor(Way):
    """Products of arrays that are not contiguous, which BLAS adds up in another order."""

    def product(self, x: Floats, w: Floats) -> Floats:
        transposed: Floats = np.asfortranarray(w) @ np.asfortranarray(x.T)
        return transposed.T


class InPieces(Way):
    """Two steps at a time, the state carried over."""

    def scan(
        self,
        config: Config,
        p: dict[str, Floats],
        x: Floats,
        h: Floats,
        c: Floats,
        steps: NDArray[np.bool_],
    ) -> tuple[Floats, Floats, Floats]:
        outputs = []
        for start in range(0, len(x), 2):
            piece = slice(start, start + 2)
            output, h, c = super().scan(config, p, x[piece], h, c, steps[piece])
            outputs.append(output)
        return np.concatenate(outputs), h, c


class SampleBySample(Way):
    """Every sequence alone, over its own steps and no padding."""

    def scan(
        self,
        config: Config,
        p: dict[str, Floats],
        x: Floats,
        h: Floats,
        c: Floats,
        steps: NDArray[np.bool_],
    ) -> tuple[Floats, Floats, Floats]:
        output = np.zeros((*x.shape[:2], h.shape[1]), self.work)
        h, c = h.copy(), c.copy()
        for n in range(x.shape[1]):
            one, here = slice(n, n + 1), steps[:, n]
            output[here, one], h[one], c[one] = super().scan(
                config, p, x[here, one], h[one], c[one], steps[here, one]
            )
        return output, h, c


class Views(Way):
    """Results that are transposed and strided views of larger arrays."""

    def __call__(self, call: Call) -> dict[str, Floats]:
        views = {}
        for name, array in super().__call__(call).items():
            larger = np.full([2 * size + 1 for size in reversed(array.shape)], np.nan)
            view = larger[tuple(slice(1, None, 2) for _ in array.shape)].T
            view[...] = array
            views[name] = view
        return views


class FlushToZero(Way):
    """Subnormal results taken for zero, as GPUs and fast modes of CPUs do."""

    def store(self, array: Floats) -> Floats:
        stored = super().store(array)
        if self.dtype is Dtype.FLOAT16:
            return stored
        return np.where(np.abs(stored) < np.finfo(self.work).tiny, self.work(0.0), stored)


class Junk(Way):
    """Whatever was there before left standing in the padding, which belongs to nobody."""

    def answer(self, call: Call) -> dict[str, Floats]:
        answer = super().answer(call)
        if call.lengths is not None:
            answer["output"][~call.steps] = 123.0
        return answer


WAYS: tuple[type[Way], ...] = (
    Way,
    FusedBiases,
    ProductsFirst,
    BiasesLast,
    Reversed,
    Loops,
    Blocked,
    Pairwise,
    Double,
    Single,
    SigmoidFromTanh,
    TanhFromSigmoid,
    RationalTanh,
    PowersOfTwo,
    SigmoidByBranches,
    Interpolated,
    MultiplyAdd,
    OneProduct,
    SeparateGates,
    ColumnMajor,
    InPieces,
    SampleBySample,
    Views,
    FlushToZero,
    Junk,
)


def way_miniature(way: type[Way], kind: Kind) -> Miniature:
    """An implementation that computes in this way."""

    def start() -> Answering:
        return lambda call: (way(call.dtype)(call), dict.fromkeys(call.results, str(call.dtype)))

    return Miniature.of(way.__name__, kind, start)


def correct_implementations(kind: Kind) -> Iterator[Implementation]:
    """Every implementation here that is right; each must pass every check."""
    yield correct(kind)
    for way in WAYS:
        yield way_miniature(way, kind)
    yield drop_in(getattr(torch.nn, kind.value))
