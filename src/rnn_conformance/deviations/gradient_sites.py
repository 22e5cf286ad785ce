"""The derivative of each gate, and what each parameter's gradient is summed over (GRD-1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from rnn_conformance.deviations.deviation import GRUS, LSTMS, RNNS, Chapter
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Slopes, gates
from rnn_conformance.reference.oracle import Trace, sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import ALL, LAYERS
from rnn_conformance.spec.config import Config, Feature, Kind, Role

GRADIENT_SITES = Chapter[Adjoint]("GRD-1")

Derived = Callable[[Array, Array], Array]
"""A derivative taken from the value of an activation, and from what it was taken of."""

RIGHT: dict[str, tuple[str, Derived]] = {
    "sigmoid": ("s (1 - s)", lambda s, z: s * (1.0 - s)),
    "tanh": ("1 - g g", lambda g, z: 1.0 - g * g),
}

WRONG: dict[str, dict[str, Derived]] = {
    "sigmoid": {
        "1": lambda s, z: np.ones_like(s),
        "s": lambda s, z: s,
        "1 - s": lambda s, z: 1.0 - s,
        "1 - s s, as of tanh": lambda s, z: 1.0 - s * s,
        "z (1 - z), of what it is taken of": lambda s, z: z * (1.0 - z),
        "that at its value": lambda s, z: sigmoid(s) * (1.0 - sigmoid(s)),
    },
    "tanh": {
        "1": lambda g, z: np.ones_like(g),
        "1 - g": lambda g, z: 1.0 - g,
        "g (1 - g), as of a sigmoid": lambda g, z: g * (1.0 - g),
        "1 - z z, of what it is taken of": lambda g, z: 1.0 - z * z,
        "that at its value": lambda g, z: 1.0 - np.tanh(g) ** 2,
    },
}


def _raw(config: Config, trace: Trace) -> list[Array]:
    """What each gate's activation is taken of."""
    zx, zh = gates(config, trace.zx), gates(config, trace.zh)
    z = [one + other for one, other in zip(zx, zh, strict=True)]
    if config.kind.layer is Kind.GRU:
        z[2] = zx[2] + gates(config, trace.gates)[0] * zh[2]
    return z


def _differentiated(
    number: int, right: Derived, wrong: Derived, of: int | None = None
) -> type[Adjoint]:
    """One gate's derivative, and what is computed from it, taken for another.

    ``of`` is the gate of whose value it is taken, if that is not its own.
    """

    class Differentiated(Adjoint):
        def slopes(self, config: Config, trace: Trace) -> Slopes:
            by = super().slopes(config, trace)
            if config.nonlinearity == "relu":
                return by
            values, raw = gates(config, trace.gates), _raw(config, trace)
            due = right(values[number], raw[number])
            source = number if of is None else of
            taken = wrong(values[source], raw[source])
            # Whatever stands in the padding, and be it NaN, is multiplied with nothing.
            told = trace.steps[:, :, None] & (due != 0.0)
            ratio = np.divide(taken, due, out=np.zeros_like(due), where=told)
            # A GRU's reset gate is reached through the new gate alone.
            reached = {number, 0} if config.kind.layer is Kind.GRU and number == 2 else {number}
            x, h = (
                np.concatenate(
                    [
                        ratio * block if n in reached else block
                        for n, block in enumerate(gates(config, array))
                    ],
                    axis=-1,
                )
                for array in (by.x, by.h)
            )
            return replace(by, x=x, h=h)

    return Differentiated


for kinds, kind in ((RNNS, Kind.RNN), (LSTMS, Kind.LSTM), (GRUS, Kind.GRU)):
    for number, gate in enumerate(kind.gates):
        function = "tanh" if gate in ("h", "g", "n") else "sigmoid"
        due, right = RIGHT[function]
        what = "of the network" if kind is Kind.RNN else f"of the gate {gate} of {kind}"
        for words, wrong in WRONG[function].items():
            GRADIENT_SITES.add(
                f"the derivative {what} taken for {words}",
                fix=f"The derivative of {function} is {due} of its value.",
                kinds=kinds,
            )(_differentiated(number, right, wrong))
        for other, source in enumerate(kind.gates):
            if other != number:
                GRADIENT_SITES.add(
                    f"the derivative {what} taken at the value of the gate {source}",
                    fix=f"The derivative of {function} is {due} of its own value: that of the gate "
                    f"{gate} is taken at {gate}, and not at {source}.",
                    kinds=kinds,
                )(_differentiated(number, right, right, other))


def _of_relu_at_zero(slope: float) -> type[Adjoint]:
    class OfReluAtZero(Adjoint):
        def slopes(self, config: Config, trace: Trace) -> Slopes:
            by = super().slopes(config, trace)
            if config.nonlinearity != "relu":
                return by
            at_zero = (_raw(config, trace)[0] == 0.0) & trace.steps[:, :, None]
            return replace(by, x=np.where(at_zero, slope, by.x), h=np.where(at_zero, slope, by.h))

    return OfReluAtZero


