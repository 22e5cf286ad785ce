"""Where something is off, in words of the field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.backward import gradient_of
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Role


def locate(
    call: Call, name: str, index: tuple[int, ...], *, gradient: bool = False
) -> dict[str, Any]:
    """An index in words of the field: time, sample, direction, layer and unit.

    ``name`` is that of a result, or of the argument whose ``gradient`` it is.
    """
    config = call.config
    if gradient:
        return {"array": gradient_of(name), **_locate_argument(call, name, index)}
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
    gates = call.config.kind.gates
    has_gates = len(gates) > 1 and call.config.parameters[argument].role is not Role.WEIGHT_HR
    row = {"gate": gates[gate]} if has_gates else {}
    return {**row, "unit": unit} if len(index) == 1 else {**row, "unit": unit, "column": index[1]}


def axes(call: Call, name: str, dimensions: int, *, gradient: bool = False) -> tuple[str, ...]:
    """What each axis of a result is of, or of the argument whose ``gradient`` it is."""
    if gradient and name in call.parameters:
        return ("row", "column")[:dimensions]
    if gradient and name == "input":
        return ("time", "sample", "feature")
    return ("time" if name == "output" else "state", "sample", "unit")


def in_words(place: dict[str, Any]) -> str:
    """``time 1, sample 0, unit 2``."""
    return ", ".join(f"{key} {value}" for key, value in place.items() if key != "array")


def pattern(call: Call, name: str, off: NDArray[np.bool_], *, gradient: bool = False) -> str:
    """Which part of the result is off, if it is a part: a fact about this case alone."""
    if gradient:
        return _pattern_of_argument(call, name, off)
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
        if len(gates) == 1 or call.config.parameters[argument].role is Role.WEIGHT_HR:
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
