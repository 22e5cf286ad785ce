"""Which function an implementation puts each gate through: measured, not guessed.

A list of functions that somebody has used instead of a sigmoid ends somewhere. One step of a layer
in which every other gate is open or closed shows what one gate makes of its pre-activation; from
that a deviation is made, which then has to fit the evidence as any other (``suspects``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations.deviation import Deviant, Deviation
from rnn_conformance.deviations.gate_functions import gate_of_gru, gate_of_lstm
from rnn_conformance.diagnosis.causes import declared, finest
from rnn_conformance.errors import interrupts
from rnn_conformance.reference.oracle import sigmoid
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, rounded
from rnn_conformance.spec.config import Config, Feature, Kind, Role

Function = Callable[[Array], Array]

POINTS = np.arange(-24, 25) / 4.0
"""The pre-activations that are looked at: quarters, one a unit."""

OPEN, CLOSED = 40.0, -40.0
"""Pre-activations at which a sigmoid is 1 or 0, and what is cut off is, too."""

NEAR = 1e-5
"""How far off a function may be to be told as itself: 50 roundings of float32."""


@dataclass(frozen=True, eq=False)
class Gate:
    """A gate of a kind: ``due`` is the function that it should be put through.

    ``others`` are the pre-activations of the other gates, ``h_0`` and ``c_0`` the states, ``w_hh``
    the recurrent weight of each unit to itself in the last gate. ``read`` takes the function's
    values from the states after one step, ``through`` another gate that has to be right for that.
    """

    kind: Kind
    name: str
    due: str
    others: Mapping[str, float]
    read: Callable[[Array, Array], Array]
    h_0: float = 0.0
    c_0: float = 0.0
    w_hh: float = 0.0
    through: str = ""


FUNCTIONS: dict[str, Function] = {"sigmoid(z)": sigmoid, "tanh(z)": np.tanh}

GATES = (
    Gate(Kind.RNN, "h", "tanh(z)", {}, lambda h, c: h),
    Gate(
        Kind.LSTM,
        "i",
        "sigmoid(z)",
        {"f": CLOSED, "g": OPEN, "o": OPEN},
        lambda h, c: c,
        through="g",
    ),
    Gate(Kind.LSTM, "f", "sigmoid(z)", {"i": CLOSED, "g": 0.0, "o": OPEN}, lambda h, c: c, c_0=1.0),
    Gate(Kind.LSTM, "g", "tanh(z)", {"i": OPEN, "f": CLOSED, "o": OPEN}, lambda h, c: c),
    Gate(
        Kind.LSTM, "o", "sigmoid(z)", {"i": CLOSED, "f": OPEN, "g": 0.0}, lambda h, c: h, c_0=OPEN
    ),
    Gate(
        Kind.GRU,
        "r",
        "sigmoid(z)",
        {"z": CLOSED, "n": 0.0},
        lambda h, c: 2.0 * np.arctanh(np.clip(h, -1.0 + 1e-9, 1.0 - 1e-9)),
        h_0=1.0,
        w_hh=0.5,
        through="z",
    ),
    Gate(Kind.GRU, "z", "sigmoid(z)", {"r": CLOSED, "n": 0.0}, lambda h, c: h, h_0=1.0),
    Gate(Kind.GRU, "n", "tanh(z)", {"r": CLOSED, "z": CLOSED}, lambda h, c: h, through="z"),
)


def measured_functions(subject: Subject) -> tuple[list[Deviation[Deviant]], list[str]]:
    """A deviation for each gate whose function is another one that can be told; else its values.

    The values are sentences without a capital and a full stop. Where one gate is off, those that
    are read through it look off, too. Whether a deviation is right is for the evidence to tell;
    values are told where nothing else is off.
    """
    off: dict[str, Array] = {}
    deviations, sentences = list[Deviation[Deviant]](), list[str]()
    gates = [gate for gate in GATES if gate.kind is subject.kind.layer]
    for gate in gates:
        got = _values(subject, gate)
        if got is not None and np.abs(got - FUNCTIONS[gate.due](POINTS)).max() >= NEAR:
            off[gate.name] = got
    for gate in gates:
        if gate.name not in off:
            continue
        # Where others are off, too, it may not be a gate at all.
        alone = {gate.name} | {other.name for other in gates if other.through == gate.name}
        if (told := _told(off[gate.name])) is not None:
            deviations.append(_deviation(gate, *told))
        elif off.keys() <= alone:
            sentences.append(_sentence(gate, off[gate.name], FUNCTIONS[gate.due](POINTS)))
    return deviations, [] if deviations else sentences


def _values(subject: Subject, gate: Gate) -> Array | None:
    """What the gate gives at each of the points; ``None`` where that cannot be asked."""
    try:
        result = subject(_call(subject, gate))
        h = result.h_n[0, 0]
        if not np.abs(result.output[0, 0] - h).max() < NEAR:
            # What is handed over is off, and tells of no gate.
            return None
        c = result.c_n[0, 0] if subject.kind.has_cell_state else h
        got = gate.read(h, c)
    except BaseException as error:
        if interrupts(error):
            raise
        return None
    return got if np.isfinite(got).all() else None


def _call(subject: Subject, gate: Gate) -> Call:
    """One step of a layer with a unit for each point."""
    kind, units = subject.kind, len(POINTS)
    dtype = finest(subject)
    features = subject.implementation.declaration.features
    state = State.ZEROS if Feature.INITIAL_STATE in features else State.OMITTED
    case = declared(subject, Case(Config(kind, 1, units), 1, 1, dtype, state=state))
    call = case.call()
    if call.h_0 is None and (gate.h_0 or gate.c_0):
        raise LookupError("it takes no state")
    gates = kind.gates or (gate.name,)
    w_ih = [POINTS if name == gate.name else np.full(units, gate.others[name]) for name in gates]
    w_hh = np.zeros((len(gates) * units, units))
    w_hh[-units:] = gate.w_hh * np.eye(units)
    parameters = {name: np.zeros_like(array) for name, array in call.parameters.items()}
    parameters[case.config.parameter_name(Role.WEIGHT_IH, 0, 0)] = np.concatenate(w_ih)[:, None]
    parameters[case.config.parameter_name(Role.WEIGHT_HH, 0, 0)] = w_hh
    changes = {"input": np.ones_like(call.input)}
    if call.h_0 is not None:
        changes["h_0"] = np.full_like(call.h_0, gate.h_0)
    if call.c_0 is not None:
        changes["c_0"] = np.full_like(call.c_0, gate.c_0)
    kept = {name: rounded(array, dtype) for name, array in parameters.items()}
    return call.replace(parameters=kept, **changes)


def _told(got: Array) -> tuple[str, Function] | None:
    """The function that gives these values, in words, if it is one of the usual families."""
    for words, function in _candidates(got):
        if np.abs(function(POINTS) - got).max() < NEAR:
            return words, function
    return None


def _candidates(got: Array) -> Iterator[tuple[str, Function]]:
    yield from OTHERS.items()
    inside = (got > 1e-4) & (got < 1.0 - 1e-4)
    if line := _line(inside, np.log(got[inside] / (1.0 - got[inside]))):
        slope, at = line
        yield f"sigmoid({_linear(slope, at)})", lambda z: sigmoid(slope * z + at)
    inside = np.abs(got) < 1.0 - 1e-4
    if line := _line(inside, np.arctanh(got[inside])):
        rise, start = line
        yield f"tanh({_linear(rise, start)})", lambda z: np.tanh(rise * z + start)
    low, high = _simple(float(got.min())), _simple(float(got.max()))
    inside = (got > low + 1e-6) & (got < high - 1e-6)
    if line := _line(inside, got[inside]):
        grade, middle = line
        # A line that is cut off where the points end is not cut off, as far as can be seen.
        yield _linear(grade, middle), lambda z: grade * z + middle
        yield (
            f"min(max({_linear(grade, middle)}, {low:.4g}), {high:.4g})",
            lambda z: np.clip(grade * z + middle, low, high),
        )


def _line(inside: NDArray[np.bool_], values: Array) -> tuple[float, float] | None:
    """Slope and height at zero of a line through some points; ``None`` for too few, or no line."""
    if inside.sum() < 4:
        return None
    points = POINTS[inside]
    slope, at = (float(number) for number in np.polyfit(points, values, 1))
    straight = np.abs(slope * points + at - values).max() < 1e-3
    return (_simple(slope), _simple(at)) if straight and slope else None


def _simple(number: float) -> float:
    """The fraction of small numbers that it is, as far as can be seen: 1/6, not 0.166667."""
    simple = float(Fraction(number).limit_denominator(1_000))
    return simple if abs(simple - number) < 1e-6 else number


def _linear(slope: float, at: float) -> str:
    product = {1.0: "z", -1.0: "-z"}.get(round(slope, 6), f"{slope:.4g} z")
    if abs(at) < 1e-6:
        return product
    return f"{product} {'+' if at > 0 else '-'} {abs(at):.4g}"


OTHERS: dict[str, Function] = {
    # By the words of the catalogue, where they are, too.
    "no activation": lambda z: z,
    "a sigmoid": sigmoid,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0.0),
    "z / (1 + |z|), softsign,": lambda z: z / (1.0 + np.abs(z)),
    "(1 + z / (1 + |z|)) / 2": lambda z: 0.5 + 0.5 * z / (1.0 + np.abs(z)),
    "sin(z)": np.sin,
    "elu(z)": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
    "leaky_relu(z)": lambda z: np.where(z > 0, z, 0.01 * z),
    "softplus(z)": lambda z: np.logaddexp(0.0, z),
    "silu(z)": lambda z: z * sigmoid(z),
    "exp(z)": np.exp,
    "atan(z)": np.arctan,
    "1.7159 tanh(2 z / 3)": lambda z: 1.7159 * np.tanh(2.0 * z / 3.0),
    "sigmoid twice": lambda z: sigmoid(sigmoid(z)),
    "tanh twice": lambda z: np.tanh(np.tanh(z)),
    "tanh, then sigmoid": lambda z: sigmoid(np.tanh(z)),
    "sigmoid, then tanh": lambda z: np.tanh(sigmoid(z)),
    "the square of sigmoid(z)": lambda z: sigmoid(z) ** 2,
    "2 sigmoid(z) - 1": lambda z: 2.0 * sigmoid(z) - 1.0,
    "2 sigmoid(z)": lambda z: 2.0 * sigmoid(z),
    "the derivative of sigmoid(z)": lambda z: sigmoid(z) * (1.0 - sigmoid(z)),
    "(tanh(z) + 1) / 2": lambda z: 0.5 * (np.tanh(z) + 1.0),
}
"""Functions that are in use, beside lines, cut off or not, and what is stretched or shifted."""


def _deviation(gate: Gate, words: str, function: Function) -> Deviation[Deviant]:
    kind = gate.kind
    if kind is Kind.RNN:

        class OfNetwork(Deviant):
            def rnn_step(self, config: Config, zx: Array, zh: Array) -> Array:
                if config.nonlinearity == "relu":
                    return super().rnn_step(config, zx, zh)
                return function(zx + zh)

        variant: type[Deviant] = OfNetwork
        what = "the network"
    else:
        make = gate_of_lstm if kind is Kind.LSTM else gate_of_gru
        variant = make(kind.gates.index(gate.name), function)
        what = f"the gate {gate.name} of {kind}"
    equation = {Kind.RNN: "EQ-1", Kind.LSTM: "EQ-2", Kind.GRU: "EQ-3"}[kind]
    return Deviation(
        name=f"{what} put through {words}",
        breaks=frozenset({equation, "CEL-2"}),
        kinds=frozenset({kind, kind.cell}),
        needs=frozenset(),
        source="measured",
        fix=f"Put {what} through {gate.due}.",
        variant=variant,
    )


def _sentence(gate: Gate, got: Array, right: Array) -> str:
    shown = [int(np.argmin(np.abs(POINTS - z))) for z in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    values = ", ".join(f"{got[n]:.4g}" for n in shown)
    due = ", ".join(f"{right[n]:.4g}" for n in shown)
    what = "the network" if gate.kind is Kind.RNN else f"the gate {gate.name}"
    return f"{what} is not {gate.due}: at z = -2, -1, 0, 1, 2 it gives {values}, not {due}"
