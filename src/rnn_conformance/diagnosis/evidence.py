"""What an implementation gave to a probe, beside what is right and what a deviation gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.checking.assertions import Answer, expected_of
from rnn_conformance.checking.comparing import are_close, compare
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.probes import Probe
from rnn_conformance.errors import AdapterError, NonConforming, Unsupported
from rnn_conformance.reference.bounds import forward
from rnn_conformance.reference.formats import KAPPA, Format
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Dtype, Feature
from rnn_conformance.spec.result import Result

Place: TypeAlias = tuple[int, str]
"""An array of a probe: the number of its call, and its name."""


FAR_NEARER = 4
"""Roundings are about as large either way: what is as much nearer is not so by them alone."""


@dataclass(frozen=True, eq=False)
class Given:
    """Arrays by their places, in the layout in which they were given, and their dtypes."""

    arrays: Mapping[Place, Array]
    dtypes: Mapping[Place, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evidence:
    """One probe of one implementation.

    ``given`` is what came back, and ``predict`` what a variant of the oracle gives, or of its
    derivative; ``format`` is the arithmetic; ``exact`` is that of the oracle itself.
    ``tolerances`` are the derived bounds,
    infinite where nothing is claimed. ``off`` are by call and name the elements that are off,
    canonical: ``None`` where the whole array is, being of a wrong shape or dtype. ``raised`` is
    the exception in words, if there was one.
    """

    probe: Probe
    predict: Callable[[type[Any]], Given]
    format: Format
    exact: Given
    tolerances: Mapping[Place, Array]
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
    def telling(self) -> bool:
        """Whether it is further off than a deviation can be told from what is right."""
        return self.given is not None and any(self.off) and not self.near(self.exact)

    def fits(self, variant: type[Any]) -> bool:
        """Whether a variant gives what the implementation gave."""
        try:
            return self.near(self.predict(variant))
        # Two deviations need not go together, and one may not be made for what is asked here.
        except Exception:
            return False

    def fits_at(self, variant: type[Any], places: Mapping[Place, NDArray[np.bool_]]) -> bool:
        """Whether it does in these elements, in the layout in which they were given."""
        try:
            predicted, given = self.predict(variant).arrays, self.given
            return given is not None and all(
                are_close(
                    given.arrays[place][mask],
                    predicted[place][mask],
                    float(np.max(self._allowed(place, given.arrays[place], predicted[place]))),
                )
                for place, mask in places.items()
            )
        # As above.
        except Exception:
            return False

    def nearer(self, variant: type[Any]) -> bool:
        """Whether it is far nearer to what a variant gives than to what is right."""
        try:
            predicted = self.predict(variant)
        # As above.
        except Exception:
            return False
        if self.given is None:
            return False
        shown = [
            (array, predicted.arrays[place], self.exact.arrays[place])
            for place, array in self.given.arrays.items()
            if not np.array_equal(predicted.arrays[place], self.exact.arrays[place])
        ]
        return bool(shown) and all(
            given.shape == other.shape == exact.shape
            and FAR_NEARER * _size(given - other) < _size(given - exact)
            for given, other, exact in shown
        )

    def near(self, other: Given) -> bool:
        """Whether something is what the implementation gave, within the tolerances."""
        return self.given is not None and self.alike(self.given, other)

    def alike(self, first: Given, second: Given) -> bool:
        """Whether two are the same within the tolerances."""
        return all(
            first.dtypes.get(place) == second.dtypes.get(place)
            and are_close(
                array, second.arrays[place], self._allowed(place, array, second.arrays[place])
            )
            for place, array in first.arrays.items()
        )

    def only(self, *names: str) -> Evidence:
        """The same, as far as these results go."""
        if self.given is None:
            return self
        arrays = {place: array for place, array in self.given.arrays.items() if place[1] in names}
        off = tuple(
            {name: mask for name, mask in masks.items() if name in names} for masks in self.off
        )
        return replace(self, given=replace(self.given, arrays=arrays), off=off)

    @property
    def _rounding(self) -> float:
        """The relative error of one step: a sum of products and an activation.

        Of a gradient it is that of the state, of its slope, of their product with what comes from
        above, and of the sum over steps and samples.
        """
        fmt, config = self.format, self.probe.calls[0].config
        widest = max(map(config.layer_input_size, range(config.num_layers)))
        step = fmt.gamma(widest + config.output_size + 2) + KAPPA * fmt.u_s
        return step if self.probe.backward is None else 4 * step

    def _allowed(self, place: Place, first: Array, second: Array) -> Array | float:
        """The bound, which grows with the magnitudes; only one number for another shape.

        It is the bound of the right computation. A wrong one has other roundings in other
        places, of terms that are as large as its results; one of them at least.
        """
        bound = self.tolerances[place]
        claimed = bound[np.isfinite(bound)]
        if not claimed.size:
            return np.inf if bound.size else 0.0
        size = _size(second)
        growth = max(1.0, size / (_size(self.exact.arrays[place]) or 1.0))
        most = max(float(claimed.max()) * growth, self._rounding * size)
        if not first.shape == second.shape == bound.shape:
            return most
        return np.where(np.isfinite(bound), most, np.inf)


def _size(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))


def ask(subject: Subject, probe: Probe) -> Evidence | None:
    """The evidence of a probe; ``None`` where the implementation does not answer it."""
    asked = [probe.backward] if probe.backward is not None else list(probe.calls)
    expected = [subject.expected(one) for one in asked]
    values, tolerances = dict[Place, Array](), dict[Place, Array]()
    for number, due in enumerate(expected):
        give = _layout(probe, number)
        for name in due.names:
            values[number, name] = give(name, due[name])
            tolerances[number, name] = give(name, due.bounds[name])
    dtypes = {} if probe.backward is not None else _dtypes_of(probe)
    exact = Given(values, dtypes)
    predict, fmt = _predicting(probe), expected[0].problem.format
    answers: list[Answer]
    try:
        if probe.backward is not None:
            answers = [subject.pullback(probe.calls[0])(probe.backward)]
        else:
            layer = subject.build(probe.calls[0])
            answers = [layer(call) for call in probe.calls]
        given = _given(answers)
        off = tuple(_off(answer) for answer in answers)
    except (AdapterError, Unsupported):
        return None
    except NonConforming as error:
        return Evidence(probe, predict, fmt, exact, tolerances, raised=error.message)
    return Evidence(probe, predict, fmt, exact, tolerances, given, off)


def _layout(probe: Probe, number: int) -> Callable[[str, Array], Array]:
    """Results are compared as they were given, gradients canonical."""
    if probe.backward is not None:
        return lambda name, array: array
    return probe.calls[number].give


def _dtypes_of(probe: Probe) -> dict[Place, str]:
    return {
        (number, name): call.dtype.value
        for number, call in enumerate(probe.calls)
        for name in call.results
    }


def _predicting(probe: Probe) -> Callable[[type[Any]], Given]:
    """What a variant of the oracle gives to a probe, or of its derivative."""
    return partial(_results if probe.backward is None else _gradients, probe)


# The probes are the same for all that declare the same, and so is what a variant gives to them.
@lru_cache(maxsize=2**13)
def _gradients(probe: Probe, variant: type[Any]) -> Given:
    backward = probe.backward
    assert backward is not None
    call = backward.call
    with np.errstate(all="ignore"):
        answer = forward(Problem(call)).answer
        arrays = variant().derivative(backward, answer).gradients
    return Given({(0, name): rounded(arrays[name], call.dtype) for name in backward.arguments})


@lru_cache(maxsize=2**13)
def _results(probe: Probe, variant: type[Any]) -> Given:
    layer = variant()
    arrays, dtypes = dict[Place, Array](), dict[Place, str]()
    for number, call in enumerate(probe.calls):
        handed_over = layer.dtypes(call)
        with np.errstate(all="ignore"):
            for name, array in layer.results(call).items():
                arrays[number, name] = rounded(array, Dtype(handed_over[name]))
        dtypes |= {(number, name): dtype for name, dtype in handed_over.items()}
    return Given(arrays, dtypes)


def _given(answers: list[Answer]) -> Given:
    """Results as they came; gradients canonical, so that their shapes are checked here."""
    arrays, dtypes = dict[Place, Array](), dict[Place, str]()
    for number, answer in enumerate(answers):
        if isinstance(answer, Result):
            arrays |= {(number, name): array for name, array in answer.given.items()}
            dtypes |= {(number, name): dtype for name, dtype in answer.dtypes.items()}
        else:
            arrays |= {(number, name): answer[name] for name in answer.names}
    return Given(arrays, dtypes)


def _off(answer: Answer) -> dict[str, NDArray[np.bool_] | None]:
    """What is off in an answer, by name: only what is."""
    masks, due = dict[str, NDArray[np.bool_] | None](), expected_of(answer)
    for name in answer.names:
        if isinstance(answer, Result) and (
            answer.given[name].shape != answer.call.given_shape(name)
            or answer.dtypes[name] != answer.call.dtype.value
        ):
            masks[name] = None
            continue
        off = compare(answer[name], due[name], due.bounds[name]).off
        if off.any():
            masks[name] = off
    return masks
