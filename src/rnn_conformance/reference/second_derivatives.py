"""Derivatives of derivatives along a direction, and a bound on the error of each.

The gradients of a backward pass are functions of the call's arguments; along a direction
``u`` in all of those they change by ``H u``, which is what a backward pass through the
backward pass of ``sum(u * gradient)`` gives. The equations are those of the oracle, written
once more on a tape, which differentiates them: no formula is shared with ``derivatives``,
whose gradients are this tape's too. Along the same direction the results change by ``J u``,
which forward-mode differentiation gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnn_conformance.reference.problem import Problem
from rnn_conformance.reference.running_errors import Known, Node, Tape
from rnn_conformance.spec.arrays import Array, frozen
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Kind, Role


@dataclass(frozen=True, eq=False)
class Changes:
    """The changes along a direction, and bounds on their errors, canonical and by name.

    By the names of arguments those of their gradients, by those of results their own.
    """

    values: Mapping[str, Array]
    bounds: Mapping[str, Array]


class Differentiated:
    """The equations of one call on a tape."""

    def __init__(self, problem: Problem, direction: Mapping[str, Array]) -> None:
        self.call, self.tape = problem.call, Tape(problem.format)
        config = self.config = problem.call.config
        self.names = ("input", *self.call.arguments.states, *self.call.parameters)
        arrays = {name: getattr(self.call, name) for name in ("input", "h_0", "c_0")}
        arrays |= dict(self.call.parameters)
        self.given = {name: self.tape.given(arrays[name], direction[name]) for name in self.names}
        self.finals: dict[str, list[Node]] = {"h_n": [], "c_n": []}
        x = self.given["input"]
        for layer in range(config.num_layers):
            halves = [self.direction(x, layer, d) for d in range(config.num_directions)]
            x = self.tape.joined(halves, axis=2)
        self.results = {"output": x}
        for name, ends in self.finals.items():
            if ends:
                self.results[name] = self.tape.joined(ends, axis=0)

    def state(self, name: str, place: int) -> Node:
        """An initial state of one layer and direction ``(N, ·)``."""
        if name in self.given:
            return self.tape.part(self.given[name], place)
        zeros = np.zeros(self.call.state_shape(name)[1:])
        return self.tape.given(zeros, zeros)

    def parameter(self, role: Role, layer: int, direction: int) -> Node | None:
        """One parameter of a layer and direction, if there is one."""
        return self.given.get(self.config.parameter_name(role, layer, direction))

    def direction(self, x: Node, layer: int, direction: int) -> Node:
        """One layer and direction over ``x`` ``(L, N, ·)``: its output, in the input's time."""
        tape, config = self.tape, self.config
        place = layer * config.num_directions + direction
        w_ih, w_hh, b_ih, b_hh, w_hr = (
            self.parameter(role, layer, direction)
            for role in (Role.WEIGHT_IH, Role.WEIGHT_HH, Role.BIAS_IH, Role.BIAS_HH, Role.WEIGHT_HR)
        )
        assert w_ih is not None
        assert w_hh is not None
        zx = tape.affine(x, w_ih, b_ih)
        state = [self.state("h_0", place)]
        if config.kind.has_cell_state:
            state.append(self.state("c_0", place))
        outputs: dict[int, Node] = {}
        times = range(self.call.length)
        for t in reversed(times) if direction else times:
            zh = tape.affine(state[0], w_hh, b_hh)
            new = self.step(tape.part(zx, t), zh, state)
            if w_hr is not None:
                new[0] = tape.affine(new[0], w_hr)
            here = self.call.steps[t][:, None]
            if not here.all():
                new = [tape.chosen(here, a, b) for a, b in zip(new, state, strict=True)]
            state = new
            outputs[t] = tape.part(state[0], None)
        for name, end in zip(("h_n", "c_n"), state, strict=False):
            self.finals[name].append(tape.part(end, None))
        return tape.joined([outputs[t] for t in times], axis=0)

    def step(self, zx: Node, zh: Node, state: list[Node]) -> list[Node]:
        """One step (EQ-1, EQ-2, EQ-3), before the projection."""
        tape, size = self.tape, self.config.hidden_size

        def gate(z: Node, number: int) -> Node:
            return tape.part(z, (slice(None), slice(number * size, (number + 1) * size)))

        match self.config.kind.layer:
            case Kind.LSTM:
                z = tape.added(zx, zh)
                i, f, o = (tape.activated(gate(z, n), "sigmoid") for n in (0, 1, 3))
                g = tape.activated(gate(z, 2), "tanh")
                c = tape.added(tape.multiplied(f, state[1]), tape.multiplied(i, g))
                return [tape.multiplied(o, tape.activated(c, "tanh")), c]
            case Kind.GRU:
                r, u = (
                    tape.activated(tape.added(gate(zx, n), gate(zh, n)), "sigmoid") for n in (0, 1)
                )
                reset = tape.multiplied(r, gate(zh, 2))
                n = tape.activated(tape.added(gate(zx, 2), reset), "tanh")
                kept = tape.multiplied(u, state[0])
                return [tape.added(tape.multiplied(tape.rest(u), n), kept)]
            case _:
                name = self.config.nonlinearity
                return [tape.activated(tape.added(zx, zh), name)]


def directions(call: Call, seed: int) -> Mapping[str, Array]:
    """A direction in everything that has a gradient, by name; multiples of a sixteenth."""
    rng = np.random.default_rng([seed, 2])
    arrays = {"input": call.input, **call.arguments.states, **call.parameters}
    return {
        name: frozen(np.rint(16.0 * rng.standard_normal(array.shape)) / 16.0)
        for name, array in arrays.items()
    }


def changes(backward: Backward, direction: Mapping[str, Array], *, tf32: bool = False) -> Changes:
    """How the gradients of a backward pass, and the call's results, change along a direction."""
    call, problem = backward.call, Problem(backward.call, tf32=tf32)
    # Overflow and NaN are part of what is computed here; nothing is claimed there.
    with np.errstate(all="ignore"):
        equations = Differentiated(problem, direction)
        equations.tape.pass_back(
            [(equations.results[name], array) for name, array in backward.cotangents.items()]
        )
    factor = problem.format.own_error(2.0**-53)
    told = {name: node.adjoint for name, node in equations.given.items()}
    told |= {name: equations.results[name].dual for name in call.results}
    values: dict[str, Array] = {}
    bounds: dict[str, Array] = {}
    for name, dual in told.items():
        along = None if dual is None else dual.along
        if along is None:
            shape = equations.given[name].dual.number.value.shape
            along = Known.exactly(np.zeros(shape))
        claimed = along.magnitude < problem.format.largest
        if name == "output":
            # The padding belongs to no sequence.
            claimed = claimed & call.steps[:, :, None]
        values[name] = along.value
        bounds[name] = np.where(claimed, factor * along.error, np.inf)
    return Changes(values, bounds)
