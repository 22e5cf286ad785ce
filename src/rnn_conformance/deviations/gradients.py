"""Gradient paths cut, mis-scaled or taken wrongly, as variants of the oracle's adjoint (GRD)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, LSTMS, RNNS, Chapter, rows
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Derivative, Slopes, gates
from rnn_conformance.reference.oracle import Answer, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import ALL, LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind, Role

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
            cotangent = super().cotangent(backward, name)
            return factor * cotangent if name == result else cotangent

    return Through


def towards(argument: str, factor: float) -> type[Adjoint]:
    """The gradients of an argument, or of the parameters of a role, multiplied by a factor."""
    if argument in set(Role):
        return _towards_role(Role(argument), factor)

    class Towards(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            derivative = super().derivative(backward, answer)
            gradients = {
                name: factor * array if name == argument else array
                for name, array in derivative.gradients.items()
            }
            return replace(derivative, gradients=gradients)

    return Towards


def _towards_role(role: Role, factor: float) -> type[Adjoint]:
    """What each step adds, so that some steps or samples alone may be off, too."""

    class TowardsRole(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            summed = super().of_parameters(call, layer, direction, trace, back)
            return summed | ({role: factor * summed[role]} if role in summed else {})

    return TowardsRole


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

    def change(config: Config, trace: Trace, slopes: Slopes) -> Slopes:
        size = config.hidden_size
        scale = np.ones(slopes.x.shape[-1])
        scale[number * size : (number + 1) * size] = factor
        return replace(slopes, x=slopes.x * scale, h=slopes.h * scale)

    return sloping(change)


def towards_gate(number: int, factor: float) -> type[Adjoint]:
    """The gradients of one gate's parameters multiplied by a factor."""

    class TowardsGate(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            gradients = super().of_parameters(call, layer, direction, trace, back)
            size = call.config.hidden_size
            for name, array in gradients.items():
                if name != Role.WEIGHT_HR:
                    array[number * size : (number + 1) * size] *= factor
            return gradients

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


def _as_if_linear(config: Config, trace: Trace, slopes: Slopes) -> Slopes:
    here = np.where(trace.steps[:, :, None], 1.0, 0.0) * np.ones_like(slopes.x)
    return Slopes(here, here)


def _without_one_minus(config: Config, trace: Trace, slopes: Slopes) -> Slopes:
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
    return replace(slopes, x=slopes.x * scale, h=slopes.h * scale)


def _reset_left_out(config: Config, trace: Trace, slopes: Slopes) -> Slopes:
    return replace(slopes, h=slopes.x)


def _carry(factor: float) -> Callable[[Config, Trace, Slopes], Slopes]:
    def change(config: Config, trace: Trace, slopes: Slopes) -> Slopes:
        assert slopes.carry is not None
        return replace(slopes, carry=factor * slopes.carry)

    return change


def _cell(factor: float) -> Callable[[Config, Trace, Slopes], Slopes]:
    def change(config: Config, trace: Trace, slopes: Slopes) -> Slopes:
        assert slopes.cell is not None
        return replace(slopes, cell=factor * slopes.cell)

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
    return lambda config, trace, slopes: replace(
        slopes, x=(1.0 + by) * slopes.x, h=(1.0 + by) * slopes.h
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
    ) -> dict[Role, Array]:
        shifted = replace(trace, h=np.concatenate([trace.h[1:], trace.h[-1:]]))
        gradients = super().of_parameters(call, layer, direction, trace, back)
        other = super().of_parameters(call, layer, direction, shifted, back)
        return gradients | {Role.WEIGHT_HH: other[Role.WEIGHT_HH]}


@GRADIENTS.add(
    "the gradient of bias_ih given for bias_hh too",
    fix="Sum the gradient of W_hh h + b_hh for bias_hh: in the block of n it is r times that "
    "of W_in x + b_in, at each step and sample.",
    kinds=GRUS,
)
class _OneForBoth(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        gradients = super().of_parameters(call, layer, direction, trace, back)
        return gradients | (
            {Role.BIAS_HH: gradients[Role.BIAS_IH].copy()} if Role.BIAS_IH in gradients else {}
        )


@GRADIENTS.add(
    "the parameters' gradient of the last step alone",
    "GRD-1 GRD-2",
    fix="Sum the parameters' gradients over all steps: only the last step's share is there.",
    kinds=LAYERS,
)
class _LastStep(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        last = np.arange(len(back.zx))[:, None, None] == len(back.zx) - 1
        last_step = replace(
            back,
            zx=np.where(last, back.zx, 0.0),
            zh=np.where(last, back.zh, 0.0),
            d_h=np.where(last, back.d_h, 0.0),
        )
        return super().of_parameters(call, layer, direction, trace, last_step)
