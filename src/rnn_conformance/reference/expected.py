"""What is expected of a call, or of a backward pass: one object for either.

It tells the values by name, the hard bound on each element's error, what float64 numbers
leave of the values, and how far correct implementations scatter; each is computed when it is
first asked for, and once. Its arrays cannot be written to, since everybody shares them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np

from rnn_conformance.reference.bounds import assembled, forward
from rnn_conformance.reference.ensemble import Ensemble, ensemble, nothing, run
from rnn_conformance.reference.extended import WIDE, ExtendedAdjoint, extended, split, widest
from rnn_conformance.reference.gradient_bounds import derivative, gradient_bounds
from rnn_conformance.reference.gradient_ensemble import gradient_ensemble
from rnn_conformance.reference.oracle import Masks
from rnn_conformance.reference.problem import Problem
from rnn_conformance.spec.arrays import Array, frozen
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Storage


class Expected(ABC):
    """What must come back, canonical, by the names of results or of arguments.

    ``problem`` is the call, with what the reference has to know of it.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of what there are values."""

    @property
    @abstractmethod
    def values(self) -> Mapping[str, Array]:
        """The right values, the nearest in float64."""

    @property
    @abstractmethod
    def low_order(self) -> Mapping[str, Array]:
        """What the float64 values leave of the right ones.

        Nothing, but for a call that is computed in float64 itself. The bounds allow for it.
        """

    @property
    @abstractmethod
    def bounds(self) -> Mapping[str, Array]:
        """The hard bound ``E`` on each element's error; infinite where nothing is claimed."""

    @property
    @abstractmethod
    def scatter(self) -> Ensemble:
        """How far correct implementations scatter, the root mean square ``S`` of each element."""

    def __getitem__(self, name: str) -> Array:
        return self.values[name]


class _Computed(Expected):
    """What is computed from the equations."""

    @property
    def values(self) -> Mapping[str, Array]:
        """See :attr:`Expected.values`."""
        return self._halves[0]

    @property
    def low_order(self) -> Mapping[str, Array]:
        """See :attr:`Expected.low_order`."""
        return self._halves[1]

    @cached_property
    def bounds(self) -> Mapping[str, Array]:
        """See :attr:`Expected.bounds`; they contain the reference's own error."""
        factor = self.problem.format.own_error(WIDE if self.low_order else 2.0**-53)
        # Where nothing is claimed the bound is infinite, or not a number on the way there.
        with np.errstate(all="ignore"):
            bounds = self._bounds()
        return _kept(
            {
                name: factor * bounds[name] + np.abs(self.low_order.get(name, 0.0))
                for name in self.names
            }
        )

    @cached_property
    def scatter(self) -> Ensemble:
        """See :attr:`Expected.scatter`."""
        return self._scatter()

    @cached_property
    def _halves(self) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        with np.errstate(all="ignore"):
            wide = self._wide()
            if wide is None:
                exact = self._exact()
                return _kept({name: exact[name] for name in self.names}), MappingProxyType({})
            halves = {name: split(wide[name]) for name in self.names}
        return (
            _kept({name: nearest for name, (nearest, _) in halves.items()}),
            _kept({name: rest for name, (_, rest) in halves.items()}),
        )

    @abstractmethod
    def _exact(self) -> Mapping[str, Array]:
        """The values in float64."""

    @abstractmethod
    def _wide(self) -> Mapping[str, Array] | None:
        """The values in more digits, where float64 itself is what is judged."""

    @abstractmethod
    def _bounds(self) -> Mapping[str, Array]:
        """The bounds, but for the reference's own error."""

    @abstractmethod
    def _scatter(self) -> Ensemble:
        """The scatter."""


