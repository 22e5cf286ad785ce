"""The assertions that the tests in ``conformance/`` use.

Each compares within a derived bound and, where it fails, says which element, what it
should be, what it is, by how much it is off and how much is allowed. None has a
tolerance of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.agreement import Agreement, tolerance
from rnn_conformance.bounds import Reference, reference
from rnn_conformance.calls import Array, Call, Result
from rnn_conformance.ensemble import Ensemble, ensemble
from rnn_conformance.errors import NonConforming
from rnn_conformance.gradient_bounds import GradientReference, gradient_reference
from rnn_conformance.gradient_ensemble import gradient_ensemble
from rnn_conformance.gradients import GRADIENT, Gradients


def shaped(result: Result, name: str) -> None:
    """The result of this name has the shape that is due, in the layout of the call."""
    # The look-up is the check: whoever reads a result reads it in the right shape.
    result[name]


def matches(result: Result, *names: str, to: Reference | None = None) -> None:
    """The results of these names (default: all) are what the equations give, within E."""
    call = result.call
    expected = reference(call) if to is None else to
    for name in names or call.results:
        within(name, result[name], expected[name], expected.bound(name), calls=(call,))


def agrees(result: Result) -> Agreement:
    """All results are what the equations give, within what correct implementations scatter by.

    As :func:`matches`, and closer: within ``min(E, t S)`` (see ``agreement``).
    """
    call = result.call
    expected, scatter = reference(call), ensemble(call)
    values = {name: expected[name] for name in call.results}
    hard = {name: expected.bound(name) for name in call.results}
    got = {name: result[name] for name in call.results}
    return _agreement(call, "results", got, values, expected.rests, hard, scatter)


def _agreement(
    call: Call,
    of: str,
    got: Mapping[str, Array],
    expected: Mapping[str, Array],
    rests: Mapping[str, Array],
    hard: Mapping[str, Array],
    scatter: Ensemble,
    what: str = "",
) -> Agreement:
    """Compare by the hard bound and by the scatter; raises ``NonConforming``."""
    elements = sum(array.size for array in expected.values())
    errors, limits = {}, {}
    for name, array in expected.items():
        limits[name] = tolerance(hard[name], scatter.spreads[name], elements)
        within(
            (GRADIENT if of == "gradients" else "") + name,
            got[name],
            array,
            limits[name],
            calls=(call,),
            what=what,
            rest=rests.get(name),
            hard=hard[name],
        )
        with np.errstate(invalid="ignore"):
            errors[name] = np.abs((got[name] - array) - rests.get(name, 0.0))
    return Agreement.measured(call, of, expected, errors, limits, scatter)


def same(
    first: Result, second: Result, *names: str, what: str = "", bound: Reference | None = None
) -> None:
    """Two calls that must give the same do, each being at most E away from the truth.

    ``bound`` is the reference of the calls if it is not that of the first; ``what`` says
    why they must agree.
    """
    limits = reference(first.call) if bound is None else bound
    for name in names or first.call.results:
        within(
            name,
            second[name],
            first[name],
            2.0 * limits.bound(name),
            calls=(first.call, second.call),
            what=what,
        )


def identical(first: Result, second: Result, *names: str, what: str) -> None:
    """Two calls give the same, bit for bit."""
    for name in names or first.call.results:
        zero = np.zeros_like(first[name])
        calls = (first.call, second.call)
        within(name, second[name], first[name], zero, calls=calls, what=what)


def differentiated(
    gradients: Gradients, *arguments: str, to: GradientReference | None = None, what: str = ""
) -> None:
    """The gradients of these arguments (default: all) are right, within their bound."""
    backward = gradients.backward
    expected = gradient_reference(backward) if to is None else to
    try:
        for argument in arguments or backward.arguments:
            within(
                GRADIENT + argument,
                gradients[argument],
                expected.gradients[argument],
                expected.bounds[argument],
                calls=(backward.call,),
                what=what or backward.described,
            )
    except NonConforming as error:
        error.backward = backward
        raise


def differentiates(gradients: Gradients) -> Agreement:
    """All gradients are right, within what correct ones scatter by: :func:`agrees`, backwards."""
    backward = gradients.backward
    expected = gradient_reference(backward)
    try:
        return _agreement(
            backward.call,
            "gradients",
            {name: gradients[name] for name in backward.arguments},
            expected.gradients,
            expected.rests,
            expected.bounds,
            gradient_ensemble(backward),
            what=backward.described,
        )
    except NonConforming as error:
        error.backward = backward
        raise


def within(
    name: str,
    got: Array,
    expected: Array,
    bound: Array,
    *,
    calls: tuple[Call, ...],
    what: str = "",
    rest: Array | None = None,
    hard: Array | None = None,
) -> None:
    """``|got - expected| <= bound`` elementwise; raises ``NonConforming``.

    NaN, +Inf and -Inf are compared by class. Where the bound is infinite nothing is
    claimed. The element reported is the one furthest off in multiples of its bound.
    ``rest`` is what is missing in ``expected``, being rounded to float64; ``hard`` is the bound
    that holds for any rounding at all, where ``bound`` is narrower.
    """
    error, other_class, off = compared(got, expected, bound, rest)
    if not off.any():
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(other_class, np.inf, np.where(error > 0.0, error / bound, 0.0))
    excess = np.where(off, excess, -1.0)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))
    # A class that differs is not off by a number.
    distance = None if other_class[index] else float(error[index])
    place = locate(calls[-1], name, index)
    message = (
        f"{what + ': ' if what else ''}{name} at {in_words(place)} is {float(got[index]):.9g}, "
        f"not {float(expected[index]):.9g}; "
        + (
            f"off by {distance:.3g} where {float(bound[index]):.3g} is allowed"
            f"{_beyond(distance, index, bound, hard)}; "
            if distance is not None
            else ""
        )
        + f"{int(off.sum())} of {off.size} elements are off{_pattern(calls[-1], name, off)}"
    )
    raise NonConforming(
        message,
        calls=calls,
        array=name,
        index=index,
        expected=float(expected[index]),
        got=float(got[index]),
        error=distance,
        bound=float(bound[index]),
        excerpt=_excerpt(calls[-1], name, got, expected, error, bound, excess),
    )


def compared(
    got: Array, expected: Array, bound: Array | float, rest: Array | None = None
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """The errors of finite elements, where the class is another, and what is off for either.

    As in :func:`within`, of which this is the comparison.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(expected) & np.isfinite(got)
        apart = got - expected if rest is None else (got - expected) - rest
        error = np.where(finite, np.abs(apart), 0.0)
        other_class = ~finite & ~((got == expected) | (np.isnan(got) & np.isnan(expected)))
        off = (other_class | (error > bound)) & ~np.isposinf(bound)
    return error, other_class, off


