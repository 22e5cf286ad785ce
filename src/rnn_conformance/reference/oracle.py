"""The recurrences in float64, straight from the equations, with NumPy alone.

Independent of every implementation, torch included: an oracle that knew them could
agree with them by accident. Sources of the equations:

- RNN: Elman, "Finding structure in time" (1990), with two biases as in
  https://docs.pytorch.org/docs/stable/generated/torch.nn.RNN.html (EQ-1);
- LSTM: Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000), no
  peepholes; its projection from Sak, Senior & Beaufays, arXiv:1402.1128 (EQ-2);
- GRU: Cho et al., arXiv:1406.1078, in the variant (v3 there) in which the reset gate
  multiplies after the matrix product, as cuDNN and PyTorch have it (EQ-3).

The steps of the computation are methods, one for each decision that an implementation
can get wrong; ``deviations`` overrides them one at a time. All arrays are canonical
(time-major, batched; see ``calls``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.arrays import Array, ByValue, frozen
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Kind, Role


@dataclass(frozen=True, eq=False)
class Masks(ByValue):
    """What dropout drew in one call: a factor for each element, ``(L, N, D*H_out)``.

    ``factors`` are those of each layer's output but the last's, in the order of layers.
    """

    factors: tuple[Array, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(frozen(factor) for factor in self.factors))

    def above(self, layer: int) -> Array:
        """The factors between ``layer`` and the one above it."""
        return self.factors[layer]

    def samples(self, chosen: slice | NDArray[np.int_]) -> Masks:
        """Those of some samples of the batch."""
        return Masks(tuple(factor[:, chosen] for factor in self.factors))


@dataclass(frozen=True, eq=False)
class Weights:
    """The parameters of one layer and direction, ``G`` gates.

    ``w_ih`` ``(G*H, H_in)``, ``w_hh`` ``(G*H, H_out)``, ``b_ih`` and ``b_hh``
    ``(G*H,)``, zeros without bias; ``w_hr`` ``(P, H)`` or ``None``.
    """

    w_ih: Array
    w_hh: Array
    b_ih: Array
    b_hh: Array
    w_hr: Array | None


@dataclass(frozen=True, eq=False)
class Trace:
    """All that one layer and direction computed, step by step in its own order of time.

    ``x`` is ``(L, N, ·)`` in the order in which it was read (flipped for the reverse
    direction), as are ``h``, ``c`` ``(L + 1, N, ·)``, the initial state first. ``zx``,
    ``zh`` ``(L, N, G*H)`` are the two sides of the pre-activation with their biases;
    ``gates`` ``(L, N, G*H)`` the activations; ``steps`` ``(L, N)`` is false where a
    sequence has not begun or is over and the state stands still.
    """

    weights: Weights
    x: Array
    zx: Array
    zh: Array
    gates: Array
    h: Array
    c: Array | None
    steps: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the equations say, canonical, and how they got there."""

    output: Array
    h_n: Array
    c_n: Array | None
    traces: tuple[tuple[Trace, ...], ...]


def sigmoid(z: Array) -> Array:
    """``1 / (1 + exp(-z))`` with no overflow for any ``z``."""
    half: Array = 0.5 * np.tanh(0.5 * z)
    return half + 0.5


