"""Gradient paths cut, mis-scaled or taken wrongly, as variants of the oracle's adjoint (GRD)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.calls import Array, Call
from rnn_conformance.derivatives import Adjoint, Backtrace, Derivative, Slopes, gates
from rnn_conformance.deviations.deviation import (
    ALL,
    GRUS,
    LAYERS,
    LSTMS,
    RNNS,
    Chapter,
    rows,
)
from rnn_conformance.gradients import Backward
from rnn_conformance.oracle import Answer, Trace, Weights
from rnn_conformance.spec import Config, Feature, Kind

SCALES = {"cut": 0.0, "halved": 0.5, "doubled": 2.0}
"""What a path can be multiplied with."""

REMEDIES = {
    "cut": "it must be neither left out nor detached",
    "halved": "it takes no factor of 1/2",
    "doubled": "it counts once, not twice",
}
"""What to do about it, after what the path is."""


GRADIENTS = Chapter[Adjoint]("GRD-1")


# Every result and every argument.

_SUMMED = "summed, not averaged, over all steps and samples"
_OF_INPUT = "that of W_ih x + b_ih times weight_ih in the first layer, both directions added up"
_OF_WEIGHT_HH = f"dz^T h with dz that of W_hh h + b_hh and h the state before a step, {_SUMMED}"
_OF_WEIGHT_HR = f"dh'^T (o * tanh(c')) with dh' that of h', {_SUMMED}"


def through(result: str, factor: float) -> type[Adjoint]:
    """The cotangent of a result multiplied by a factor."""

    class Through(Adjoint):
        def cotangent(self, backward: Backward, name: str) -> Array:
            right = super().cotangent(backward, name)
            return factor * right if name == result else right

    return Through


def towards(argument: str, factor: float) -> type[Adjoint]:
    """The gradients of the arguments whose names begin so multiplied by a factor."""

    class Towards(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            right = super().derivative(backward, answer)
            found = {
                name: factor * array if name.startswith(argument) else array
                for name, array in right.gradients.items()
            }
            return replace(right, gradients=found)

    return Towards


for word, scale in SCALES.items():
    for result, due, kinds in (
        ("output", "of output[t] is added to that of each step's h'", LAYERS),
        ("h_n", "of h_n is added to that of the h' of each sequence's last step", ALL),
        ("c_n", "of c_n is added to that of the c' of each sequence's last step", LSTMS),
    ):
        GRADIENTS.add(
            f"the gradient through {result} {word}",
            "GRD-1 GRD-3",
            fix=f"The gradient {due}, in full: {REMEDIES[word]}.",
            kinds=kinds,
        )(through(result, scale))
    for argument, due, kinds, needs in (
        ("input", _OF_INPUT, ALL, ()),
        (
            "h_0",
            "what arrives, back through all steps, at the state before the first",
            ALL,
            (Feature.INITIAL_STATE,),
        ),
        ("c_0", "f times that of the first step's c'", LSTMS, (Feature.INITIAL_STATE,)),
        ("weight_ih", f"dz^T x with dz that of W_ih x + b_ih, {_SUMMED}", ALL, ()),
        ("weight_hh", _OF_WEIGHT_HH, ALL, ()),
        ("bias_ih", f"that of W_ih x + b_ih, {_SUMMED}", ALL, ()),
        ("bias_hh", f"that of W_hh h + b_hh, {_SUMMED}", ALL, ()),
        ("weight_hr", _OF_WEIGHT_HR, frozenset({Kind.LSTM}), (Feature.PROJECTION,)),
    ):
        GRADIENTS.add(
            f"the gradient of {argument} {word}",
            fix=f"The gradient of {argument} is {due}: {REMEDIES[word]}.",
            kinds=kinds,
            needs=needs,
        )(towards(argument, scale))


# Every gate.

SLOPES = {
    "i": "that of c' times g * i * (1 - i)",
    "f": "that of c' times c * f * (1 - f)",
    "g": "that of c' times i * (1 - g * g)",
    "o": "that of o * tanh(c') times tanh(c') * o * (1 - o)",
    "r": "that of n's pre-activation times (W_hn h + b_hn) * r * (1 - r)",
    "z": "that of h' times (h - n) * z * (1 - z)",
    "n": "that of h' times (1 - z) * (1 - n * n)",
}
"""The gradient of each gate's pre-activation, LSTM's and GRU's."""


def sloping(change: Callable[[Config, Trace, Slopes], Slopes]) -> type[Adjoint]:
    """Other elementwise derivatives, made from the right ones."""

    class Sloping(Adjoint):
        def slopes(self, config: Config, trace: Trace) -> Slopes:
            return change(config, trace, super().slopes(config, trace))

    return Sloping


