"""Where a deviation holds: in one direction, some layers, steps or samples, or in some calls alone.

Site, alternative and scope compose: ``scoped`` makes of any deviation and any scope a variant of
the oracle that deviates there and is right everywhere else, since each method of the oracle is one
decision, taken for one layer and direction, and a step for one step and sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.reference.derivatives import Adjoint, Derivative
from rnn_conformance.reference.oracle import Answer, Oracle, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Dtype, Feature

Mask = NDArray[np.bool_]

HANDING_OVER = ("present", "results", "dtypes")
"""What a deviation does to a call's results as a whole, whatever computed them."""

WHOLE_LAYER = ("direction", "scan", "recur")
"""What it does to all steps of a direction at once."""


@dataclass(frozen=True, eq=False)
class Scope:
    """A part of what is computed; what is ``None`` does not narrow it.

    ``words`` follow a deviation's name. ``calls`` is asked with a call and its number for its
    layer, counted from 1; ``layers`` with a layer and how many there are; ``steps`` with the
    number of each own step of each sequence in the direction's order of time, and how many there
    are, ``(L, N)`` and ``(N,)``; ``samples`` with the batch size. ``direction`` is 0 or 1.
    """

    words: str
    calls: Callable[[Call, int], bool] | None = None
    layers: Callable[[int, int], bool] | None = None
    direction: int | None = None
    steps: Callable[[NDArray[np.int_], NDArray[np.int_]], Mask] | None = None
    samples: Callable[[int], Mask] | None = None

    @property
    def of_calls_alone(self) -> bool:
        """Whether a call is in it as a whole, or not at all."""
        return (
            self.layers is None
            and self.direction is None
            and self.steps is None
            and self.samples is None
        )

    def at(self, call: Call, layer: int, direction: int) -> bool:
        """Whether a layer and direction are in it, for some steps and samples at least."""
        return (self.direction is None or self.direction == direction) and (
            self.layers is None or self.layers(layer, call.config.num_layers)
        )

    def inside(self, call: Call, layer: int, direction: int) -> Mask:
        """Which steps and samples ``(L, N)`` are in it, in the direction's own order of time."""
        own = call.steps[::-1] if direction else call.steps
        mask = np.full(own.shape, self.at(call, layer, direction))
        if self.steps is not None:
            mask &= self.steps(np.cumsum(own, axis=0) - 1, own.sum(axis=0))
        if self.samples is not None:
            mask &= self.samples(own.shape[1])
        return mask

    def covers(self, call: Call, number: int) -> tuple[bool, bool]:
        """Whether a call is in it, in part at least, and as a whole."""
        if self.calls is not None and not self.calls(call, number):
            return False, False
        masks = [
            self.inside(call, layer, direction)
            for layer in range(call.config.num_layers)
            for direction in range(call.config.num_directions)
        ]
        return any(mask.any() for mask in masks), all(mask.all() for mask in masks)

    def as_everywhere(self, call: Call) -> dict[str, Mask]:
        """By result, canonical, what is as if the deviation were not confined; empty if unknown.

        Samples do not meet; nor do the directions of a single layer; and on the first layer no
        other acts.
        """
        parts = (self.calls, self.layers, self.direction, self.steps, self.samples)
        if sum(part is not None for part in parts) != 1:
            return {}
        masks = {name: np.zeros(call.shape(name), dtype=bool) for name in call.results}
        config = call.config
        for name, mask in masks.items():
            if self.samples is not None:
                mask[:, self.samples(call.batch)] = True
            elif self.direction is not None and config.num_layers == 1:
                if name == "output":
                    half = config.output_size
                    mask[..., self.direction * half : (self.direction + 1) * half] = True
                else:
                    mask[self.direction] = True
            elif self.layers is not None and self.layers(0, config.num_layers):
                if name != "output":
                    mask[: config.num_directions] = True
            else:
                return {}
        return masks

    def __and__(self, other: Scope) -> Scope:
        """What is in both; raises ``TypeError`` if both narrow the same."""
        ours = {name: value for name, value in vars(self).items() if value is not None}
        theirs = {name: value for name, value in vars(other).items() if value is not None}
        if (ours.keys() & theirs.keys()) != {"words"}:
            raise TypeError(f"{self.words} and {other.words} narrow the same")
        return Scope(**{**theirs, **ours, "words": f"{self.words} {other.words}"})