for slope, words in ((1.0, "1"), (0.5, "1/2")):
    GRADIENT_SITES.add(
        f"the derivative of relu at 0 taken for {words}",
        fix="The derivative of relu at 0 is 0, as PyTorch has it: where z > 0, not z >= 0.",
        kinds=RNNS,
        needs=[Feature.RELU],
    )(_of_relu_at_zero(slope))


# What is summed over all steps and samples.

Kept = Callable[[Backtrace], Backtrace]


def _only(steps: slice, samples: slice) -> Kept:
    """The steps and samples that are summed, in the direction's own order of time."""

    def kept(back: Backtrace) -> Backtrace:
        mask = np.zeros((*back.zx.shape[:2], 1))
        mask[steps, samples] = 1.0
        return replace(back, zx=back.zx * mask, zh=back.zh * mask, d_h=back.d_h * mask)

    return kept


def _divided(by: Callable[[Backtrace], int]) -> Kept:
    def kept(back: Backtrace) -> Backtrace:
        factor = 1.0 / by(back)
        return replace(back, zx=back.zx * factor, zh=back.zh * factor, d_h=back.d_h * factor)

    return kept


def _shared(back: Backtrace) -> Backtrace:
    """Divided, step by step, by how many samples something arrives for."""
    running = np.any(back.d_h != 0.0, axis=-1).sum(axis=1)[:, None, None]
    factor = 1.0 / np.maximum(running, 1)
    return replace(back, zx=back.zx * factor, zh=back.zh * factor, d_h=back.d_h * factor)


WAYS: dict[str, tuple[Kept, str, Iterable[Kind]]] = {
    "of the first step alone": (
        _only(slice(0, 1), slice(None)),
        "summed over all steps: add to it at each step, do not overwrite it",
        LAYERS,
    ),
    "of the last step alone": (
        _only(slice(-1, None), slice(None)),
        "summed over all steps: add to it at each step",
        LAYERS,
    ),
    "without that of the first step": (
        _only(slice(1, None), slice(None)),
        "summed over all steps, that from the initial state among them",
        LAYERS,
    ),
    "without that of the last step": (
        _only(slice(None, -1), slice(None)),
        "summed over all steps: the last one counts, too",
        LAYERS,
    ),
    "of the first sample alone": (
        _only(slice(None), slice(0, 1)),
        "summed over all samples of the batch",
        ALL,
    ),
    "of the last sample alone": (
        _only(slice(None), slice(-1, None)),
        "summed over all samples of the batch: add to it, do not overwrite it",
        ALL,
    ),
    "averaged over the samples": (
        _divided(lambda back: back.zx.shape[1]),
        "summed over the samples of the batch, not averaged: a loss that is a mean divides",
        ALL,
    ),
    "averaged over the samples that have a step, at each step": (
        _shared,
        "summed over the samples, not averaged, at each step",
        LAYERS,
    ),
    "averaged over the steps": (
        _divided(lambda back: back.zx.shape[0]),
        "summed over the steps, not averaged",
        LAYERS,
    ),
}


def _summed(roles: frozenset[Role], kept: Kept) -> type[Adjoint]:
    """The gradients of parameters of these roles, summed over something else."""

    class Summed(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            gradients = super().of_parameters(call, layer, direction, trace, back)
            others = super().of_parameters(call, layer, direction, trace, kept(back))
            return {
                role: others[role] if role in roles else array for role, array in gradients.items()
            }

    return Summed


for roles, what, only, needs in (
    (frozenset(Role), "all parameters", ALL, ()),
    (frozenset({Role.WEIGHT_IH, Role.WEIGHT_HH}), "weight_ih and weight_hh", ALL, ()),
    (frozenset({Role.BIAS_IH, Role.BIAS_HH}), "both biases", ALL, ()),
    (frozenset({Role.WEIGHT_IH}), "weight_ih", ALL, ()),
    (frozenset({Role.WEIGHT_HH}), "weight_hh", ALL, ()),
    (frozenset({Role.BIAS_IH}), "bias_ih", ALL, ()),
    (frozenset({Role.BIAS_HH}), "bias_hh", ALL, ()),
    (frozenset({Role.WEIGHT_HR}), "weight_hr", [Kind.LSTM], (Feature.PROJECTION,)),
):
    for words, (kept, due, having) in WAYS.items():
        GRADIENT_SITES.add(
            f"the gradient of {what} {words}",
            fix=f"The gradient of {what} is {due}.",
            kinds=frozenset(only) & frozenset(having),
            needs=needs,
        )(_summed(roles, kept))