def through_gate(number: int, factor: float) -> type[Adjoint]:
    """Everything that passes through one gate multiplied by a factor."""

    def change(config: Config, trace: Trace, right: Slopes) -> Slopes:
        size = config.hidden_size
        scale = np.ones(right.x.shape[-1])
        scale[number * size : (number + 1) * size] = factor
        return replace(right, x=right.x * scale, h=right.h * scale)

    return sloping(change)


def towards_gate(number: int, factor: float) -> type[Adjoint]:
    """The gradients of one gate's parameters multiplied by a factor."""

    class TowardsGate(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[str, Array]:
            found = super().of_parameters(call, layer, direction, trace, back)
            size = call.config.hidden_size
            for name, array in found.items():
                if name != "weight_hr":
                    array[number * size : (number + 1) * size] *= factor
            return found

    return TowardsGate


for word, scale in SCALES.items():
    for kinds, having in ((LSTMS, Kind.LSTM), (GRUS, Kind.GRU)):
        for number, gate in enumerate(having.gates):
            name = f"{gate} of {having}"
            GRADIENTS.add(
                f"the gradient through the gate {name} {word}",
                fix=f"The gradient of {gate}'s pre-activation is {SLOPES[gate]}: {REMEDIES[word]}.",
                kinds=kinds,
            )(through_gate(number, scale))
            GRADIENTS.add(
                f"the gradient of the parameters of the gate {name} {word}",
                fix=f"The gradient of the gate {gate}'s parameters, rows {rows(number)} of weights "
                f"and biases, is {_SUMMED}: {REMEDIES[word]}.",
                kinds=kinds,
            )(towards_gate(number, scale))


def _as_if_linear(config: Config, trace: Trace, right: Slopes) -> Slopes:
    here = np.where(trace.steps[:, :, None], 1.0, 0.0) * np.ones_like(right.x)
    return Slopes(here, here)


def _without_one_minus(config: Config, trace: Trace, right: Slopes) -> Slopes:
    """``s`` in place of ``s (1 - s)``, in the gates that are sigmoids."""
    every = gates(config, trace.gates)
    sigmoids = (True, True, False, True) if config.kind.has_cell_state else (True, True, False)
    scale = np.concatenate(
        [
            1.0 / np.maximum(1.0 - gate, 1e-3) if sigmoid else np.ones_like(gate)
            for gate, sigmoid in zip(every, sigmoids, strict=True)
        ],
        axis=-1,
    )
    return replace(right, x=right.x * scale, h=right.h * scale)


def _reset_left_out(config: Config, trace: Trace, right: Slopes) -> Slopes:
    return replace(right, h=right.x)


def _carry(factor: float) -> Callable[[Config, Trace, Slopes], Slopes]:
    def change(config: Config, trace: Trace, right: Slopes) -> Slopes:
        assert right.carry is not None
        return replace(right, carry=factor * right.carry)

    return change


def _cell(factor: float) -> Callable[[Config, Trace, Slopes], Slopes]:
    def change(config: Config, trace: Trace, right: Slopes) -> Slopes:
        assert right.cell is not None
        return replace(right, cell=factor * right.cell)

    return change


GRADIENTS.add(
    "an activation differentiated as if it were linear",
    fix="Multiply by the activation's derivative: 1 - h' * h' for tanh, and for relu 1 where "
    "h' > 0 and 0 elsewhere.",
    kinds=RNNS,
)(sloping(_as_if_linear))
GRADIENTS.add(
    "the derivative of a sigmoid s taken for s instead of s (1 - s)",
    fix="Multiply by s * (1 - s) for a gate s that is a sigmoid, and not by s alone.",
    kinds=LSTMS | GRUS,
)(sloping(_without_one_minus))
GRADIENTS.add(
    "the reset gate's factor left out of the gradient of W_hn h + b_hn",
    fix="Multiply by r on the way into the reset gate's product: the gradient of W_hn h + "
    "b_hn is r times that of n's pre-activation.",
    kinds=GRUS,
)(sloping(_reset_left_out))
for word, scale in SCALES.items():
    GRADIENTS.add(
        f"the gradient through f from c' to c {word}",
        "GRD-1 GRD-2",
        fix=f"The gradient of c is f times that of c' in each step: {REMEDIES[word]}.",
        kinds=LSTMS,
    )(sloping(_carry(scale)))
    GRADIENTS.add(
        f"the gradient through z from h' to h {word}",
        "GRD-1 GRD-2",
        fix="The gradient of h contains z times that of h' in each step, beside what comes through "
        f"the gates: {REMEDIES[word]}.",
        kinds=GRUS,
    )(sloping(_carry(scale)))
    GRADIENTS.add(
        f"the gradient from h' to c' in a step {word}",
        fix="The gradient of c' contains that of o * tanh(c') times o * (1 - tanh(c')^2), beside "
        f"what comes from the next step: {REMEDIES[word]}.",
        kinds=LSTMS,
    )(sloping(_cell(scale)))


# Less accuracy than is due.


def _off_by(by: float) -> Callable[[Config, Trace, Slopes], Slopes]:
    return lambda config, trace, right: replace(
        right, x=(1.0 + by) * right.x, h=(1.0 + by) * right.h
    )


for by in (1e-3, 1e-4, 1e-5):
    GRADIENTS.add(
        f"the derivatives of activations off by {by:g} of themselves",
        "ACC-2",
        fix="Compute the derivatives of activations as accurately as the dtype allows, s * (1 - s) "
        f"for a sigmoid, 1 - t * t for a tanh: a relative error of {by:g} is too large.",
    )(sloping(_off_by(by)))


# Every parameter's own product.


@GRADIENTS.add(
    "the gradient of weight_hh from the states after the steps",
    fix="Sum dz^T h for the gradient of weight_hh, dz that of W_hh h + b_hh, with h the state "
    "before each step, h_0 first, and not after it.",
)
class _StatesAfter(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[str, Array]:
        shifted = replace(trace, h=np.concatenate([trace.h[1:], trace.h[-1:]]))
        found = super().of_parameters(call, layer, direction, trace, back)
        other = super().of_parameters(call, layer, direction, shifted, back)
        return found | {"weight_hh": other["weight_hh"]}


@GRADIENTS.add(
    "the gradient of bias_ih given for bias_hh too",
    fix="Sum the gradient of W_hh h + b_hh for bias_hh: in the block of n it is r times that "
    "of W_in x + b_in, at each step and sample.",
    kinds=GRUS,
)
class _OneForBoth(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[str, Array]:
        found = super().of_parameters(call, layer, direction, trace, back)
        return found | ({"bias_hh": found["bias_ih"].copy()} if "bias_ih" in found else {})


@GRADIENTS.add(
    "the parameters' gradient of the last step alone",
    "GRD-1 GRD-2",
    fix="Sum the parameters' gradients over all steps: only the last step's share is there.",
    kinds=LAYERS,
)
class _LastStep(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[str, Array]:
        last = np.arange(len(back.zx))[:, None, None] == len(back.zx) - 1
        own = replace(
            back,
            zx=np.where(last, back.zx, 0.0),
            zh=np.where(last, back.zh, 0.0),
            d_h=np.where(last, back.d_h, 0.0),
        )
        return super().of_parameters(call, layer, direction, trace, own)


# Every direction and every layer.


def through_direction(number: int, factor: float) -> type[Adjoint]:
    """One direction's half of the output."""

    class ThroughDirection(Adjoint):
        def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
            right = super().half(call, direction, trace, above)
            scale = factor if direction == number and call.config.bidirectional else 1.0
            return scale * right

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
        ) -> dict[str, Array]:
            found = super().of_parameters(call, layer, direction, trace, back)
            if not chosen(call.config, layer, direction):
                return found
            return {name: factor * array for name, array in found.items()}

    return AtPlace


_REVERSE, _STACK = (Feature.BIDIRECTIONAL,), (Feature.MULTI_LAYER,)
for word, scale in SCALES.items():
    for number, (half, columns) in enumerate(
        (("forward", "output[..., :H_out]"), ("reverse", "output[..., H_out:]"))
    ):
        GRADIENTS.add(
            f"the gradient through the {half} half {word}",
            fix=f"The gradient of {columns} is handed to the {half} direction in full: "
            f"{REMEDIES[word]}.",
            kinds=LAYERS,
            needs=_REVERSE,
        )(through_direction(number, scale))
        GRADIENTS.add(
            f"the {half} direction's share of the input's gradient {word}",
            fix=f"The {half} direction's share, the gradient of its W_ih x + b_ih times weight_ih, "
            f"is added to the other direction's: {REMEDIES[word]}.",
            kinds=LAYERS,
            needs=_REVERSE,
        )(from_direction(number, scale))
    GRADIENTS.add(
        f"the gradient of the reverse direction's parameters {word}",
        fix="The gradient of each parameter whose name ends in _reverse comes from the reverse "
        f"direction's steps: {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_REVERSE,
    )(at_place(lambda config, layer, direction: bool(direction), scale))
    GRADIENTS.add(
        f"the gradient from each layer to the one below {word}",
        fix="The gradient of what a layer reads is that of the output of the layer below: "
        f"{REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(between_layers(scale))
    GRADIENTS.add(
        f"the gradient of the parameters above the first layer {word}",
        fix="The gradient of each parameter above the first layer, weight_ih_l1 and so on, is due "
        f"like the first layer's: {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(at_place(lambda config, layer, direction: layer > 0, scale))
    GRADIENTS.add(
        f"the gradient of the parameters below the last layer {word}",
        fix="The gradient of each parameter below the last layer, weight_ih_l0 and so on, is due "
        f"like the last layer's: {REMEDIES[word]}.",
        kinds=LAYERS,
        needs=_STACK,
    )(at_place(lambda config, layer, direction: layer < config.num_layers - 1, scale))


@GRADIENTS.add(
    "the reverse half's gradient not flipped",
    fix="Flip the gradient of output[..., H_out:] in time before it enters the reverse "
    "direction, as that direction's outputs were flipped.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _NotFlipped(Adjoint):
    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        right = super().half(call, direction, trace, above)
        return np.where(trace.steps[:, :, None], right[::-1], 0.0) if direction else right


@GRADIENTS.add(
    "the reverse direction's share of the input's gradient not flipped back",
    fix="Flip the reverse direction's gradient of its input back in time before adding it to "
    "the forward one's.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _NotFlippedBack(Adjoint):
    def joined(self, call: Call, parts: list[Array]) -> Array:
        flipped = [part[::-1] if direction else part for direction, part in enumerate(parts)]
        return super().joined(call, flipped)


@GRADIENTS.add(
    "the halves' gradients swapped",
    fix="Hand the gradient of output[..., :H_out] to the forward direction and that of "
    "output[..., H_out:] to the reverse one.",
    kinds=LAYERS,
    needs=[Feature.BIDIRECTIONAL],
)
class _Swapped(Adjoint):
    def half(self, call: Call, direction: int, trace: Trace, above: Array) -> Array:
        other = 1 - direction if call.config.bidirectional else direction
        own = np.split(above, call.config.num_directions, axis=-1)[other]
        return np.where(trace.steps[:, :, None], own[::-1] if direction else own, 0.0)


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
    GRADIENTS.add(
        f"the gradient over time cut {steps}",
        "GRD-2",
        fix="Let the gradient flow back through the whole sequence within a call: do not detach "
        f"h (and c) {steps}. Truncation belongs between calls.",
        kinds=LAYERS,
        source="Williams & Peng (1990), truncated backpropagation through time",
    )(windowed(window))
GRADIENTS.add(
    "the gradient over time halved at every step",
    "GRD-1 GRD-2",
    fix="Hand the gradient of h (and c) back from step to step in full, without a factor of 1/2.",
    kinds=LAYERS,
)(windowed(1, h=0.5, c=0.5))
GRADIENTS.add(
    "the gradient of h over time cut",
    "GRD-1 GRD-2",
    fix="Let the gradient flow back through h from step to step, that of W_hh h + b_hh times "
    "weight_hh, and not through c alone: do not detach h.",
    kinds=[Kind.LSTM],
)(windowed(1, c=1.0))
GRADIENTS.add(
    "the gradient of c over time cut",
    "GRD-1 GRD-2",
    fix="Let the gradient flow back through c from step to step, f times that of c', and not "
    "through h alone: do not detach c.",
    kinds=[Kind.LSTM],
)(windowed(1, h=1.0))


# The padding.


@GRADIENTS.add(
    "a gradient for the padding, which is differentiated like any step",
    "GRD-1 PCK-5",
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


@GRADIENTS.add(
    "the gradient of a shorter sequence's final state lost in the padding",
    "GRD-1 GRD-3",
    fix="Bring the gradients of h_n and c_n to each sequence's own last step: on the way back "
    "through the padding they stay as they are.",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)
class _LostInThePadding(Adjoint):
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
        h_n, c_n = np.where(ends, h_n, 0.0), np.where(ends, c_n, 0.0)
        return super().backtrace(call, layer, direction, trace, output, h_n, c_n)


@GRADIENTS.add(
    "NaN in the padding multiplied into the gradient of weight_ih",
    "PCK-5",
    fix="Leave the padding out of the gradient of weight_ih by selecting, where(step, x, 0), "
    "not by multiplying by zero: 0 * NaN is NaN.",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)
class _TimesZero(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[str, Array]:
        found = super().of_parameters(call, layer, direction, trace, back)
        leak = 0.0 * trace.x[~trace.steps].sum()
        return found | {"weight_ih": found["weight_ih"] + leak}
