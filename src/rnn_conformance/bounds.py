"""The hard bound: how far any correct implementation can be from the equations.

Next to the float64 reference runs, for each element, a bound ``E`` on the error of
*any* correct implementation in the working precision, whatever its order of
summation, blocking, fused multiply-add or fused biases. ``|error| > E`` proves that
an implementation does not compute these equations in this precision. There is no
``rtol`` and no ``atol``.

Model of arithmetic (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd
ed., ch. 2–3): ``fl(a op b) = (a op b)(1 + d) + e``, ``|d| <= u``, ``|e| <= eta``; a sum
of ``n`` products in any order is off by at most ``gamma_n = n u / (1 - n u)`` times the
sum of their magnitudes. Weights and inputs are exact. Written below as ``Ex`` for the
bound on the error of ``x``; products are elementwise in magnitudes.

What is exempt: where the bound is ``inf`` nothing is claimed. That is the padding of a
packed sequence, and what lies downstream of a sum whose finite terms reach the dtype's
largest number, since the order of summation then decides whether it overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.calls import Array, Call
from rnn_conformance.extended import Extended, split, widest
from rnn_conformance.oracle import Answer, Oracle, Trace
from rnn_conformance.spec import Config, Dtype, Kind

Advance: TypeAlias = Callable[[int, Array, Array], tuple[Array, Array]]
"""One step of a bound: the index, ``Eh`` and ``Ec`` before it; both after it."""


@dataclass(frozen=True)
class Format:
    """A dtype's arithmetic.

    ``u`` unit roundoff of accumulation: the half types accumulate in float32.
    ``u_s`` unit roundoff of storage. ``eta`` the largest error of an underflow: half the
    smallest subnormal of float16, and the smallest normal number of the others, since
    flushing subnormals to zero is allowed. ``largest`` the largest finite number.
    ``u_m`` roundoff of the factors of a product before they are multiplied.
    """

    u: float
    u_s: float
    eta: float
    largest: float
    u_m: float = 0.0

    @classmethod
    def of(cls, call: Call) -> Format:
        """The arithmetic in which a call is computed."""
        return TF32 if call.tf32 and call.dtype is Dtype.FLOAT32 else FORMATS[call.dtype]

    def gamma(self, terms: int) -> float:
        """``(1 + u_m)^2 (1 + gamma_n) - 1``: the relative error of a sum of ``n`` products."""
        accumulated = terms * self.u / (1.0 - terms * self.u)
        return accumulated if not self.u_m else (1.0 + self.u_m) ** 2 * (1.0 + accumulated) - 1.0


FORMATS = {
    Dtype.FLOAT64: Format(2.0**-53, 2.0**-53, 2.0**-1022, float(np.finfo(np.float64).max)),
    Dtype.FLOAT32: Format(2.0**-24, 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)),
    Dtype.FLOAT16: Format(2.0**-24, 2.0**-11, 2.0**-25, 65504.0),
    Dtype.BFLOAT16: Format(2.0**-24, 2.0**-8, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
}

TF32 = replace(FORMATS[Dtype.FLOAT32], u_m=2.0**-10)
"""float32 whose products see 11 bits of each factor, cut off or rounded, as the matrix units
of accelerators do (https://docs.pytorch.org/docs/stable/notes/numerical_accuracy.html)."""

KAPPA = 8.0
"""Roundoffs that an activation function may be off by: four units in the last place,
what the vector libraries in use (SLEEF's 3.5-ulp and 1-ulp versions, Intel SVML's and
libmvec's) promise, and a little for the composition of two of them."""


@dataclass(frozen=True, eq=False)
class Reference:
    """What a call must give, canonical, and the bound on each element's error.

    ``rests`` are, by result, what float64 numbers leave of the right values: nothing, but
    for a call that is computed in float64 itself. The bounds allow for them.
    """

    output: Array
    h_n: Array
    c_n: Array | None
    output_bound: Array
    h_n_bound: Array
    c_n_bound: Array | None
    rests: Mapping[str, Array] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        array: Array | None = getattr(self, name)
        assert array is not None, f"the call has no {name}"
        return array

    def bound(self, name: str) -> Array:
        """The bound of the result of this name."""
        return self[name + "_bound"]


@dataclass(frozen=True, eq=False)
class Errors:
    """The bounds along one trace, shaped and ordered in time like what they belong to.

    ``x``, ``h``, ``c`` and ``gates`` are those of the trace's arrays of that name. ``inner``
    ``(L, N, H)`` is the bound on what is kept nowhere else: on the pre-activation of an
    Elman network, on an LSTM's ``tanh c'``, on a GRU's ``U_n h + b'_n``.
    """

    x: Array
    h: Array
    c: Array
    gates: Array
    inner: Array


@dataclass(frozen=True, eq=False)
class Forward:
    """The oracle's answer to a call with the bounds along its traces, in their order."""

    answer: Answer
    errors: tuple[tuple[Errors, ...], ...]


@dataclass(frozen=True, eq=False)
class _Side:
    """Error of one side ``W x + b`` of a pre-activation, for all steps at once.

    ``constant`` is the part that does not depend on the recurrent error; ``magnitude``
    is ``|W||x| + |b|`` over the finite terms.
    """

    constant: Array
    magnitude: Array


def _finite(array: Array) -> Array:
    return np.where(np.isfinite(array), array, 0.0)


def _side(weight: Array, bias: Array, x: Array, error: Array | None, gamma: float) -> _Side:
    """``|W| Ex + gamma (|W|(|x| + Ex) + |b|)``: the sum's inherited and own error."""
    weight = np.abs(weight).T
    magnitude = np.abs(x) @ weight + np.abs(bias)
    constant = gamma * magnitude
    if error is not None:
        constant = constant + (1.0 + gamma) * (error @ weight)
    return _Side(constant, magnitude)


def _sigmoid_error(z: Array, a: Array, ez: Array, fmt: Format) -> Array:
    """Mean value theorem with sigma' taken where it is largest within ``Ez`` of ``z``.

    ``sigma'(lo) = e / (1 + e)^2`` with ``e = exp(-lo)``, ``lo = max(|z| - Ez, 0)``. A
    sigmoid lies in [0, 1], which caps the error. The floor of half a ``kappa u`` is
    absolute because ``1/2 + tanh(z/2)/2`` is a legal way to compute it.
    """
    e = np.exp(-np.maximum(np.abs(z) - ez, 0.0))
    inherited = np.minimum(ez * e / (1.0 + e) ** 2, np.maximum(a, 1.0 - a))
    own = KAPPA * fmt.u_s * np.maximum(a, 0.5) + fmt.eta
    return (1.0 + KAPPA * fmt.u_s) * inherited + own


def _tanh_error(z: Array, a: Array, ez: Array, fmt: Format) -> Array:
    """As for the sigmoid, with ``tanh'(lo) = 4 e / (1 + e)^2``, ``e = exp(-2 lo)``.

    The absolute floor makes ``2 sigma(2 z) - 1`` legal.
    """
    e = np.exp(-2.0 * np.maximum(np.abs(z) - ez, 0.0))
    magnitude = np.abs(a)
    inherited = np.minimum(4.0 * ez * e / (1.0 + e) ** 2, 1.0 + magnitude)
    own = KAPPA * fmt.u_s * np.maximum(magnitude, 0.5) + fmt.eta
    return (1.0 + KAPPA * fmt.u_s) * inherited + own


def largest(arrays: Iterable[Array]) -> Array:
    """The largest magnitude in each place; infinite ones and NaN count for nothing."""
    return reduce(np.maximum, (np.abs(_finite(array)) for array in arrays))


class _Scan:
    """The bound along one layer and direction, in the trace's own order of time."""

    def __init__(self, config: Config, trace: Trace, error: Array | None, fmt: Format) -> None:
        weights = trace.weights
        self.config, self.trace, self.fmt = config, trace, fmt
        self.width = weights.w_ih.shape[1] + weights.w_hh.shape[1] + 2
        self.gamma = fmt.gamma(self.width)
        # What is rounded carries an error already, and that is rounded with it: nothing in
        # float32, but a percentage in bfloat16. A factor for each rounding on the way.
        self.rounded = 1.0 + fmt.u_s
        self.sum_rounded = 1.0 if fmt.u_s == fmt.u else self.rounded**4
        self.recurrent = self.sum_rounded * (1.0 + self.gamma) * np.abs(weights.w_hh).T
        h = trace.h[:-1]
        special = not (np.isfinite(trace.x).all() and np.isfinite(trace.h).all())
        x = _finite(trace.x) if special else trace.x
        self.x = _side(weights.w_ih, weights.b_ih, x, error, self.gamma)
        h = _finite(h) if special else h
        self.h = _side(weights.w_hh, weights.b_hh, h, None, self.gamma)
        magnitude = self.x.magnitude + self.h.magnitude
        self.ambiguous = magnitude >= fmt.largest
        below = error is not None and not np.isfinite(error).all()
        self.special = special or below or bool(self.ambiguous.any())
        self.errors = Errors(
            np.zeros_like(trace.x) if error is None else error,
            np.zeros_like(trace.h),
            np.zeros_like(trace.h if trace.c is None else trace.c),
            np.empty_like(trace.gates),
            np.empty((*trace.gates.shape[:2], config.hidden_size)),
        )

    def stored(self, *terms: Array) -> Array | float:
        """Storage of intermediate results, where it is coarser than accumulation."""
        if self.fmt.u_s == self.fmt.u:
            return 0.0
        stored: Array = sum((np.abs(_finite(term)) for term in terms), np.zeros(()))
        return self.fmt.u_s * stored

    def exempt(self, t: int, ez: Array) -> NDArray[np.bool_]:
        """Units ``(N, H)`` of which nothing is claimed.

        Some gate's sum may have overflowed, or reads what is exempt: its error is infinite.
        """
        gates = len(self.config.kind.gates)
        if not self.special:
            return np.zeros((len(ez), ez.shape[1] // gates), dtype=bool)
        lost = self.ambiguous[t] | ~np.isfinite(ez)
        some: NDArray[np.bool_] = lost.reshape(len(ez), gates, -1).any(axis=1)
        return some

    def settle(self, error: Array, value: Array, exempt: NDArray[np.bool_]) -> Array:
        """No claim where exempt; where the reference is not finite its class is the claim."""
        if not self.special:
            return error
        error = np.where(np.isnan(error), np.inf, error)
        error = np.where(np.isfinite(value), error, 0.0)
        return np.where(exempt, np.inf, error)

    def run(self) -> Errors:
        """All bounds along the trace; the initial states are exact."""
        trace, eh, ec = self.trace, self.errors.h, self.errors.c
        step = {Kind.LSTM: self.lstm, Kind.GRU: self.gru, Kind.RNN: self.rnn}
        advance = step[self.config.kind.layer]()
        held = not trace.steps.all()
        for t in range(trace.zx.shape[0]):
            new_h, new_c = advance(t, eh[t], ec[t])
            if held:
                here = trace.steps[t][:, None]
                new_h, new_c = np.where(here, new_h, eh[t]), np.where(here, new_c, ec[t])
            eh[t + 1], ec[t + 1] = new_h, new_c
        return self.errors

    def preactivation(self) -> tuple[Array, Array]:
        """``z`` and the part of ``Ez`` that does not depend on the recurrent error.

        ``Ez = |W| Ex + |U| Eh + gamma_n (|W|(|x| + Ex) + |b| + |U|(|h| + Eh) + |b'|) + n eta``
        and what is stored on the way, in the half types: ``W x``, ``U h``, two partial sums of
        these and the biases, which are the largest there are since the order is free, and ``z``.
        """
        trace, weights = self.trace, self.trace.weights
        z = trace.zx + trace.zh
        ez = self.x.constant + self.h.constant + self.width * self.fmt.eta
        if self.fmt.u_s != self.fmt.u:
            wx, uh = trace.zx - weights.b_ih, trace.zh - weights.b_hh
            terms = (wx, uh, weights.b_ih, weights.b_hh)
            sums = (reduce(np.add, some) for n in (2, 3) for some in combinations(terms, n))
            partial = largest(sums)
            ez = ez + self.stored(wx, uh, partial, partial, z)
        return z, self.sum_rounded * ez

    def rnn(self) -> Advance:
        z, ez0 = self.preactivation()
        relu = self.config.nonlinearity == "relu"

        def advance(t: int, eh: Array, ec: Array) -> tuple[Array, Array]:
            ez = ez0[t] + eh @ self.recurrent
            value = self.trace.gates[t]
            self.errors.inner[t] = ez
            # relu is 1-Lipschitz, and exact where even z + Ez stays below the kink.
            error = (
                np.where(z[t] + ez < 0.0, 0.0, ez)
                if relu
                else _tanh_error(z[t], value, ez, self.fmt)
            )
            self.errors.gates[t] = error
            return self.settle(error, value, self.exempt(t, ez)), ec

        return advance

    def lstm(self) -> Advance:
        z, ez0 = self.preactivation()
        trace, fmt, w_hr = self.trace, self.fmt, self.trace.weights.w_hr
        assert trace.c is not None
        size = trace.c.shape[-1]
        cell = slice(2 * size, 3 * size)
        tanh_c = np.tanh(trace.c[1:])
        gates = np.abs(trace.gates)
        i, f, g, o = (gates[..., k * size : (k + 1) * size] for k in range(4))
        m = o * np.abs(tanh_c)
        forgotten, added = f * np.abs(trace.c[:-1]), i * g
        # One storage error of each product and of the sum.
        c_rounding = fmt.u_s * (forgotten + added + np.abs(trace.c[1:])) + 3.0 * fmt.eta
        m_rounding = fmt.u_s * m + fmt.eta
        if w_hr is not None:
            projection = np.abs(w_hr).T
            gamma = fmt.gamma(size)
            h_rounding = gamma * (m @ projection) + fmt.u_s * np.abs(trace.h[1:]) + size * fmt.eta

        def advance(t: int, eh: Array, ec: Array) -> tuple[Array, Array]:
            ez = ez0[t] + eh @ self.recurrent
            ea = _sigmoid_error(z[t], trace.gates[t], ez, fmt)
            ea[:, cell] = _tanh_error(z[t][:, cell], trace.gates[t][:, cell], ez[:, cell], fmt)
            self.errors.gates[t] = ea
            exempt = self.exempt(t, ez)
            ei, ef, eg, eo = (ea[:, k * size : (k + 1) * size] for k in range(4))
            assert trace.c is not None
            # Ec' = (f + Ef) Ec + |c| Ef + (i + Ei) Eg + |g| Ei + rounding
            new_c = (
                (f[t] + ef) * ec
                + np.abs(trace.c[t]) * ef
                + (i[t] + ei) * eg
                + g[t] * ei
                + c_rounding[t]
            )
            new_c = self.settle(self.rounded**2 * new_c, trace.c[t + 1], exempt)
            # Em = (o + Eo) Et + |tanh c'| Eo + rounding, Et the error of tanh c'
            et = _tanh_error(trace.c[t + 1], tanh_c[t], new_c, fmt)
            self.errors.inner[t] = et
            em = self.rounded * ((o[t] + eo) * et + np.abs(tanh_c[t]) * eo + m_rounding[t])
            if w_hr is not None:
                em = self.settle(em, m[t], exempt)
                em = self.rounded * ((1.0 + gamma) * (em @ projection) + h_rounding[t])
                return self.settle(em, trace.h[t + 1], ~np.isfinite(em)), new_c
            return self.settle(em, trace.h[t + 1], exempt), new_c

        return advance

    def gru(self) -> Advance:
        trace, fmt, weights = self.trace, self.fmt, self.trace.weights
        size = trace.h.shape[-1]
        new = slice(2 * size, 3 * size)
        z, ez0 = self.preactivation()
        r, update, n = (trace.gates[..., k * size : (k + 1) * size] for k in range(3))
        q, zn_x = trace.zh[..., new], trace.zx[..., new]
        zn = zn_x + r * q
        # The new gate's two sides meet only after the product with r, so they are apart.
        # Either's product is stored, and its sum with the bias, or W x with r q before that.
        product = zn_x - weights.b_ih[new]
        ex_n = self.x.constant[..., new] + self.width * fmt.eta
        ex_n = ex_n + self.stored(product, largest([zn_x, product + r * q]))
        eq0 = self.h.constant[..., new] + self.width * fmt.eta
        eq0 = eq0 + self.stored(q - weights.b_hh[new], q)
        abs_q, abs_n, abs_h = np.abs(q), np.abs(n), np.abs(trace.h[:-1])
        # An infinite sum is exact: were its rounding infinite too, nothing would be claimed.
        rq_rounding = fmt.u_s * np.abs(_finite(r * q))
        zn_rounding = fmt.u_s * np.abs(_finite(zn))
        # (1 - z) n + z h and n + z (h - n) are both legal: four roundings of their terms.
        h_rounding = 4.0 * fmt.u_s * ((1.0 + update) * abs_n + update * abs_h) + 4.0 * fmt.eta
        cap = np.abs(trace.h[1:]) + np.maximum(1.0, np.abs(trace.h[0]))

        def advance(t: int, eh: Array, ec: Array) -> tuple[Array, Array]:
            recurrent = eh @ self.recurrent
            ez = ez0[t] + recurrent
            exempt, ez = self.exempt(t, ez), ez[:, : 2 * size]
            ea = _sigmoid_error(z[t][:, : 2 * size], trace.gates[t][:, : 2 * size], ez, fmt)
            er, eu = ea[:, :size], ea[:, size:]
            eq = self.rounded**2 * eq0[t] + recurrent[:, new]
            self.errors.inner[t] = eq
            e_rq = self.rounded * (r[t] * eq + abs_q[t] * er + er * eq + rq_rounding[t])
            ezn = self.rounded**3 * (ex_n[t] + e_rq + zn_rounding[t])
            en = _tanh_error(zn[t], n[t], ezn, fmt)
            self.errors.gates[t, :, : 2 * size], self.errors.gates[t, :, new] = ea, en
            error = self.rounded**4 * (
                (1.0 - update[t]) * en
                + update[t] * eh
                + np.abs(trace.h[t] - n[t]) * eu
                + eu * (eh + en)
            )
            # A convex combination of n and h never leaves their range.
            error = np.minimum(error, cap[t]) + h_rounding[t]
            return self.settle(error, trace.h[t + 1], exempt), ec

        return advance


def masking(mask: Array, fmt: Format) -> float:
    """The relative error of a product with a mask, whose elements are 0 or ``1 / (1 - p)``.

    ``1 - p`` of a rounded ``p`` is off by ``u / (1 - p)``; rounded are its reciprocal and the
    product; the third unit covers the terms of higher order.
    """
    return fmt.u_s * (float(mask.max(initial=0.0)) + 3.0)


def _scanned(call: Call, answer: Answer, fmt: Format) -> tuple[tuple[Errors, ...], ...]:
    """The bounds along each trace: those of a layer's output are those of the next's input."""
    oracle = Oracle()
    below: Array | None = None
    rows = []
    for layer, traces in enumerate(answer.traces):
        if below is not None and call.masks is not None:
            mask = call.masks[layer - 1]
            rounding = masking(mask, fmt)
            below = (1.0 + rounding) * mask * below + rounding * np.abs(traces[0].x)
        row, halves = [], []
        for direction, trace in enumerate(traces):
            order = slice(None, None, -1) if direction else slice(None)
            error = None if below is None else below[order]
            row.append(_Scan(call.config, trace, error, fmt).run())
            halves.append(row[-1].h[1:][order])
        below = oracle.join(halves)
        rows.append(tuple(row))
    return tuple(rows)


def _assemble(call: Call, computed: Forward) -> tuple[Array, Array, Array | None]:
    """The bounds of ``output``, ``h_n`` and ``c_n``: joined and stacked like the values."""
    oracle = Oracle()
    last = computed.errors[-1]
    output = oracle.join([e.h[:0:-1] if d else e.h[1:] for d, e in enumerate(last)])
    places = [errors for row in computed.errors for errors in row]
    h_n = oracle.final_states([errors.h[-1] for errors in places])
    if not call.config.kind.has_cell_state:
        return output, h_n, None
    return output, h_n, oracle.final_states([errors.c[-1] for errors in places])


def own_error(u: float, fmt: Format) -> float:
    """The factor by which a bound grows by the reference's own error, at its roundoff ``u``.

    The bound is convex in the roundoff and what is left at zero roundoff is part of it,
    so at the reference's roundoff it is at most ``u / fmt.u`` of its value.
    """
    return 1.0 + u / fmt.u


WIDE = 2.0**-63
"""The roundoff of ``extended``'s numbers, the narrowest of which have 64 bits."""


@lru_cache(maxsize=8)
def extended(call: Call, answer: Answer) -> Answer | None:
    """The answer in more digits, where the call is computed in float64 and all is finite."""
    if call.dtype is not Dtype.FLOAT64 or not all(
        np.isfinite(trace.h).all() for row in answer.traces for trace in row
    ):
        return None
    return Extended(widest()).answer(call)


@lru_cache(maxsize=32)
def forward(call: Call) -> Forward:
    """The oracle's answer and all bounds on the way; few are kept, for they are large."""
    # Overflow and NaN are part of what is computed here, not accidents.
    with np.errstate(all="ignore"):
        answer = Oracle().answer(call)
        return Forward(answer, _scanned(call, answer, Format.of(call)))


@lru_cache(maxsize=1024)
def reference(call: Call) -> Reference:
    """The right answer to a call and its bounds; kept, since many checks ask for it.

    The padding of a packed sequence is exempt: it belongs to no sequence.
    """
    computed = forward(call)
    answer = computed.answer
    fmt = Format.of(call)
    # Where nothing is claimed the bound is infinite, or not a number on the way there.
    with np.errstate(all="ignore"):
        output, h_n, c_n = _assemble(call, computed)
        wide = extended(call, answer)
    found = {name: getattr(answer, name) for name in call.results}
    rests = {}
    if wide is not None:
        halves = {name: split(getattr(wide, name)) for name in call.results}
        found = {name: nearest for name, (nearest, _) in halves.items()}
        rests = {name: rest for name, (_, rest) in halves.items()}
    factor = own_error(2.0**-53 if wide is None else WIDE, fmt)
    if call.lengths is not None:
        output = np.where(call.steps[:, :, None], output, np.inf)
    bounds = {
        name: factor * bound + np.abs(rests.get(name, 0.0))
        for name, bound in (("output", output), ("h_n", h_n), ("c_n", c_n))
        if bound is not None
    }
    return Reference(
        found.get("output", answer.output),
        found["h_n"],
        found.get("c_n"),
        bounds["output"],
        bounds["h_n"],
        bounds.get("c_n"),
        rests,
    )