def _beyond(distance: float, index: tuple[int, ...], bound: Array, hard: Array | None) -> str:
    """What is allowed, where it is less than the worst that rounding can do."""
    if hard is None or not bound[index] < hard[index]:
        return ""
    worst = "more than" if distance > hard[index] else "though no more than"
    return (
        f", by how far correct implementations scatter here ({worst} the {float(hard[index]):.3g} "
        "that rounding at its worst could do)"
    )


def locate(call: Call, name: str, index: tuple[int, ...]) -> dict[str, Any]:
    """An index in words of the field: time, sample, direction, layer and unit."""
    config = call.config
    if name.startswith(GRADIENT):
        return {"array": name, **_locate_argument(call, name.removeprefix(GRADIENT), index)}
    if config.kind.is_cell:
        return {"array": name, "sample": index[1], "unit": index[2]}
    if name == "output":
        time, sample, feature = index
        direction, unit = divmod(feature, config.output_size)
        place = {"array": name, "time": time, "sample": sample}
    else:
        state, sample, unit = index
        layer, direction = divmod(state, config.num_directions)
        place = {"array": name, "layer": layer, "sample": sample}
    if config.bidirectional:
        place["direction"] = ("forward", "reverse")[direction]
    return {**place, "unit": unit}


def _locate_argument(call: Call, argument: str, index: tuple[int, ...]) -> dict[str, Any]:
    """An element of an input, a state or a parameter, whose rows are gates by units."""
    if argument == "input":
        time, sample, feature = index
        time_too = {} if call.config.kind.is_cell else {"time": time}
        return {**time_too, "sample": sample, "feature": feature}
    if argument not in call.parameters:
        name = {"h_0": "h_n", "c_0": "c_n"}[argument]
        return {key: at for key, at in locate(call, name, index).items() if key != "array"}
    gate, unit = divmod(index[0], call.config.hidden_size)
    row = {"gate": call.config.kind.gates[gate]} if len(call.config.kind.gates) > 1 else {}
    if argument.startswith("weight_hr"):
        row = {}
    return {**row, "unit": unit} if len(index) == 1 else {**row, "unit": unit, "column": index[1]}