def _feature(words: str, feature: Feature, *, having: bool = True) -> Scope:
    return Scope(words, calls=lambda call, number: (feature in call.features) is having)


def _dtype(dtype: Dtype) -> Scope:
    return Scope(f"in {dtype} alone", calls=lambda call, number: call.dtype is dtype)


IN_CALLS = (
    Scope("from the second call on", calls=lambda call, number: number > 1),
    Scope("in the first call alone", calls=lambda call, number: number == 1),
    *(
        _feature(f"in calls with{'' if having else 'out'} {words} alone", feature, having=having)
        for feature, words in {
            Feature.PACKED: "packed sequences",
            Feature.INITIAL_STATE: "an initial state",
            Feature.BIDIRECTIONAL: "a reverse direction",
            Feature.MULTI_LAYER: "a second layer",
            Feature.BATCH_FIRST: "batch_first",
            Feature.UNBATCHED: "an unbatched input",
            Feature.BIAS_FREE: "bias=False",
            Feature.PROJECTION: "a projection",
            Feature.RELU: "relu",
        }.items()
        for having in (True, False)
    ),
    _dtype(Dtype.FLOAT32),
    _dtype(Dtype.FLOAT64),
    Scope(
        "in half precision alone",
        calls=lambda call, number: call.dtype in (Dtype.FLOAT16, Dtype.BFLOAT16),
    ),
    Scope("in calls of one step alone", calls=lambda call, number: call.length == 1),
    Scope("in calls of several steps alone", calls=lambda call, number: call.length > 1),
    Scope("in calls of one sample alone", calls=lambda call, number: call.batch == 1),
    Scope("in calls of several samples alone", calls=lambda call, number: call.batch > 1),
    Scope(
        "in calls of an odd number of samples alone", calls=lambda call, number: call.batch % 2 == 1
    ),
    Scope(
        "in calls of an even number of samples alone",
        calls=lambda call, number: call.batch % 2 == 0,
    ),
    Scope(
        "in calls of an odd number of units alone",
        calls=lambda call, number: call.config.hidden_size % 2 == 1,
    ),
    _feature("in calls with sequences that are not sorted by length alone", Feature.UNSORTED),
)
"""Scopes of whole calls."""

IN_DIRECTIONS = (
    Scope("in the reverse direction alone", direction=1),
    Scope("in the forward direction alone", direction=0),
)

IN_LAYERS = (
    Scope("in layers above the first alone", layers=lambda layer, layers: layer > 0),
    Scope("in the first layer alone", layers=lambda layer, layers: layer == 0),
    Scope("in the last layer alone", layers=lambda layer, layers: layer == layers - 1),
    Scope("in all layers but the last", layers=lambda layer, layers: layer < layers - 1),
    Scope(
        "in layers between the first and the last alone",
        layers=lambda layer, layers: 0 < layer < layers - 1,
    ),
)

IN_STEPS = (
    Scope("at the first step alone", steps=lambda step, steps: step == 0),
    Scope("at steps after the first alone", steps=lambda step, steps: step > 0),
    Scope("at the last step alone", steps=lambda step, steps: step == steps - 1),
    Scope("at all steps but the last", steps=lambda step, steps: step < steps - 1),
    Scope("at every other step alone", steps=lambda step, steps: step % 2 == 1),
)

IN_SAMPLES = (
    Scope("for the first sample alone", samples=lambda count: np.arange(count) == 0),
    Scope("for samples after the first alone", samples=lambda count: np.arange(count) > 0),
    Scope("for the last sample alone", samples=lambda count: np.arange(count) == count - 1),
)


