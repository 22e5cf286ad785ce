"""What can be said of a defect that is not known: where it shows, and what makes it go away.

Where: the part of the results outside which nothing is off, in all that was asked. What makes
it go away: one switch of a failing case at a time, asked again; a switch counts if it mends
every case that has it (metamorphic bisection). Each statement says in how many cases it was
seen, and none says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.diagnosis.evidence import Evidence
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Dtype

Mask = NDArray[np.bool_]
Ask = Callable[[Case], Evidence | None]
"""Asks an implementation for one more case; ``None`` where it does not answer."""

SWITCHED = 6
"""Failing cases of which each switch is tried."""


@dataclass(frozen=True)
class Switch:
    """One change to a case; ``words`` complete "it goes away with …"."""

    words: str
    applies: Callable[[Case], bool]
    change: Callable[[Case], Case]


def _argument(name: str, value: object, **others: object) -> Switch:
    """The constructor's argument of this name set to this value, and others to theirs."""
    changes: dict[str, Any] = {name: value, **others}
    return Switch(
        f"{name}={value!r}",
        lambda case: getattr(case.config, name) != value,
        lambda case: replace(case, config=replace(case.config, **changes)),
    )


def _drawn(words: str, applies: Callable[[Case], bool], **changes: Any) -> Switch:
    """What is drawn of these names changed to these values."""
    return Switch(words, applies, lambda case: replace(case, **changes))


LARGE = (Values.SATURATED, Values.MIXED, Values.STRONG)

SWITCHES = (
    _argument("bidirectional", False),
    _argument("num_layers", 1, dropout=0.0),
    _argument("batch_first", False),
    _argument("proj_size", 0),
    _argument("dropout", 0.0),
    _argument("nonlinearity", "tanh"),
    _argument("bias", False),
    _argument("bias", True),
    _drawn("no packed sequence", lambda case: case.lengths is not None, lengths=None),
    _drawn("no initial state", lambda case: case.state is not State.OMITTED, state=State.OMITTED),
    _drawn("an initial state", lambda case: case.state is State.OMITTED, state=State.GIVEN),
    _drawn("batched input", lambda case: case.batch is None, batch=1),
    _drawn("one sample", lambda case: (case.batch or 0) > 1 and not case.lengths, batch=1),
    _drawn("one step", lambda case: case.length > 1 and not case.lengths, length=1),
    _drawn("float64", lambda case: case.dtype is not Dtype.FLOAT64, dtype=Dtype.FLOAT64),
    _drawn("values of moderate size", lambda case: case.values in LARGE, values=Values.TYPICAL),
)


def bisected(
    failing: Sequence[Evidence], ask: Ask, declared: Callable[[Case], bool]
) -> Iterator[str]:
    """Which single switches make the failure go away, in every case that has them."""
    # The largest have most to switch off.
    cases = [
        evidence.probe.case for evidence in reversed(failing) if evidence.probe.case is not None
    ]
    for switch in SWITCHES:
        changed = [switch.change(case) for case in cases if switch.applies(case)]
        tried = [case for case in changed if declared(case)][:SWITCHED]
        asked = (ask(case) for case in tried)
        if tried and all(answer is not None and not answer.wrong for answer in asked):
            yield f"it goes away with {switch.words} ({len(tried)} of {len(tried)} cases)"


def repeated(failing: Sequence[Evidence], twice: Ask) -> Iterator[str]:
    """How many of the failing calls give something else when they are made once more.

    ``twice`` calls one layer two times.
    """
    cases = [evidence.probe.case for evidence in failing if evidence.probe.case is not None][
        :SWITCHED
    ]
    asked = [answer.given.arrays for answer in map(twice, cases) if answer and answer.given]
    states = [(arrays[0, "h_n"], arrays[1, "h_n"]) for arrays in asked]
    other = sum(not np.array_equal(*pair, equal_nan=True) for pair in states)
    if other:
        yield f"the same call gives something else each time ({other} of {len(asked)} cases)"


@dataclass(frozen=True)
class Region:
    """A part of the results: ``inside`` is the mask of one result, canonical, of a call."""

    words: str
    inside: Callable[[Call, str], Mask]


