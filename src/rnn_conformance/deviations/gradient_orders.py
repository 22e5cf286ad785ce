"""Gradients that are right and handed over in another order, or of other factors' rows (GRD-1).

Who writes a backward pass by hand undoes there what the forward pass has put into its own order:
the gates, the directions, the layers, the samples, the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, permutations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.defect import COMMON
from rnn_conformance.deviations.deviation import GRUS, LSTMS, Chapter, Deviation
from rnn_conformance.deviations.gates import CONVENTIONS, transposed
from rnn_conformance.deviations.orders import longest_first
from rnn_conformance.reference.derivatives import Adjoint, Backtrace, Derivative
from rnn_conformance.reference.oracle import Answer, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind, Role

GRADIENT_ORDERS = Chapter[Adjoint]("GRD-1")

_WEIGHTS = frozenset({Role.WEIGHT_IH, Role.WEIGHT_HH})
_BIASES = frozenset({Role.BIAS_IH, Role.BIAS_HH})


# The gates.


def _in_order(order: Sequence[int], roles: frozenset[Role]) -> type[Adjoint]:
    """The blocks of rows of these parameters' gradients, in another order."""

    class InOrder(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            gradients = super().of_parameters(call, layer, direction, trace, back)
            for role in roles & gradients.keys():
                blocks = np.split(gradients[role], len(order))
                gradients[role] = np.concatenate([blocks[number] for number in order])
            return gradients

    return InOrder


def _orders(kind: Kind) -> list[tuple[str, ...]]:
    """Two gates exchanged, and what other frameworks have; of three gates every order."""
    gates = kind.gates
    if len(gates) == 3:
        return [order for order in permutations(gates) if order != gates]
    exchanged = []
    for one, other in combinations(gates, 2):
        swap = {one: other, other: one}
        exchanged.append(tuple(swap.get(gate, gate) for gate in gates))
    conventions = (order for order in CONVENTIONS if sorted(order) == sorted(gates))
    return list(dict.fromkeys([*exchanged, *conventions]))


def _ordered(kind: Kind, what: str, order: tuple[str, ...]) -> tuple[str, str]:
    """The name and what to do."""
    return (
        f"the gradient of {what} with its gates in the order {', '.join(order)}",
        "A parameter's gradient has the rows of the parameter: those of the gates "
        f"{', '.join(kind.gates)}, in this order.",
    )


for kinds, kind in ((LSTMS, Kind.LSTM), (GRUS, Kind.GRU)):
    for order in _orders(kind):
        name, fix = _ordered(kind, "the parameters", order)
        numbers = [kind.gates.index(gate) for gate in order]
        GRADIENT_ORDERS.add(name, fix=fix, kinds=kinds)(_in_order(numbers, _WEIGHTS | _BIASES))


@cache
def part_gradient_orders(kind: Kind) -> tuple[Deviation[Adjoint], ...]:
    """The same of some parameters alone: too many for the catalogue."""
    made = []
    for order in _orders(kind) if len(kind.gates) > 1 else ():
        for what, roles in (
            ("the weights, not of the biases,", _WEIGHTS),
            ("the biases, not of the weights,", _BIASES),
            *((role.value, frozenset({role})) for role in sorted(_WEIGHTS | _BIASES)),
        ):
            name, fix = _ordered(kind, what, order)
            made.append(
                Deviation(
                    name=name,
                    breaks=frozenset({"GRD-1"}),
                    kinds=frozenset({kind.layer, kind.layer.cell}),
                    needs=frozenset(),
                    source=COMMON,
                    fix=fix,
                    variant=_in_order([kind.gates.index(gate) for gate in order], roles),
                )
            )
    return tuple(made)


@GRADIENT_ORDERS.add(
    "the gradient of weight_hh transposed, gate by gate",
    fix="The gradient of weight_hh is dz^T h, with a row for each row of weight_hh: h^T dz is its "
    "transpose.",
)
class _Transposed(Adjoint):
    def of_parameters(
        self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
    ) -> dict[Role, Array]:
        gradients = super().of_parameters(call, layer, direction, trace, back)
        right = gradients[Role.WEIGHT_HH]
        return {**gradients, Role.WEIGHT_HH: transposed(right, call.config.hidden_size)}


# The steps.


def _of_inputs(by: int) -> type[Adjoint]:
    """The gradient of ``weight_ih`` from the inputs so many steps later."""

    class OfInputs(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            x = np.zeros_like(trace.x)
            if by > 0:
                x[:-by] = trace.x[by:]
            else:
                x[-by:] = trace.x[:by]
            gradients = super().of_parameters(call, layer, direction, trace, back)
            others = super().of_parameters(call, layer, direction, replace(trace, x=x), back)
            return {**gradients, Role.WEIGHT_IH: others[Role.WEIGHT_IH]}

    return OfInputs


for by, where in ((1, "after"), (-1, "before")):
    GRADIENT_ORDERS.add(
        f"the gradient of weight_ih from the inputs one step {where}",
        fix="The gradient of weight_ih is the sum over all steps of each one's dz times the input "
        "that this step has read.",
        kinds=LAYERS,
    )(_of_inputs(by))


# The places.

Places = Callable[[int, int, int, int], tuple[int, int]]
"""From a layer and a direction, with how many of each there are, to another place."""


def _directions(layer: int, direction: int, layers: int, directions: int) -> tuple[int, int]:
    return layer, directions - 1 - direction


def _layers(layer: int, direction: int, layers: int, directions: int) -> tuple[int, int]:
    return layers - 1 - layer, direction


def _direction_major(layer: int, direction: int, layers: int, directions: int) -> tuple[int, int]:
    number = layer * directions + direction
    return number % layers, number // layers


def _of_places(names: frozenset[str], places: Places) -> type[Adjoint]:
    """Gradients of places given for those of others, where they have the same shape."""

    class OfPlaces(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            derived = super().derivative(backward, answer)
            config, right = backward.call.config, derived.gradients
            gradients = dict(right)
            counts = config.num_layers, config.num_directions
            for layer, direction in config.places():
                source = places(layer, direction, *counts)
                for role in Role:
                    name = config.parameter_name(role, layer, direction)
                    other = right.get(config.parameter_name(role, *source))
                    if role.value in names and name in right and other is not None:
                        gradients[name] = other if other.shape == right[name].shape else right[name]
            for name in names & {"h_0", "c_0"} & right.keys():
                numbers = [
                    at * config.num_directions + way
                    for at, way in (places(*place, *counts) for place in config.places())
                ]
                gradients[name] = right[name][numbers]
            return replace(derived, gradients=gradients)

    return OfPlaces


_PARAMETERS = frozenset(role.value for role in Role)
_STATES = frozenset({"h_0", "c_0"})

for what, names in (("parameters", _PARAMETERS), ("initial states", _STATES)):
    for how, places, due, needs in (
        (
            "with the directions exchanged",
            _directions,
            "each direction has its own",
            (Feature.BIDIRECTIONAL,),
        ),
        (
            "with the layers in reversed order",
            _layers,
            "each layer has its own, the first one's first",
            (Feature.MULTI_LAYER,),
        ),
        (
            "by direction first, by layer second",
            _direction_major,
            "layer k and direction d are at index k * D + d",
            (Feature.MULTI_LAYER, Feature.BIDIRECTIONAL),
        ),
    ):
        GRADIENT_ORDERS.add(
            f"the gradients of the {what} {how}",
            fix=f"Hand the gradients of the {what} back in the order in which they came: {due}.",
            kinds=LAYERS,
            needs=needs,
        )(_of_places(names, places))


@GRADIENT_ORDERS.add(
    "the gradients of h_0 and c_0 exchanged",
    fix="Hand back the gradient of h_0 for h_0 and that of c_0 for c_0.",
    kinds=LSTMS,
)
class _Exchanged(Adjoint):
    def derivative(self, backward: Backward, answer: Answer) -> Derivative:
        derived = super().derivative(backward, answer)
        gradients = dict(derived.gradients)
        if gradients["h_0"].shape == gradients["c_0"].shape:
            gradients["h_0"], gradients["c_0"] = gradients["c_0"], gradients["h_0"]
        return replace(derived, gradients=gradients)


# The samples.


Indices: TypeAlias = NDArray[np.intp]

Sources = Callable[[Indices], Indices]
"""From ``sorted_indices`` to the sample whose gradient each one is given."""


def _samples(sources: Sources, names: frozenset[str]) -> type[Adjoint]:
    """Gradients with the samples of a packed call in another order."""

    class Samples(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            derived = super().derivative(backward, answer)
            order = sources(np.array(longest_first(backward.call), dtype=np.intp))
            gradients = {
                name: array[:, order] if name in names else array
                for name, array in derived.gradients.items()
            }
            return replace(derived, gradients=gradients)

    return Samples


for what, names in (
    ("the initial states", _STATES),
    ("the input", frozenset({"input"})),
    ("the input and the initial states", _STATES | {"input"}),
):
    for how, sources in (
        ("in the order in which they are sorted", lambda order: order),
        ("put back by sorted_indices, not by its inverse", lambda order: order[order]),
        ("put back once too often", lambda order: np.argsort(order)),
    ):
        GRADIENT_ORDERS.add(
            f"the gradients of {what} with the samples {how}",
            fix="Hand a sample's gradient back at the place where the sample came: gradient[:, "
            "unsorted_indices] undoes what input[:, sorted_indices] has done.",
            kinds=LAYERS,
            needs=(Feature.PACKED,),
        )(_samples(sources, names))


# The rows of packed data.


def _rows(*, by_samples: bool) -> type[Adjoint]:
    """The rows of a packed input's gradient, taken for those of the other order."""

    class Rows(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            derived, call = super().derivative(backward, answer), backward.call
            if call.lengths is None:
                return derived
            order = np.array(longest_first(call), dtype=np.intp)
            steps, ranks = np.nonzero(call.steps[:, order])
            by_time = steps, order[ranks]
            ranks, steps = np.nonzero(call.steps[:, order].T)
            by_sample = steps, order[ranks]
            right, moved = derived.gradients["input"], np.zeros_like(derived.gradients["input"])
            source, target = (by_sample, by_time) if by_samples else (by_time, by_sample)
            moved[target] = right[source]
            return replace(derived, gradients={**derived.gradients, "input": moved})

    return Rows


for by_samples, words in (
    (True, "sample by sample instead of step by step"),
    (False, "step by step where they were read sample by sample"),
):
    GRADIENT_ORDERS.add(
        f"the rows of a packed input's gradient handed back {words}",
        fix="Packed data has the rows of the first step of every sequence first, then those of the "
        "second: its gradient has them in the same order.",
        kinds=LAYERS,
        needs=(Feature.PACKED,),
    )(_rows(by_samples=by_samples))
