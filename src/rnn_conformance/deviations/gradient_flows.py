"""Gradients that go wrong between directions, layers and steps (GRD)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import LSTMS, Chapter
from rnn_conformance.deviations.gradients import REMEDIES, SCALES
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Slopes
from rnn_conformance.reference.oracle import Trace, Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind, Role

FLOWS = Chapter[Adjoint]("GRD-1")


# Every direction and every layer.


def through_direction(number: int, factor: float) -> type[Adjoint]:
    """One direction's half of the output."""

    class ThroughDirection(Adjoint):
        def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
            half = super().half(call, direction, trace, above)
            scale = factor if direction == number and call.config.bidirectional else 1.0
            return scale * half

    return ThroughDirection


def from_direction(number: int, factor: float) -> type[Adjoint]:
    """What one direction hands on to what it read."""

    class FromDirection(Adjoint):
        def joined(self, call: Call, parts: list[Array]) -> Array:
            if len(parts) == 1:
                return super().joined(call, parts)
            scaled = [factor * p if d == number else p for d, p in enumerate(parts)]
            return super().joined(call, scaled)

    return FromDirection


def between_layers(factor: float) -> type[Adjoint]:
    """What passes from each layer to the one below."""

    class BetweenLayers(Adjoint):
        def dropped(self, call: Call, layer: int, above: Array) -> Array:
            return factor * super().dropped(call, layer, above)

    return BetweenLayers


