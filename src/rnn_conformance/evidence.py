"""What an implementation gave to a probe, beside what is right and what a deviation gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.bounds import KAPPA, Format, forward, reference
from rnn_conformance.calls import Array, Call, Result
from rnn_conformance.cases import rounded
from rnn_conformance.checks import compared
from rnn_conformance.errors import AdapterError, NonConforming, Unsupported
from rnn_conformance.gradient_bounds import gradient_reference
from rnn_conformance.gradients import Backward
from rnn_conformance.probes import Probe
from rnn_conformance.spec import Dtype, Feature
from rnn_conformance.subject import Subject

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Given:
    """Arrays by name, in the layout in which they were given, and their dtypes by name."""

    arrays: Mapping[str, Array]
    dtypes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evidence:
    """One probe of one implementation.

    ``given`` is what came back, and ``predict`` what a variant of the oracle gives, or of its
    derivative; ``right`` is that of the oracle itself. The names of a probe's second call end
    in its number. ``tolerances`` by name are the derived bounds, infinite where nothing is
    claimed. ``off`` are by call and name the elements that are off, canonical: ``None`` where
    the whole array is, being of a wrong shape or dtype. ``raised`` is the exception in words,
    if there was one.
    """

    probe: Probe
    predict: Callable[[type[Any]], Given]
    right: Given
    tolerances: Mapping[str, Array]
    given: Given | None = None
    off: tuple[Mapping[str, NDArray[np.bool_] | None], ...] = ()
    raised: str = ""

    @property
    def features(self) -> frozenset[Feature]:
        """The features of its calls."""
        return frozenset[Feature]().union(*(call.features for call in self.probe.calls))

    @property
    def wrong(self) -> bool:
        """Whether something was not right."""
        return bool(self.raised) or any(self.off)

    @cached_property
    def told(self) -> bool:
        """Whether it is further off than a deviation can be told from what is right."""
        return self.given is not None and any(self.off) and not self.near(self.right)

    def fits(self, variant: type[Any]) -> bool:
        """Whether a variant gives what the implementation gave."""
        try:
            return self.near(self.predict(variant))
        # Two deviations need not go together, and one may not be made for what is asked here.
        except Exception:
            return False

    def near(self, other: Given) -> bool:
        """Whether something is what the implementation gave, within the tolerances."""
        return self.given is not None and self.alike(self.given, other)

    def alike(self, first: Given, second: Given) -> bool:
        """Whether two are the same within the tolerances."""
        return all(
            first.dtypes.get(name) == second.dtypes.get(name)
            and close(array, second.arrays[name], self._allowed(name, array, second.arrays[name]))
            for name, array in first.arrays.items()
        )

    def only(self, *names: str) -> Evidence:
        """The same, as far as these results go."""
        if self.given is None:
            return self
        arrays = {name: a for name, a in self.given.arrays.items() if name.rstrip("1") in names}
        off = tuple({name: m for name, m in each.items() if name in names} for each in self.off)
        return replace(self, given=replace(self.given, arrays=arrays), off=off)

    def _allowed(self, name: str, first: Array, second: Array) -> Array | float:
        """The bound, which grows with the magnitudes; only one number for another shape.

        It is the bound of the right computation. A wrong one has other roundings in other
        places, of terms that are as large as its results; one of them at least.
        """
        bound = self.tolerances[name]
        claimed = bound[np.isfinite(bound)]
        if not claimed.size:
            return np.inf if bound.size else 0.0
        size = _size(second)
        growth = max(1.0, size / (_size(self.right.arrays[name]) or 1.0))
        most = max(float(claimed.max()) * growth, rounding(self.probe.calls[0]) * size)
        if not first.shape == second.shape == bound.shape:
            return most
        return np.where(np.isfinite(bound), most, np.inf)


def rounding(call: Call) -> float:
    """The relative error of one step: a sum of products and an activation."""
    fmt, config = Format.of(call), call.config
    widest = max(map(config.layer_input_size, range(config.num_layers)))
    return fmt.gamma(widest + config.output_size + 2) + KAPPA * fmt.u_s


def _size(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def close(first: Array, second: Array, allowed: Array | float) -> bool:
    """Whether two arrays have one shape and are no further apart; NaN and infinities by class."""
    return first.shape == second.shape and not _beyond(first, second, allowed).any()


def _beyond(got: Array, expected: Array, bound: Array | float) -> NDArray[np.bool_]:
    _, _, off = compared(got, expected, bound)
    return off


def answered(subject: Subject, probe: Probe) -> Evidence | None:
    """The evidence of a probe's calls; ``None`` where the implementation does not answer it."""
    tolerances = dict[str, Array]()
    for number, call in enumerate(probe.calls):
        bounds = {name: call.give(name, reference(call).bound(name)) for name in call.results}
        tolerances |= numbered(number, bounds)

    def predict(variant: type[Any]) -> Given:
        layer = variant()
        arrays, dtypes = dict[str, Array](), dict[str, str]()
        for number, call in enumerate(probe.calls):
            own = layer.dtypes(call)
            with np.errstate(all="ignore"):
                found = {
                    name: rounded(array, Dtype(own[name]))
                    for name, array in layer.results(call).items()
                }
            arrays |= numbered(number, found)
            dtypes |= numbered(number, own)
        return Given(arrays, dtypes)

    right = _right(probe)
    try:
        layer = subject.build(probe.calls[0])
        results = [layer(call) for call in probe.calls]
    except (AdapterError, Unsupported):
        return None
    except NonConforming as error:
        return Evidence(probe, predict, right, tolerances, raised=error.message)
    given = Given(
        {f"{name}{n or ''}": a for n, each in enumerate(results) for name, a in each.given.items()},
        {
            f"{name}{n or ''}": d
            for n, each in enumerate(results)
            for name, d in each.dtypes.items()
        },
    )
    return Evidence(probe, predict, right, tolerances, given, tuple(map(_off, results)))