class Oracle:
    """The computation of one call; each method is one decision.

    Directions are 0 (forward) and 1 (reverse). ``masks`` are what dropout drew, where it acts.
    """

    def __init__(self, masks: Masks | None = None) -> None:
        self.masks = masks

    def numbers(self, array: Array) -> Array:
        """An array of the call as numbers to compute with."""
        return array

    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        """The parameters of one layer and direction; gates in PyTorch's order."""
        config = call.config

        def parameter(role: Role) -> Array | None:
            return call.parameters.get(config.parameter_name(role, layer, direction))

        def present(role: Role) -> Array:
            array = parameter(role)
            rows = len(config.kind.gates) * config.hidden_size
            return self.numbers(np.zeros(rows) if array is None else array)

        w_hr = parameter(Role.WEIGHT_HR)
        return Weights(
            w_ih=present(Role.WEIGHT_IH),
            w_hh=present(Role.WEIGHT_HH),
            b_ih=present(Role.BIAS_IH),
            b_hh=present(Role.BIAS_HH),
            w_hr=None if w_hr is None else self.numbers(w_hr),
        )

    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        """``h`` ``(N, H_out)`` and ``c`` ``(N, H)`` before the first step (LAY-1, STA-1)."""
        index = layer * call.config.num_directions + direction
        h = np.zeros((call.batch, call.config.output_size)) if call.h_0 is None else call.h_0[index]
        c = np.zeros((call.batch, call.config.hidden_size)) if call.c_0 is None else call.c_0[index]
        return self.numbers(h), self.numbers(c)

    def activation(self, config: Config, z: Array) -> Array:
        """The nonlinearity of an Elman network (EQ-1)."""
        return np.maximum(z, 0.0) if config.nonlinearity == "relu" else np.tanh(z)

    def rnn_step(self, config: Config, zx: Array, zh: Array) -> Array:
        """``h' = tanh|relu(zx + zh)`` (EQ-1)."""
        return self.activation(config, zx + zh)

    def lstm_gates(self, zx: Array, zh: Array) -> Array:
        """``i, f, o = sigmoid(z)``, ``g = tanh(z)`` in the order i, f, g, o (EQ-2)."""
        size = zx.shape[-1] // 4
        z = zx + zh
        gates = sigmoid(z)
        gates[:, 2 * size : 3 * size] = np.tanh(z[:, 2 * size : 3 * size])
        return gates

    def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
        """``c' = f c + i g``, ``h' = o tanh(c')``, projected where there is ``W_hr`` (EQ-2)."""
        size = c.shape[-1]
        i, f, g, o = (gates[:, k * size : (k + 1) * size] for k in range(4))
        c = f * c + i * g
        h = o * np.tanh(c)
        return (h if w_hr is None else h @ w_hr.T), c

    def gru_gates(self, zx: Array, zh: Array) -> Array:
        """``r, z = sigmoid(…)``, ``n = tanh(zx_n + r * zh_n)`` (EQ-3)."""
        size = zx.shape[-1] // 3
        gates = np.empty_like(zx)
        gates[:, : 2 * size] = sigmoid(zx[:, : 2 * size] + zh[:, : 2 * size])
        gates[:, 2 * size :] = np.tanh(zx[:, 2 * size :] + gates[:, :size] * zh[:, 2 * size :])
        return gates

    def gru_step(self, gates: Array, h: Array) -> Array:
        """``h' = (1 - z) n + z h`` (EQ-3)."""
        size = h.shape[-1]
        z, n = gates[:, size : 2 * size], gates[:, 2 * size :]
        return (1.0 - z) * n + z * h

    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        """One step: ``zh``, the gates, ``h'`` and ``c'``; each ``(N, ·)``."""
        zh = self.state_side(weights, h)
        if config.kind.layer is Kind.LSTM:
            gates = self.lstm_gates(zx, zh)
            h, c = self.lstm_step(gates, c, weights.w_hr)
        elif config.kind.layer is Kind.GRU:
            gates = self.gru_gates(zx, zh)
            h = self.gru_step(gates, h)
        else:
            h = gates = self.rnn_step(config, zx, zh)
        return zh, gates, h, c

    def input_side(self, weights: Weights, x: Array) -> Array:
        """``W_ih x + b_ih`` for all steps at once."""
        return x @ weights.w_ih.T + weights.b_ih

    def state_side(self, weights: Weights, h: Array) -> Array:
        """``W_hh h + b_hh`` for one step."""
        return h @ weights.w_hh.T + weights.b_hh

    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        """One layer in one direction over ``x``, in the order of ``x``.

        Where ``steps`` is false the state stands still: so the forward state is that of
        the sequence's last own step, and the reverse direction, which meets the padding
        first, starts at the sequence's last own element (PCK-3, PCK-4).
        """
        weights = self.weights(call, layer, direction)
        zx = self.input_side(weights, x)
        h, c = self.initial_state(call, layer, direction)
        zh, gates, hs, cs = self.recur(call.config, weights, zx, h, c, steps)
        has_c = call.config.kind.has_cell_state
        return Trace(weights, x, zx, zh, gates, hs, cs if has_c else None, steps)

    def recur(
        self,
        config: Config,
        weights: Weights,
        zx: Array,
        h: Array,
        c: Array,
        steps: NDArray[np.bool_],
    ) -> tuple[Array, Array, Array, Array]:
        """All steps, one after the other: ``zh``, ``gates``, ``h`` and ``c`` of a trace."""
        length = zx.shape[0]
        hs = np.empty((length + 1, *h.shape), dtype=h.dtype)
        cs = np.empty((length + 1, *c.shape), dtype=c.dtype)
        zhs, gates = np.empty_like(zx), np.empty_like(zx)
        hs[0], cs[0] = h, c
        whole = bool(steps.all())
        for t in range(length):
            zhs[t], gates[t], h, c = self.step(config, weights, zx[t], hs[t], cs[t])
            if whole:
                hs[t + 1], cs[t + 1] = h, c
            else:
                here = steps[t][:, None]
                hs[t + 1], cs[t + 1] = np.where(here, h, hs[t]), np.where(here, c, cs[t])
        return zhs, gates, hs, cs

    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        """One layer in one direction; the reverse one reads the flipped input (DIR-2)."""
        steps = call.steps
        return (
            self.scan(call, layer, 1, x[::-1], steps[::-1])
            if direction
            else self.scan(call, layer, 0, x, steps)
        )

    def aligned(self, trace: Trace, direction: int) -> Array:
        """The outputs of one direction, aligned with the input's time (DIR-1, DIR-2)."""
        output = np.where(trace.steps[:, :, None], trace.h[1:], 0.0)
        return output[::-1] if direction else output

    def dropped(self, call: Call, layer: int, below: Array) -> Array:
        """What a layer reads of the output below it: all of it, but in training (DRP-2)."""
        return below if self.masks is None else below * self.masks.above(layer - 1)

    def join(self, halves: Sequence[Array]) -> Array:
        """The directions' outputs side by side, forward first (DIR-1)."""
        return np.concatenate(halves, axis=-1)

    def final_states(self, finals: Sequence[Array]) -> Array:
        """``h_n`` or ``c_n`` from each place's final state, layer-major (LAY-1)."""
        return np.stack(finals)

    def answer(self, call: Call) -> Answer:
        """The whole call."""
        config = call.config
        below = self.numbers(call.input)
        traces = []
        for layer in range(config.num_layers):
            if layer:
                below = self.dropped(call, layer, below)
            row = tuple(
                self.direction(call, layer, direction, below)
                for direction in range(config.num_directions)
            )
            traces.append(row)
            below = self.join([self.aligned(trace, d) for d, trace in enumerate(row)])
        places = [trace for row in traces for trace in row]
        return Answer(
            output=below,
            h_n=self.final_states([trace.h[-1] for trace in places]),
            c_n=self.final_states([trace.c[-1] for trace in places if trace.c is not None])
            if config.kind.has_cell_state
            else None,
            traces=tuple(traces),
        )
