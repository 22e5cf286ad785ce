"""Where an implementation rounds, and by how much: the sites of an ensemble's noise.

The scales are those that ``ensemble`` derives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.reference.bounds import Errors
from rnn_conformance.reference.formats import Format
from rnn_conformance.reference.noise import UNIFORM, Noise, of_activation, root_of_squares, widened
from rnn_conformance.reference.oracle import Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.config import Config, Kind


@dataclass(frozen=True, eq=False)
class Sites:
    """The noise along one layer and direction, for every member, in the trace's order of time.

    ``z`` ``(L, K*N, G*H)`` on the pre-activation, ``gates`` on the activations; ``c`` on a cell
    state, ``m`` ``(L, K*N, H)`` on what the step gives, ``h`` on its projection; ``q`` on the
    hidden side of a GRU's new gate, which the reset gate multiplies. ``bends``
    ``(L, K*N, H)`` is false where relu's pre-activation may have either sign.
    """

    z: Array
    gates: Array
    m: Array
    c: Array | None = None
    h: Array | None = None
    q: Array | None = None
    bends: NDArray[np.bool_] | None = None


class Scales:
    """The scales of the noise along a trace, which give its :class:`Sites`."""

    def __init__(self, config: Config, fmt: Format, noise: Noise) -> None:
        self.config, self.fmt, self.noise = config, fmt, noise

    def along(self, trace: Trace, errors: Errors) -> Sites:
        """The noise for one layer and direction."""
        gates = len(self.config.kind.gates)
        match self.config.kind.layer:
            case Kind.LSTM:
                return self.lstm(trace)
            case Kind.GRU:
                return self.gru(trace)
        z = self.preactivation(trace)
        if self.config.nonlinearity == "relu":
            # Exact, and a unit that noise might wake counts as awake.
            bends = np.abs(trace.zx + trace.zh) > errors.inner
            stored = self.noise.at(self.stored(trace.gates))
            return Sites(self.noise.at(z), np.zeros((1, 1, 1)), stored, bends=widened(bends))
        return Sites(
            self.noise.at(z, gates),
            np.zeros((1, 1, 1)),
            self.noise.at(of_activation(trace.gates, self.fmt)),
        )

    def stored(self, *terms: Array) -> Array:
        """``u_s / sqrt(3)`` times the root of the sum of the squares."""
        return UNIFORM * self.fmt.u_s * root_of_squares(*terms)

    def side(self, x: Array, weight: Array, bias: Array, total: Array) -> Array:
        """The variance of ``W x + b`` but for the factor ``n u^2 / 3``: its squares added up."""
        squares: Array = (x * x) @ (weight * weight).T + bias * bias + total * total
        return squares

    def sides(self, trace: Trace) -> tuple[Array, Array]:
        """The variances of both sides of the pre-activation."""
        w, fmt = trace.weights, self.fmt
        x = self.side(trace.x, w.w_ih, w.b_ih, trace.zx)
        h = self.side(trace.h[:-1], w.w_hh, w.b_hh, trace.zh)
        n = w.w_ih.shape[1] + w.w_hh.shape[1] + 2
        # What the factors lose before they are multiplied, in TF32, is of one sign where it
        # is cut off: as large as the whole in each factor, and no smaller for being summed.
        rounded = n * fmt.u**2 / 3.0 + 4.0 * fmt.u_m**2
        x, h = rounded * x, rounded * h
        if fmt.u_s != fmt.u:
            # Each product is stored, and each side with its bias, before they are added.
            x = x + fmt.u_s**2 / 3.0 * (trace.zx**2 + (trace.zx - w.b_ih) ** 2 + w.b_ih**2)
            h = h + fmt.u_s**2 / 3.0 * (trace.zh**2 + (trace.zh - w.b_hh) ** 2 + w.b_hh**2)
        return x, h

    def preactivation(self, trace: Trace) -> Array:
        """The scale of ``z = zx + zh``."""
        x, h = self.sides(trace)
        total = self.stored(trace.zx + trace.zh) if self.fmt.u_s != self.fmt.u else 0.0
        scale: Array = np.sqrt(x + h + total * total)
        return scale

    def lstm(self, trace: Trace) -> Sites:
        """Those of an LSTM."""
        assert trace.c is not None
        noise, size = self.noise, trace.c.shape[-1]
        i, f, g, o = (trace.gates[..., k * size : (k + 1) * size] for k in range(4))
        t = np.tanh(trace.c[1:])
        m = o * t
        c = self.stored(f * trace.c[:-1], i * g, trace.c[1:])
        h = None
        if (w_hr := trace.weights.w_hr) is not None:
            terms = self.side(m, w_hr, np.zeros(len(w_hr)), trace.h[1:])
            squared = size * self.fmt.u**2 / 3.0 + 4.0 * self.fmt.u_m**2
            h = noise.at(np.sqrt(squared * terms + self.stored(trace.h[1:]) ** 2))
        return Sites(
            noise.at(self.preactivation(trace), 4),
            noise.at(of_activation(trace.gates, self.fmt), 4),
            # The activation of the cell state reaches nothing but this.
            noise.at(root_of_squares(o * of_activation(t, self.fmt), self.stored(m))),
            noise.at(c),
            h,
        )

    def gru(self, trace: Trace) -> Sites:
        """Those of a GRU."""
        noise, size, fmt = self.noise, trace.h.shape[-1], self.fmt
        r, z, n = (trace.gates[..., k * size : (k + 1) * size] for k in range(3))
        x, h = self.sides(trace)
        q, new = trace.zh[..., 2 * size :], slice(2 * size, None)
        zn = trace.zx[..., new] + r * q
        candidate = np.sqrt(x[..., new] + self.stored(r * q, zn) ** 2)
        rest = slice(0, 2 * size)
        stored = self.stored((trace.zx + trace.zh)[..., rest]) if fmt.u_s != fmt.u else 0.0
        both = np.sqrt(x[..., rest] + h[..., rest] + stored * stored)
        return Sites(
            noise.at(np.concatenate([both, candidate], axis=-1), 3),
            noise.at(of_activation(trace.gates, fmt), 3),
            # (1 - z) n + z h, or n + z (h - n): products, differences and the sum.
            noise.at(math.sqrt(3.0) * self.stored(n, z * trace.h[:-1])),
            q=noise.at(np.sqrt(h[..., new])),
        )