def _kept(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    return MappingProxyType({name: frozen(array) for name, array in arrays.items()})


class ExpectedResults(_Computed):
    """What a call must give. The padding of a packed sequence is exempt: it belongs to none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The call's results."""
        return self.problem.call.results

    def _exact(self) -> Mapping[str, Array]:
        answer = forward(self.problem).answer
        return {name: getattr(answer, name) for name in self.names}

    def _wide(self) -> Mapping[str, Array] | None:
        wide = extended(self.problem)
        return None if wide is None else {name: getattr(wide, name) for name in self.names}

    def _bounds(self) -> Mapping[str, Array]:
        call, bounds = self.problem.call, assembled(self.problem, forward(self.problem))
        if call.lengths is not None:
            bounds["output"] = np.where(call.steps[:, :, None], bounds["output"], np.inf)
        return bounds

    def _scatter(self) -> Ensemble:
        return ensemble(self.problem)


class ExpectedGradients(_Computed):
    """What a backward pass must give.

    What is in doubt at relu's kink needs no addition to the bound for the reference's own
    error: both slopes are 0 or 1, so they differ by 1.
    """

    def __init__(self, backward: Backward, problem: Problem) -> None:
        super().__init__(problem)
        self.backward = backward

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments that have a gradient."""
        return self.backward.arguments

    def _exact(self) -> Mapping[str, Array]:
        return derivative(self.backward, self.problem).gradients

    def _wide(self) -> Mapping[str, Array] | None:
        wide = extended(self.problem)
        if wide is None:
            return None
        adjoint = ExtendedAdjoint(widest(), self.problem.masks)
        return adjoint.derivative(self.backward, wide).gradients

    def _bounds(self) -> Mapping[str, Array]:
        return gradient_bounds(self.backward, self.problem)

    def _scatter(self) -> Ensemble:
        return gradient_ensemble(self.backward, self.problem)


@lru_cache(maxsize=1024)
def _results(
    call: Call, masks: Masks | None, tf32: bool, weights: Storage | None
) -> ExpectedResults:
    return ExpectedResults(Problem(call, masks, tf32, weights))


@lru_cache(maxsize=256)
def _gradients(backward: Backward, masks: Masks | None, tf32: bool) -> ExpectedGradients:
    return ExpectedGradients(backward, Problem(backward.call, masks, tf32))


def expected(
    asked: Call | Backward,
    masks: Masks | None = None,
    *,
    tf32: bool = False,
    weights: Storage | None = None,
) -> Expected:
    """What is expected of a call or of a backward pass; kept, since many checks ask for it.

    ``masks`` are what dropout drew in the call, ``tf32`` says that float32 numbers are
    multiplied in TF32, ``weights`` in what the weights are kept. Of the gradients of weights
    that are kept in fewer digits there is no bound: ``ValueError`` is raised.
    """
    if weights is not None and isinstance(asked, Backward):
        raise ValueError("there is no bound on gradients where weights are kept in fewer digits")
    if isinstance(asked, Backward):
        return _gradients(asked, masks, tf32)
    return _results(asked, masks, tf32, weights)


def forget() -> None:
    """Let go of all that is kept: for whoever asked for what is too large to be."""
    for kept in (
        _results,
        _gradients,
        forward,
        derivative,
        extended,
        run,
        ensemble,
        gradient_ensemble,
        drawn,
    ):
        kept.cache_clear()


class Sum(Expected):
    """What two backward passes add up to, in the arguments that they share.

    The sum is rounded, of terms no greater than the magnitudes. Of its scatter nothing is
    claimed.
    """

    def __init__(self, first: Expected, second: Expected) -> None:
        super().__init__(first.problem)
        self.first, self.second = first, second

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments that both have."""
        return tuple(name for name in self.first.names if name in self.second.names)

    @cached_property
    def values(self) -> Mapping[str, Array]:
        """See :attr:`Expected.values`."""
        return _kept({name: self.first[name] + self.second[name] for name in self.names})

    @property
    def low_order(self) -> Mapping[str, Array]:
        """None: the bounds are those of both, which allow for theirs."""
        return {}

    @cached_property
    def bounds(self) -> Mapping[str, Array]:
        """Those of both, and the rounding of the sum."""
        u_s, first, second = self.problem.format.u_s, self.first, self.second
        bounds = {}
        for name in self.names:
            bound = first.bounds[name] + second.bounds[name]
            terms = np.abs(first[name]) + np.abs(second[name])
            bounds[name] = bound + 2.0 * u_s * (terms + bound)
        return _kept(bounds)

    @property
    def scatter(self) -> Ensemble:
        """See :attr:`Expected.scatter`."""
        return nothing({name: array.shape for name, array in self.values.items()})