def numbered(number: int, values: Mapping[str, T]) -> dict[str, T]:
    """What belongs to a probe's first call by its names, and to a later one with its number."""
    return {f"{name}{number or ''}": value for name, value in values.items()}


def _right(probe: Probe) -> Given:
    arrays, dtypes = dict[str, Array](), dict[str, str]()
    for number, call in enumerate(probe.calls):
        found = {name: call.give(name, reference(call)[name]) for name in call.results}
        arrays |= numbered(number, found)
        dtypes |= numbered(number, dict.fromkeys(call.results, call.dtype.value))
    return Given(arrays, dtypes)


def _off(result: Result) -> dict[str, NDArray[np.bool_] | None]:
    """What is off in a result, by name: only what is."""
    call, found = result.call, dict[str, NDArray[np.bool_] | None]()
    expected = reference(call)
    for name in call.results:
        if result.given[name].shape != call.given_shape(name) or (
            result.dtypes[name] != call.dtype.value
        ):
            found[name] = None
            continue
        off = _beyond(result[name], expected[name], expected.bound(name))
        if off.any():
            found[name] = off
    return found


def differentiated(subject: Subject, probe: Probe, backward: Backward) -> Evidence | None:
    """The evidence of a backward pass; ``None`` where the implementation has none."""
    call, expected = backward.call, gradient_reference(backward)

    def predict(variant: type[Any]) -> Given:
        with np.errstate(all="ignore"):
            found = variant().derivative(backward, forward(call).answer).gradients
        return Given({name: rounded(found[name], call.dtype) for name in backward.arguments})

    right = Given(expected.gradients)
    try:
        gradients = subject.pullback(call)(backward)
        given = {name: gradients[name] for name in backward.arguments}
    except (AdapterError, Unsupported):
        return None
    except NonConforming as error:
        return Evidence(probe, predict, right, expected.bounds, raised=error.message)
    off = {
        name: _beyond(array, expected.gradients[name], expected.bounds[name])
        for name, array in given.items()
    }
    return Evidence(
        probe,
        predict,
        right,
        expected.bounds,
        Given(given),
        ({name: some for name, some in off.items() if some.any()},),
    )