def _of_direction(which: int) -> Callable[[Call, str], Mask]:
    def inside(call: Call, name: str) -> Mask:
        config = call.config
        mask = np.zeros(call.shape(name), dtype=bool)
        if not config.bidirectional:
            # In one direction there is nothing of the reverse one, and all is of the forward.
            mask[...] = which == 0
        elif name == "output":
            mask[..., which * config.output_size : (which + 1) * config.output_size] = True
        else:
            mask[which::2] = True
        return mask

    return inside


def _above(call: Call, name: str) -> Mask:
    config = call.config
    mask = np.zeros(call.shape(name), dtype=bool)
    if name == "output":
        mask[...] = config.num_layers > 1
    else:
        mask[config.num_directions :] = True
    return mask


def _of_result(*names: str) -> Callable[[Call, str], Mask]:
    return lambda call, name: np.full(call.shape(name), name in names)


def _samples(where: Callable[[Call], Mask]) -> Callable[[Call, str], Mask]:
    return lambda call, name: np.broadcast_to(where(call)[None, :, None], call.shape(name))


def _short(call: Call) -> Mask:
    return np.array([not steps.all() for steps in call.steps.T], dtype=bool)


def _from_padding_on(call: Call, name: str) -> Mask:
    """From the first step on that is padding of some sequence, and the final states."""
    padded = ~call.steps.all(axis=1)
    mask = np.full(call.shape(name), padded.any())
    if name == "output":
        mask[~padded] = False
    return mask


REGIONS = (
    Region("the reverse direction", _of_direction(1)),
    Region("the forward direction", _of_direction(0)),
    Region("layers above the first", _above),
    Region("output, not the final states", _of_result("output")),
    Region("h_n", _of_result("h_n")),
    Region("c_n", _of_result("c_n")),
    Region("the final states, not output", _of_result("h_n", "c_n")),
    Region("sequences shorter than the longest", _samples(_short)),
    Region("what comes after the first padded step", _from_padding_on),
    Region("samples after the first", _samples(lambda call: np.arange(call.batch) > 0)),
)


def located(failing: Sequence[Evidence]) -> list[str]:
    """The regions of the results outside which nothing is off, narrower than everything."""
    every = f"({len(failing)} of {len(failing)} cases)"
    statements = [
        f"off: only {region.words} {every}" for region in REGIONS if _holds(region, failing)
    ]
    if first := min(_first_steps(failing), default=0):
        statements.append(f"off: no output before step {first} {every}")
    return statements


def _first_steps(failing: Sequence[Evidence]) -> Iterator[int]:
    """The first step whose output is off; 0 where none is, or all is."""
    for evidence in failing:
        for off in evidence.off:
            mask = off.get("output")
            yield 0 if mask is None else int(np.argmax(mask.any(axis=(1, 2))))


def _holds(region: Region, failing: Sequence[Evidence]) -> bool:
    narrower = 0
    for evidence in failing:
        outside = False
        for call, off in zip(evidence.probe.calls, evidence.off, strict=True):
            for name in call.results:
                inside = region.inside(call, name)
                outside |= not inside.all()
                if name in off:
                    mask = off[name]
                    if mask is None or (mask & ~inside).any():
                        return False
        narrower += outside
    return narrower > 0


def arguments(failing: Sequence[Evidence]) -> list[str]:
    """Of which arguments the gradients are off, if not of all: by their names without places."""
    off = {
        _without_place(evidence, name)
        for evidence in failing
        for masks in evidence.off
        for name in masks
    }
    every = {
        _without_place(evidence, name) for evidence in failing for _, name in evidence.exact.arrays
    }
    if off == every or not off:
        return []
    named = " and ".join(sorted(off))
    return [f"off: only the gradient of {named} ({len(failing)} of {len(failing)} cases)"]


def _without_place(evidence: Evidence, name: str) -> str:
    """A parameter's role; another argument's name."""
    parameter = evidence.probe.calls[0].config.parameters.get(name)
    return name if parameter is None else parameter.role.value


def raised(failing: Sequence[Evidence]) -> Iterator[str]:
    """How often an exception came instead of an answer."""
    count = sum(bool(evidence.raised) for evidence in failing)
    if count:
        first = next(evidence.raised for evidence in failing if evidence.raised)
        yield f"an exception in {count} of {len(failing)} failing cases ({first})"