def in_words(place: dict[str, Any]) -> str:
    """``time 1, sample 0, unit 2``."""
    return ", ".join(f"{key} {value}" for key, value in place.items() if key != "array")


def _excerpt(
    call: Call,
    name: str,
    got: Array,
    expected: Array,
    error: Array,
    bound: Array,
    excess: Array,
    rows: int = 8,
) -> tuple[tuple[Any, ...], ...]:
    """The worst elements: ``(place, expected, got, error, bound)``."""
    worst = np.argsort(-excess, axis=None, kind="stable")[:rows]
    indices = [tuple(int(i) for i in np.unravel_index(flat, excess.shape)) for flat in worst]
    return tuple(
        (
            f"{name}: {in_words(locate(call, name, index))}",
            float(expected[index]),
            float(got[index]),
            float(error[index]),
            float(bound[index]),
        )
        for index in indices
        if excess[index] >= 0.0
    )


def _pattern(call: Call, name: str, off: NDArray[np.bool_]) -> str:
    """Which part of the result is off, if it is a part: a fact about this case alone."""
    if name.startswith(GRADIENT):
        return _pattern_of_argument(call, name.removeprefix(GRADIENT), off)
    if off.all() or call.config.kind.is_cell:
        return ""
    parts: list[str] = []
    size = call.config.output_size if name != "c_n" else call.config.hidden_size
    if name == "output":
        steps = np.flatnonzero(off.any(axis=(1, 2)))
        if len(steps) < call.length:
            parts.append(_some("step", steps, call.length))
        halves = np.flatnonzero(off.reshape(*off.shape[:2], -1, size).any(axis=(0, 1, 3)))
        if call.config.bidirectional and len(halves) == 1:
            parts.append(f"only the {('forward', 'reverse')[halves[0]]} half")
    else:
        states = np.flatnonzero(off.any(axis=(1, 2)))
        if len(states) < call.config.num_states:
            parts.append(_some("state", states, call.config.num_states))
    samples = np.flatnonzero(off.any(axis=(0, 2)))
    if len(samples) < call.batch:
        parts.append(_some("sample", samples, call.batch))
    return f" ({'; '.join(parts)})" if parts else ""


def _pattern_of_argument(call: Call, argument: str, off: NDArray[np.bool_]) -> str:
    """Which gates of a parameter, states or steps, if not all."""
    gates = call.config.kind.gates
    if argument in call.parameters:
        if len(gates) == 1 or argument.startswith("weight_hr"):
            return ""
        which = np.asarray(off.reshape(len(gates), -1).any(axis=1))
        named = ", ".join(gate for gate, some in zip(gates, which, strict=True) if some)
        return "" if which.all() else f" (only gate{'s' * int(which.sum() > 1)} {named})"
    first = np.asarray(off.any(axis=(1, 2)))
    if call.config.kind.is_cell or first.all():
        return ""
    return f" ({_some('step' if argument == 'input' else 'state', first.nonzero()[0], len(first))})"


def _some(what: str, which: Sequence[int] | NDArray[Any], of: int) -> str:
    listed = ", ".join(str(int(i)) for i in which)
    return f"{what}{'s' if len(which) > 1 else ''} {listed} of 0 to {of - 1}"
