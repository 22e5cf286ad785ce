"""What each gate reads, what recurs, what is emitted and what is joined: site by site, the rest.

The other chapters tell what somebody was seen to do. Here each site of the computation has the
alternatives that nobody was seen to take yet, written once for all gates or places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import (
    EQUATIONS,
    GRUS,
    LSTMS,
    RNNS,
    Chapter,
    Deviant,
    rows,
)
from rnn_conformance.deviations.states import changed, starting
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import ALL, LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind

SITES = Chapter[Deviant]()

_BOTH = (Feature.BIDIRECTIONAL,)
_STACKED = (Feature.MULTI_LAYER,)
_GIVEN = (Feature.INITIAL_STATE,)

OF_KINDS = ((RNNS, Kind.RNN, "EQ-1"), (LSTMS, Kind.LSTM, "EQ-2"), (GRUS, Kind.GRU, "EQ-3"))


# Which rows of which matrix.


def _with_rows(part: str, number: int, change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle whose block of rows of one gate is changed in one parameter."""

    class WithRows(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            weights = super().weights(call, layer, direction)
            array = getattr(weights, part).copy()
            size = call.config.hidden_size
            array[number * size : (number + 1) * size] = change(
                array[number * size : (number + 1) * size]
            )
            return replace(weights, **{part: array})

    return WithRows


def _square_transposed(block: Array) -> Array:
    return block.T if block.shape[0] == block.shape[1] else block


for kinds, having, equation in OF_KINDS:
    clauses = f"{equation} CEL-2"
    for number, gate in enumerate(having.gates):
        named = f"the gate {gate} of {having}" if having is not Kind.RNN else "the network"
        block = f"[{rows(number)}]" if having is not Kind.RNN else ""
        SITES.add(
            f"no recurrence in {named}",
            clauses,
            fix=f"Add weight_hh{block} h to the pre-activation of {named}: it reads the input "
            "and the state.",
            kinds=kinds,
        )(_with_rows("w_hh", number, lambda array: 0.0 * array))
        SITES.add(
            f"the input not read by {named}",
            clauses,
            fix=f"Add weight_ih{block} x to the pre-activation of {named}: it reads the input "
            "and the state.",
            kinds=kinds,
        )(_with_rows("w_ih", number, lambda array: 0.0 * array))
        if having is not Kind.RNN:
            SITES.add(
                f"the recurrent weights of {named} transposed",
                clauses,
                fix=f"Compute weight_hh{block} h with each row belonging to one unit; the block of "
                f"{named} is transposed.",
                kinds=kinds,
            )(_with_rows("w_hh", number, _square_transposed))


@SITES.add(
    "no recurrence at all",
    EQUATIONS,
    fix="Add W_hh h to the pre-activations of every step: what a step gives depends on the state "
    "before it.",
    kinds=LSTMS | GRUS,
)
class _NoRecurrence(Deviant):
    def state_side(self, weights: Weights, h: Array) -> Array:
        return super().state_side(weights, 0.0 * h)


# What a step makes of the states.


class _Stepping(Deviant):
    """A step of which something is made afterwards: :meth:`made`, of the old and new states."""

    def made(self, h: Array, c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        zh, gates, new_h, new_c = super().step(config, weights, zx, h, c)
        return (zh, gates, *self.made(new_h, new_c, h, c))


class _Sums(Deviant):
    """An oracle that adds each step's product with the state to those of the steps before.

    In the blocks of rows from ``first`` on; an instance stands for one pass over a sequence.
    """

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first, self.total = first, np.zeros(())

    def state_side(self, weights: Weights, h: Array) -> Array:
        product = h @ weights.w_hh.T
        self.total = self.total + product
        adding = np.arange(product.shape[-1]) >= self.first * weights.w_hh.shape[1]
        return np.where(adding, self.total, product) + weights.b_hh


def _adding_up(first: int) -> type[Deviant]:
    class AddingUp(Deviant):
        def recur(
            self,
            config: Config,
            weights: Weights,
            zx: Array,
            h: Array,
            c: Array,
            steps: NDArray[np.bool_],
        ) -> tuple[Array, Array, Array, Array]:
            zhs, gates = np.zeros_like(zx), np.zeros_like(zx)
            hs, cs = (np.empty((len(zx) + 1, *state.shape)) for state in (h, c))
            for n, own in enumerate(steps.T):
                # Its own steps alone, between which its states stand still.
                one = slice(n, n + 1)
                past = np.concatenate([[0], np.cumsum(own)])
                zh, gate, after_h, after_c = _Sums(first).recur(
                    config, weights, zx[own, one], h[one], c[one], steps[own, one]
                )
                zhs[own, one], gates[own, one] = zh, gate
                hs[:, one], cs[:, one] = after_h[past], after_c[past]
            return zhs, gates, hs, cs

    return AddingUp


for product, first, of_kinds in (("W_hh h", 0, RNNS | LSTMS | GRUS), ("W_hn h", 2, GRUS)):
    SITES.add(
        f"{product} added to that of the steps before",
        "EQ-1 EQ-2 EQ-3",
        fix=f"Clear the buffer of {product} at each step, or have the product overwrite it: one "
        "that adds to what is there (beta=1 in a BLAS) sums up over the steps.",
        kinds=of_kinds & frozenset(LAYERS),
        source="microsoft/onnxruntime#3893",
    )(_adding_up(first))


@SITES.add(
    "the pre-activation recurring instead of the state",
    "EQ-1",
    fix="Put the pre-activation through tanh (or relu) before the next step reads it: h' recurs, "
    "not what it is made of.",
    kinds=[Kind.RNN],
)
class _Linear(Deviant):
    def recur(
        self,
        config: Config,
        weights: Weights,
        zx: Array,
        h: Array,
        c: Array,
        steps: NDArray[np.bool_],
    ) -> tuple[Array, Array, Array, Array]:
        zhs, hs, read = np.empty_like(zx), [h], h
        for t, own in enumerate(steps):
            zhs[t] = self.state_side(weights, read)
            here, given = own[:, None], zx[t] + zhs[t]
            read = np.where(here, given, read)
            hs.append(np.where(here, self.activation(config, given), hs[-1]))
        states = np.stack(hs)
        return zhs, states[1:], states, np.stack([c] * len(hs))


@SITES.add(
    "the state not updated",
    "EQ-1 EQ-2 EQ-3 CEL-2 STA-2",
    fix="Replace the state by the new one, h' and c', after every step.",
)
class _StandsStill(_Stepping):
    def made(self, h: Array, c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
        return old_h, old_c


@SITES.add(
    "the new state averaged with the old one",
    "EQ-1 EQ-2 EQ-3 CEL-2",
    fix="Take the new state, h', alone: torch.nn has no zoneout and no smoothing.",
    source="Krueger et al., arXiv:1606.01305",
)
class _Averaged(_Stepping):
    def made(self, h: Array, c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
        return 0.5 * (h + old_h), 0.5 * (c + old_c)


@SITES.add(
    "the old state added to the new one",
    "EQ-1 EQ-2 EQ-3 CEL-2",
    fix="Take the new state, h', alone: torch.nn has no residual connections from step to step.",
)
class _Added(_Stepping):
    def made(self, h: Array, c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
        return h + old_h, c


@SITES.add(
    "h clipped to ±1/2",
    "EQ-1 EQ-2 EQ-3 CEL-2",
    fix="Leave the state as it is computed: torch.nn clips nothing.",
)
class _ClippedH(_Stepping):
    def made(self, h: Array, c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
        return np.clip(h, -0.5, 0.5), c


@SITES.add(
    "h kept and c lost from step to step",
    "EQ-2 CEL-2",
    fix="Carry c from step to step beside h.",
    kinds=LSTMS,
)
class _LosesC(_Stepping):
    def made(self, h: Array, c: Array, old_h: Array, old_c: Array) -> tuple[Array, Array]:
        return h, np.zeros_like(c)


@SITES.add(
    "each step taken twice",
    "EQ-1 EQ-2 EQ-3 CEL-2",
    fix="Take one step for each element of the sequence.",
)
class _Twice(Deviant):
    def step(
        self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
    ) -> tuple[Array, Array, Array, Array]:
        _, _, h, c = super().step(config, weights, zx, h, c)
        return super().step(config, weights, zx, h, c)


# Where a direction starts.


for words, start, kinds in (
    ("the initial states negated", lambda call, h, c: (-h, -c), ALL),
    ("h_0 negated", lambda call, h, c: (-h, c), LSTMS),
    ("the initial states halved", lambda call, h, c: (0.5 * h, 0.5 * c), ALL),
    ("the initial states doubled", lambda call, h, c: (2.0 * h, 2.0 * c), ALL),
    ("the initial states put through tanh", lambda call, h, c: (np.tanh(h), np.tanh(c)), ALL),
    ("c_0 in place of h_0", lambda call, h, c: (c if c.shape == h.shape else h, c), LSTMS),
    ("the units of the initial states in reverse order", lambda call, h, c: (h[:, ::-1], c), ALL),
    (
        "the initial states averaged over the units",
        lambda call, h, c: (0.0 * h + h.mean(axis=1, keepdims=True), c),
        ALL,
    ),
):
    SITES.add(
        words,
        "STA-2 STA-4 CEL-2",
        fix="Start from h_0, and an LSTM from c_0, as they are given.",
        kinds=kinds,
        needs=_GIVEN,
    )(starting(start))


class _Handing(Deviant):
    """A direction that starts from where another one ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: dict[tuple[int, int], tuple[Array, Array | None]] = {}

    def source(self, layer: int, direction: int) -> tuple[int, int]:
        raise NotImplementedError

    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        if (source := self.source(layer, direction)) not in self.ends:
            return h, c
        end_h, end_c = self.ends[source]
        return (end_h, c if end_c is None else end_c) if end_h.shape == h.shape else (h, c)

    def scan(
        self, call: Call, layer: int, direction: int, x: Array, steps: NDArray[np.bool_]
    ) -> Trace:
        if (layer, direction) == (0, 0):
            self.ends.clear()
        trace = super().scan(call, layer, direction, x, steps)
        self.ends[layer, direction] = trace.h[-1], None if trace.c is None else trace.c[-1]
        return trace


@SITES.add(
    "layers above the first started from the final states of the one below",
    "LAY-1 LAY-2",
    fix="Start each layer from its own initial state, or zeros.",
    kinds=LAYERS,
    needs=_STACKED,
)
class _FromBelow(_Handing):
    def source(self, layer: int, direction: int) -> tuple[int, int]:
        return layer - 1, direction


@SITES.add(
    "the reverse direction started from the forward one's final state",
    "DIR-2",
    fix="Start the reverse direction from its own initial state, or zeros.",
    kinds=LAYERS,
    needs=_BOTH,
)
class _FromForward(_Handing):
    def source(self, layer: int, direction: int) -> tuple[int, int]:
        return (layer, 0) if direction else (-1, 0)


# What a direction reads and writes.


@SITES.add(
    "the steps read last to first",
    "EQ-1 EQ-2 EQ-3 STA-2",
    fix="Read the steps first to last in the forward direction.",
    kinds=LAYERS,
)
class _Backwards(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        if call.lengths is not None:
            return super().direction(call, layer, direction, x)
        return super().direction(call, layer, direction, x[::-1])


def _writing(change: Callable[[Array], Array]) -> type[Deviant]:
    """An oracle that writes something made of each direction's outputs."""

    class Writing(Deviant):
        def aligned(self, trace: Trace, direction: int) -> Array:
            return change(super().aligned(trace, direction))

    return Writing


for words, change in (
    ("the outputs' steps in reverse order", lambda output: output[::-1]),
    ("the outputs' units in reverse order", lambda output: output[..., ::-1]),
    ("the outputs one step early", lambda output: np.concatenate([output[1:], output[-1:]])),
    ("the outputs added up over time", lambda output: np.cumsum(output, axis=0)),
    ("the last step's output at every step", lambda output: 0.0 * output + output[-1:]),
    ("the first step's output at every step", lambda output: 0.0 * output + output[:1]),
    ("the outputs averaged over time", lambda output: 0.0 * output + output.mean(axis=0)),
    ("the outputs put through relu", lambda output: np.maximum(output, 0.0)),
    ("the outputs put through tanh", np.tanh),
    ("the outputs doubled", lambda output: 2.0 * output),
    ("zeros for the outputs", lambda output: 0.0 * output),
):
    SITES.add(
        words,
        "DIR-1 DIR-3 EQ-1 EQ-2 EQ-3",
        fix="Write h' to the output as it is, at the step at which it was computed.",
        kinds=LAYERS,
    )(_writing(change))


@SITES.add(
    "each direction's final state at every step of its output",
    "EQ-1 EQ-2 EQ-3 DIR-3",
    fix="Write each step's own h' to the output: a state that is overwritten in place and put "
    "there itself, not a copy of it, is the last one everywhere.",
    kinds=LAYERS,
)
class _FinalEverywhere(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        h = np.concatenate([trace.h[:1], np.repeat(trace.h[-1:], len(trace.h) - 1, axis=0)])
        return super().aligned(replace(trace, h=h), direction)


@SITES.add(
    "the cell states in the output",
    "EQ-2 DIR-3 STA-4",
    fix="Write h' to the output, not c': c is returned as c_n alone.",
    kinds=[Kind.LSTM],
)
class _EmitsC(Deviant):
    def aligned(self, trace: Trace, direction: int) -> Array:
        output = super().aligned(trace, direction)
        if trace.c is None or trace.c.shape != trace.h.shape:
            return output
        return super().aligned(replace(trace, h=trace.c), direction)


# How directions are joined.


def _joining(join: Callable[[Array, Array], Sequence[Array]]) -> type[Deviant]:
    class Joining(Deviant):
        def join(self, halves: Sequence[Array]) -> Array:
            return super().join(join(*halves) if len(halves) == 2 else halves)

    return Joining


for words, join in (
    ("the forward half twice", lambda forward, reverse: (forward, forward)),
    ("the reverse half twice", lambda forward, reverse: (reverse, reverse)),
    ("zeros for the reverse half", lambda forward, reverse: (forward, 0.0 * reverse)),
    ("zeros for the forward half", lambda forward, reverse: (0.0 * forward, reverse)),
    ("the reverse half added to the forward one", lambda f, r: (f + r, r)),
    ("the sum of the directions in both halves", lambda f, r: (f + r, f + r)),
    ("the mean of the directions in both halves", lambda f, r: (0.5 * (f + r), 0.5 * (f + r))),
    ("the larger of the directions in both halves", lambda f, r: (np.maximum(f, r),) * 2),
    ("the directions multiplied, in both halves", lambda f, r: (f * r, f * r)),
    ("the reverse half negated", lambda f, r: (f, -r)),
):
    SITES.add(
        words,
        "DIR-1 DIR-4",
        fix="Join the directions as torch.cat([forward, reverse], dim=-1): the forward outputs in "
        "output[..., :H_out], the reverse ones in output[..., H_out:].",
        kinds=LAYERS,
        needs=_BOTH,
    )(_joining(join))


@SITES.add(
    "the halves swapped for the layer above",
    "DIR-4",
    fix="Hand the output to the layer above as it is returned, forward half first.",
    kinds=LAYERS,
    needs=(*_BOTH, *_STACKED),
)
class _SwappedAbove(Deviant):
    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        if layer and call.config.bidirectional:
            x = np.concatenate(np.split(x, 2, axis=-1)[::-1], axis=-1)
        return super().direction(call, layer, direction, x)


# What becomes of the final states.


def _ending(end: Callable[[Answer], Answer]) -> type[Deviant]:
    class Ending(Deviant):
        def answer(self, call: Call) -> Answer:
            return end(super().answer(call))

    return Ending


def _of_both(change: Callable[[Array], Array]) -> type[Deviant]:
    return _ending(lambda answer: changed(answer, change))


def _of_c(change: Callable[[Array], Array]) -> type[Deviant]:
    return _ending(
        lambda answer: answer if answer.c_n is None else replace(answer, c_n=change(answer.c_n))
    )


def _of_the_first_layer(answer: Answer) -> Answer:
    layers, directions = len(answer.traces), len(answer.traces[0])
    return changed(answer, lambda state: np.tile(state[:directions], (layers, 1, 1)))


for words, variant, kinds, needs in (
    ("the final states doubled", _of_both(lambda state: 2.0 * state), LAYERS, ()),
    ("the final states negated", _of_both(lambda state: -state), ALL, ()),
    ("the final states put through tanh", _of_both(np.tanh), LAYERS, ()),
    ("the units of the final states in reverse order", _of_both(lambda s: s[..., ::-1]), ALL, ()),
    (
        "the final states averaged over the samples",
        _of_both(lambda s: 0.0 * s + s.sum(axis=1, keepdims=True) / max(1, s.shape[1])),
        ALL,
        (),
    ),
    ("zeros for h_n", _ending(lambda answer: replace(answer, h_n=0.0 * answer.h_n)), LSTMS, ()),
    ("zeros for c_n", _of_c(lambda c_n: 0.0 * c_n), LSTMS, ()),
    (
        "tanh of c in place of c_n",
        _of_c(np.tanh),
        LSTMS,
        (),
    ),
    (
        "the first layer's final states in every layer's place",
        _ending(_of_the_first_layer),
        LAYERS,
        _STACKED,
    ),
):
    SITES.add(
        words,
        "DIR-3 STA-2 STA-4 CEL-2",
        fix="Return each layer's and direction's state after its own last step as it is, h_n and "
        "c_n of shape (D * num_layers, N, ·).",
        kinds=kinds,
        needs=needs,
    )(variant)


# Which length is whose.


def _lengths(change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> type[Deviant]:
    """An oracle that takes the lengths to be others, the longest staying as long."""

    class Lengths(Deviant):
        def answer(self, call: Call) -> Answer:
            if call.lengths is None:
                return super().answer(call)
            return super().answer(call.replace(lengths=change(call.lengths)))

    return Lengths


for words, change_lengths in (
    ("the lengths of the samples in reverse order", lambda lengths: lengths[::-1]),
    ("each sample's length the next one's", lambda lengths: (*lengths[1:], lengths[0])),
    ("the lengths taken to be sorted, shortest first", lambda lengths: tuple(sorted(lengths))),
):
    SITES.add(
        words,
        "PCK-2 PCK-3",
        fix="Take each sample's own length: lengths are in the order of the samples.",
        kinds=LAYERS,
        needs=[Feature.PACKED],
    )(_lengths(change_lengths))


# Where the projection is.


def _projecting(project: Callable[[Array, Array], Array]) -> type[Deviant]:
    class Projecting(Deviant):
        def lstm_step(self, gates: Array, c: Array, w_hr: Array | None) -> tuple[Array, Array]:
            h, c = super().lstm_step(gates, c, None)
            return (h if w_hr is None else project(h, w_hr)), c

    return Projecting


for words, project in (
    ("the projection negated", lambda h, w_hr: -h @ w_hr.T),
    ("the projection of the last units first", lambda h, w_hr: h[:, ::-1] @ w_hr.T),
    ("the projected features in reverse order", lambda h, w_hr: (h @ w_hr.T)[:, ::-1]),
    ("relu after the projection", lambda h, w_hr: np.maximum(h @ w_hr.T, 0.0)),
    ("the last units in place of the projection", lambda h, w_hr: h[:, -len(w_hr) :]),
    ("the projection scaled by 1/sqrt(H)", lambda h, w_hr: h @ w_hr.T / np.sqrt(h.shape[1])),
):
    SITES.add(
        words,
        "EQ-2 LAY-2",
        fix="Project the output as h' = W_hr (o * tanh(c')), with weight_hr of shape (P, H), and "
        "nothing after it; the projected h' recurs and is returned.",
        kinds=[Kind.LSTM],
        needs=[Feature.PROJECTION],
    )(_projecting(project))