def at_place(chosen: Callable[[Config, int, int], bool], factor: float) -> type[Adjoint]:
    """The gradients of the parameters of some layers and directions."""

    class AtPlace(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            gradients = super().of_parameters(call, layer, direction, trace, back)
            if not chosen(call.config, layer, direction):
                return gradients
            return {name: factor * array for name, array in gradients.items()}

    return AtPlace


_REVERSE, _STACK = (Feature.BIDIRECTIONAL,), (Feature.MULTI_LAYER,)
for word, scale in SCALES.items():
    for number, (half, columns) in enumerate(
        (("forward", "output[..., :H_out]"), ("reverse", "output[..., H_out:]"))
    ):
        FLOWS.add(
            f"the gradient through the {half} half {word}",
            fix=f"The gradient of {columns} is handed to the {half} direction in full: "
            f"{REMEDIES[word]}.",
            kinds=LAYERS,
            needs=_REVERSE,
        )(through_direction(number, scale))
        FLOWS.add(
            f"the {half} direction's share of the input's gradient {word}",
            fix=f"The {half} direction's share, the gradient of its W_ih x + b_ih times weight_ih, "
            f"is added to the other direction's: {REMEDIES[word]}.",
            kinds=LAYERS,
            needs=_REVERSE,
        )(from_direction(number, scale))
    FLOWS.add(
        f"the gradient of the reverse direction's parameters {word}",
        fix="The gradient of each parameter whose name ends in _reverse comes from the reverse "
        f"direction's steps: {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_REVERSE,
    )(at_place(lambda config, layer, direction: bool(direction), scale))
    FLOWS.add(
        f"the gradient from each layer to the one below {word}",
        fix="The gradient of what a layer reads is that of the output of the layer below: "
        f"{REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(between_layers(scale))
    FLOWS.add(
        f"the gradient of the parameters above the first layer {word}",
        fix="The gradient of each parameter above the first layer, weight_ih_l1 and so on, is due "
        f"like the first layer's: {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(at_place(lambda config, layer, direction: layer > 0, scale))
    FLOWS.add(
        f"the gradient of the parameters below the last layer {word}",
        fix="The gradient of each parameter below the last layer, weight_ih_l0 and so on, is due "
        f"like the last layer's: {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(at_place(lambda config, layer, direction: layer < config.num_layers - 1, scale))
    FLOWS.add(
        f"the gradient of the parameters between the first layer and the last {word}",
        fix="The gradient of each parameter of a layer that is neither the first nor the last is "
        f"due like the others': {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(at_place(lambda config, layer, direction: 0 < layer < config.num_layers - 1, scale))


@FLOWS.add(
    "the forward direction's gradient of its input written over that of the output",
    fix="The gradient of what a layer reads has memory of its own: of that of its output, which "
    "may be as wide, the reverse direction has yet to read its half.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL, Feature.MULTI_LAYER],
    source="https://github.com/apache/mxnet/pull/18203",
)
class _Overwritten(Adjoint):
    read: Array

    def backtrace(
        self,
        call: Call,
        layer: int,
        direction: int,
        trace: Trace,
        output: Array,
        h_n: Array,
        c_n: Array,
    ) -> Backtrace:
        back = super().backtrace(call, layer, direction, trace, output, h_n, c_n)
        self.read = back.x
        return back

    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        above = self.read if direction and self.read.shape == above.shape else above
        return super().half(call, direction, trace, above)


@FLOWS.add(
    "the reverse half's gradient not flipped",
    fix="Flip the gradient of output[..., H_out:] in time before it enters the reverse "
    "direction, as that direction's outputs were flipped.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _NotFlipped(Adjoint):
    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        half = super().half(call, direction, trace, above)
        return np.where(trace.steps[:, :, None], half[::-1], 0.0) if direction else half


@FLOWS.add(
    "the reverse direction's share of the input's gradient not flipped back",
    fix="Flip the reverse direction's gradient of its input back in time before adding it to "
    "the forward one's.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _NotFlippedBack(Adjoint):
    def joined(self, call: Call, parts: list[Array]) -> Array:
        flipped = [part[::-1] if direction else part for direction, part in enumerate(parts)]
        # What comes to stand in the padding belongs to no sequence, and is not handed back.
        return np.where(call.steps[:, :, None], super().joined(call, flipped), 0.0)


@FLOWS.add(
    "the halves' gradients swapped",
    fix="Hand the gradient of output[..., :H_out] to the forward direction and that of "
    "output[..., H_out:] to the reverse one.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _Swapped(Adjoint):
    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        other = 1 - direction if call.config.bidirectional else direction
        half = np.split(above, call.config.num_directions, axis=-1)[other]
        return np.where(trace.steps[:, :, None], half[::-1] if direction else half, 0.0)


# Every window of time.


def windowed(window: int, *, h: float = 0.0, c: float = 0.0) -> type[Adjoint]:
    """The adjoint of the state multiplied at every so many steps."""

    class Windowed(Adjoint):
        def step(
            self, config: Config, weights: Weights, by: Slopes, t: int, d_h: Array, d_c: Array
        ) -> tuple[Array, Array, Array, Array]:
            upstream, zh, past, cell = super().step(config, weights, by, t, d_h, d_c)
            if t and t % window == 0:
                past, cell = h * past, c * cell
            return upstream, zh, past, cell

    return Windowed


for window in (1, 2, 4, 8, 16, 32, 64):
    steps = "at every step" if window == 1 else f"every {window} steps"
    FLOWS.add(
        f"the gradient over time cut {steps}",
        "GRD-2",
        fix="Let the gradient flow back through the whole sequence within a call: do not detach "
        f"h (and c) {steps}. Truncation belongs between calls.",
        kinds=LAYERS,
        source="Williams & Peng (1990), truncated backpropagation through time",
    )(windowed(window))
FLOWS.add(
    "the gradient over time halved at every step",
    "GRD-1 GRD-2",
    fix="Hand the gradient of h (and c) back from step to step in full, without a factor of 1/2.",
    kinds=LAYERS,
)(windowed(1, h=0.5, c=0.5))
FLOWS.add(
    "the gradient of h over time cut",
    "GRD-1 GRD-2",
    fix="Let the gradient flow back through h from step to step, that of W_hh h + b_hh times "
    "weight_hh, and not through c alone: do not detach h.",
    kinds=[Kind.LSTM],
)(windowed(1, c=1.0))
FLOWS.add(
    "the gradient of c over time cut",
    "GRD-1 GRD-2",
    fix="Let the gradient flow back through c from step to step, f times that of c', and not "
    "through h alone: do not detach c.",
    kinds=[Kind.LSTM],
)(windowed(1, h=1.0))


# The padding.


@FLOWS.add(
    "a gradient for the padding, which is differentiated like any step",
    "GRD-1",
    fix="Hand the gradient of the state through the padding unchanged, as the state stands "
    "still there: the padding gets no gradient and adds nothing to the parameters'.",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)
class _OverThePadding(Adjoint):
    def backtrace(
        self,
        call: Call,
        layer: int,
        direction: int,
        trace: Trace,
        output: Array,
        h_n: Array,
        c_n: Array,
    ) -> Backtrace:
        every = replace(trace, steps=np.ones_like(trace.steps))
        return super().backtrace(call, layer, direction, every, output, h_n, c_n)


def lost_in_the_padding(states: str) -> type[Adjoint]:
    """What arrives at the ends of shorter sequences through these states."""

    class LostInThePadding(Adjoint):
        def backtrace(
            self,
            call: Call,
            layer: int,
            direction: int,
            trace: Trace,
            output: Array,
            h_n: Array,
            c_n: Array,
        ) -> Backtrace:
            ends = trace.steps[-1][:, None]
            h_n = np.where(ends, h_n, 0.0) if "h" in states else h_n
            c_n = np.where(ends, c_n, 0.0) if "c" in states else c_n
            return super().backtrace(call, layer, direction, trace, output, h_n, c_n)

    return LostInThePadding


for states, what, only in (
    ("hc", "final state", LAYERS),
    ("h", "h_n, not c_n,", LAYERS & LSTMS),
    ("c", "c_n, not h_n,", LAYERS & LSTMS),
):
    FLOWS.add(
        f"the gradient of a shorter sequence's {what} lost in the padding",
        "GRD-1 GRD-3",
        fix="Bring the gradients of h_n and c_n to each sequence's own last step: on the way back "
        "through the padding they stay as they are.",
        kinds=only,
        needs=[Feature.PACKED],
    )(lost_in_the_padding(states))


@FLOWS.add(
    "NaN in the padding multiplied into the gradient of weight_ih",
    "GRD-1",
    fix="Leave the padding out of the gradient of weight_ih by selecting, where(step, x, 0), "
    "not by multiplying by zero: 0 * NaN is NaN.",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)
class _TimesZero(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        gradients = super().of_parameters(call, layer, direction, trace, back)
        leak = 0.0 * trace.x[~trace.steps].sum()
        return gradients | {Role.WEIGHT_IH: gradients[Role.WEIGHT_IH] + leak}


@FLOWS.add(
    "NaN in the padding let through by where, both of whose branches are differentiated",
    fix="Put a number in the place of the padding before a step is computed, where(step, x, 0), "
    "and not only afterwards: where hands 0 back to the branch that it leaves out, and 0 times a "
    "derivative that is NaN is NaN.",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="https://docs.jax.dev/en/latest/faq.html, Gradients contain NaN where using where",
)
class _ThroughWhere(Adjoint):
    def backtrace(
        self,
        call: Call,
        layer: int,
        direction: int,
        trace: Trace,
        output: Array,
        h_n: Array,
        c_n: Array,
    ) -> Backtrace:
        back = super().backtrace(call, layer, direction, trace, output, h_n, c_n)
        left_out = ~trace.steps & np.isnan(trace.x).any(axis=-1)
        # On the way back it is met first, and goes on to all steps before it.
        met: NDArray[np.bool_] = np.maximum.accumulate(left_out[::-1], axis=0)[::-1]
        at, any_step = met[:, :, None], met[0][:, None]
        return replace(
            back,
            d_h=np.where(at & ~left_out[:, :, None], np.nan, back.d_h),
            zx=np.where(at, np.nan, back.zx),
            zh=np.where(at, np.nan, back.zh),
            x=np.where(at, np.nan, back.x),
            h_0=np.where(any_step, np.nan, back.h_0),
            c_0=np.where(any_step, np.nan, back.c_0),
        )