def _past(width: int) -> Scope:
    """What a loop that takes so many samples at a time leaves over."""

    def left(count: int) -> Mask:
        return (np.arange(count) >= count // width * width) & (count > width)

    return Scope(f"for the samples past a multiple of {width} alone", samples=left)


IN_TAILS = tuple(_past(width) for width in (2, 4, 8, 16))

SCOPES = (*IN_DIRECTIONS, *IN_LAYERS, *IN_STEPS, *IN_SAMPLES, *IN_TAILS, *IN_CALLS)
"""All, the narrower kinds of place first."""


def larger(sizes: str, of: Callable[[Call], int], most: int) -> Scope:
    """Calls in which a size exceeds a number."""
    return Scope(
        f"in calls of more than {most} {sizes} alone", calls=lambda call, number: of(call) > most
    )


def from_on(samples: int) -> Scope:
    """The samples after so many."""
    return Scope(
        f"for samples after the first {samples} alone",
        samples=lambda count: np.arange(count) >= samples,
    )


def overrides(variant: type[Any], *names: str) -> bool:
    """Whether a variant takes one of these decisions in a way of its own."""
    return any(getattr(variant, name) is not getattr(Deviant, name) for name in names)


def scoped(variant: type[Any], scope: Scope, elsewhere: type[Any] = Deviant) -> type[Any]:
    """The variant where the scope is, and another ``elsewhere``, which is right unless told.

    The same class each time. Raises ``TypeError`` where that is nothing: a deviation of whole calls
    in a part of one.
    """
    return _scoped(variant, scope, elsewhere)  # type: ignore[arg-type]  # classes, which have hashes


@lru_cache(maxsize=4096)
def _scoped(variant: type[Any], scope: Scope, elsewhere: type[Any]) -> type[Any]:
    if issubclass(variant, Adjoint):
        if not scope.of_calls_alone:
            raise TypeError("gradients are summed over all places")
        return _of_gradients(variant, scope)
    if not scope.of_calls_alone and overrides(variant, *HANDING_OVER):
        raise TypeError("what is handed over is handed over as a whole")

    class Scoped(_Scoped):
        wrongly = variant
        otherwise = elsewhere
        where = scope

    return Scoped


class _Scoped(Deviant):
    """Two oracles side by side; each decision is left to the one whose turn it is."""

    wrongly: type[Deviant]
    otherwise: type[Deviant]
    where: Scope

    def __init__(self) -> None:
        super().__init__()
        self.wrong, self.exact = self.wrongly(), self.otherwise()
        self.calls = self.layer = 0
        self.call: Call | None = None

    def _concerns(self, call: Call, number: int) -> bool:
        return self.where.calls is None or self.where.calls(call, number)

    def dtypes(self, call: Call) -> dict[str, str]:
        # Asked before the results are.
        layer = self.wrong if self._concerns(call, self.calls + 1) else self.exact
        return layer.dtypes(call)

    def results(self, call: Call) -> dict[str, Array]:
        self.calls += 1
        if not self._concerns(call, self.calls):
            return self.exact.results(call)
        if self.where.of_calls_alone:
            return self.wrong.results(call)
        return super().results(call)

    def answer(self, call: Call) -> Answer:
        if not overrides(self.wrongly, "answer"):
            self.call = call
            return super().answer(call)
        wrong, exact = self.wrong.answer(call), self.exact.answer(call)
        return replace(
            exact,
            output=_chosen(
                self._of_halves(call, call.config.num_layers - 1, call.config.output_size),
                wrong.output,
                exact.output,
            ),
            h_n=_chosen(self._of_states(call), wrong.h_n, exact.h_n),
            c_n=None
            if exact.c_n is None or wrong.c_n is None
            else _chosen(self._of_states(call), wrong.c_n, exact.c_n),
        )

    def direction(self, call: Call, layer: int, direction: int, x: Array) -> Trace:
        self.layer = layer
        mask = self.where.inside(call, layer, direction)
        if mask.all() or not mask.any():
            return self._of(bool(mask.any())).direction(call, layer, direction, x)
        if overrides(self.wrongly, *WHOLE_LAYER):
            wrong = self.wrong.direction(call, layer, direction, x)
            exact = self.exact.direction(call, layer, direction, x)
            after = np.concatenate([mask[:1], mask])[:, :, None]
            return replace(
                exact,
                h=_chosen(after, wrong.h, exact.h),
                c=None if exact.c is None or wrong.c is None else _chosen(after, wrong.c, exact.c),
            )
        own = call.steps[::-1] if direction else call.steps
        return self._mixed(call, layer, direction, x[::-1] if direction else x, own, mask)

    def _mixed(
        self, call: Call, layer: int, direction: int, x: Array, own: Mask, mask: Mask
    ) -> Trace:
        """Each step of each sample by the one whose turn it is, from the state that there is."""
        both = (self.wrong, self.exact)
        weights = [oracle.weights(call, layer, direction) for oracle in both]
        sides = [o.input_side(w, x) for o, w in zip(both, weights, strict=True)]
        states = [oracle.initial_state(call, layer, direction) for oracle in both]
        # Each sequence starts as it goes on at its first own step.
        first = np.take_along_axis(mask, own.argmax(axis=0)[None], axis=0)[0][:, None]
        h, c = (_chosen(first, *pair) for pair in zip(*states, strict=True))
        hs, cs, zhs, gates = [h], [c], [], []
        for t in range(len(x)):
            taken = [
                oracle.step(call.config, weight, side[t], hs[-1], cs[-1])
                for oracle, weight, side in zip(both, weights, sides, strict=True)
            ]
            here, runs = mask[t][:, None], own[t][:, None]
            zh, gate, h, c = (_chosen(here, *pair) for pair in zip(*taken, strict=True))
            zhs.append(zh)
            gates.append(gate)
            hs.append(np.where(runs, h, hs[-1]))
            cs.append(np.where(runs, c, cs[-1]))
        zx = _chosen(mask[:, :, None], *sides)
        has_c = call.config.kind.has_cell_state
        return Trace(
            weights[1],
            x,
            zx,
            np.stack(zhs),
            np.stack(gates),
            np.stack(hs),
            np.stack(cs) if has_c else None,
            own,
        )

    def aligned(self, trace: Trace, direction: int) -> Array:
        exact = self.exact.aligned(trace, direction)
        if not overrides(self.wrongly, "aligned"):
            return exact
        assert self.call is not None
        mask = self.where.inside(self.call, self.layer, direction)
        mask = mask[:: -1 if direction else 1, :, None]
        return _chosen(mask, self.wrong.aligned(trace, direction), exact)

    def join(self, halves: Sequence[Array]) -> Array:
        exact = self.exact.join(halves)
        if not overrides(self.wrongly, "join"):
            return exact
        assert self.call is not None
        mask = self._of_halves(self.call, self.layer, halves[0].shape[-1])
        return _chosen(mask, self.wrong.join(halves), exact)

    def final_states(self, finals: Sequence[Array]) -> Array:
        assert self.call is not None
        mask = self._of_states(self.call)
        return _chosen(mask, self.wrong.final_states(finals), self.exact.final_states(finals))

    def _of(self, wrongly: bool) -> Oracle:
        return self.wrong if wrongly else self.exact

    def _of_halves(self, call: Call, layer: int, size: int) -> Mask:
        """Of a layer's output, its directions side by side, in the input's order of time."""
        halves = [
            self.where.inside(call, layer, direction)[:: -1 if direction else 1, :, None]
            for direction in range(call.config.num_directions)
        ]
        return np.concatenate([np.repeat(half, size, axis=-1) for half in halves], axis=-1)

    def _of_states(self, call: Call) -> Mask:
        """By place and sample; as the last own step of each sequence is."""
        config, samples = call.config, np.arange(call.batch)
        last = call.steps.sum(axis=0) - 1
        masks = [
            # The reverse direction ends at time 0, whatever the length.
            self.where.inside(call, layer, direction)[-1 if direction else last, samples]
            for layer in range(config.num_layers)
            for direction in range(config.num_directions)
        ]
        return np.stack(masks)[:, :, None]


def _of_gradients(variant: type[Any], scope: Scope) -> type[Any]:
    class ScopedAdjoint(Adjoint):
        def derivative(self, backward: Backward, answer: Answer) -> Derivative:
            concerned = scope.calls is None or scope.calls(backward.call, 1)
            derived: Derivative = (variant() if concerned else Adjoint()).derivative(
                backward, answer
            )
            return derived

    return ScopedAdjoint


def _chosen(mask: Mask, wrong: Array, exact: Array) -> Array:
    """The one where the mask is, the other elsewhere; raises ``ValueError`` for other shapes."""
    if mask.all() or not mask.any():
        return wrong if mask.any() else exact
    if wrong.shape != exact.shape:
        raise ValueError(f"{wrong.shape} cannot stand for parts of {exact.shape}")
    return np.where(mask, wrong, exact)


def narrowed(scopes: Sequence[Scope]) -> Iterator[Scope]:
    """Each two of them that narrow different things."""
    for number, first in enumerate(scopes):
        for second in scopes[number + 1 :]:
            try:
                yield first & second
            except TypeError:
                continue
