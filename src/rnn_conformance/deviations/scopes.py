"""Where a deviation holds: in one direction, some layers, steps or samples, or in some calls alone.

What a deviation is in a scope: ``scoped``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Dtype, Feature

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scope:
    """A part of what is computed; what is ``None`` does not narrow it.

    ``words`` follow a deviation's name. ``calls`` is asked with a call and its number for its
    layer, counted from 1; ``layers`` with a layer and how many there are; ``steps`` with the
    number of each own step of each sequence in the direction's order of time, and how many there
    are, ``(L, N)`` and ``(N,)``; ``running`` with how many samples have each step, ``(L,)``;
    ``samples`` with the batch size, ``units`` with the hidden size. ``direction`` is 0 or 1.
    ``condition`` is what calls meet that are in it, in words that follow "in calls".
    """

    words: str
    calls: Callable[[Call, int], bool] | None = None
    layers: Callable[[int, int], bool] | None = None
    direction: int | None = None
    steps: Callable[[NDArray[np.int_], NDArray[np.int_]], Mask] | None = None
    running: Callable[[NDArray[np.int_]], Mask] | None = None
    samples: Callable[[int], Mask] | None = None
    units: Callable[[int], Mask] | None = None
    condition: str | None = None

    @property
    def of_calls_alone(self) -> bool:
        """Whether a call is in it as a whole, or not at all."""
        return (
            self.layers is None
            and self.direction is None
            and self.steps is None
            and self.running is None
            and self.samples is None
            and self.units is None
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
        if self.running is not None:
            mask &= self.running(own.sum(axis=1))[:, None]
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
        size = call.config.hidden_size
        units = np.ones(size, dtype=bool) if self.units is None else self.units(size)
        part = any(mask.any() for mask in masks) and bool(units.any())
        return part, all(mask.all() for mask in masks) and bool(units.all())

    def as_everywhere(self, call: Call) -> dict[str, Mask]:
        """By result, canonical, what is as if the deviation were not confined; empty if unknown.

        Samples do not meet; nor do the directions of a single layer, nor its units in its first
        step; and on the first layer no other acts.
        """
        parts = (
            self.calls, self.layers, self.direction, self.steps, self.running, self.samples,
            self.units,
        )  # fmt: skip
        if sum(part is not None for part in parts) != 1:
            return {}
        masks = {name: np.zeros(call.shape(name), dtype=bool) for name in call.results}
        config = call.config
        for name, mask in masks.items():
            if self.samples is not None:
                mask[:, self.samples(call.batch)] = True
            elif self.units is not None:
                plain = config.num_layers == 1 and not config.proj_size and call.lengths is None
                if not plain or not call.length:
                    return {}
                if name == "output":
                    # At the first step of each direction; from then on units meet in W_hh h.
                    units, half = self.units(config.hidden_size), config.hidden_size
                    mask[0, :, :half] = units
                    if config.bidirectional:
                        mask[-1, :, half:] = units
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

    def of_output(self, call: Call, layer: int, size: int) -> Mask:
        """Of a layer's output, its directions side by side, in the input's order of time.

        ``(L, N, D*size)``.
        """
        halves = [
            self.inside(call, layer, direction)[:: -1 if direction else 1, :, None]
            for direction in range(call.config.num_directions)
        ]
        return np.concatenate([np.repeat(half, size, axis=-1) for half in halves], axis=-1)

    def of_states(self, call: Call) -> Mask:
        """By place and sample, ``(D*K, N, 1)``; as the last own step of each sequence is."""
        config, samples = call.config, np.arange(call.batch)
        last = call.steps.sum(axis=0) - 1
        masks = [
            # The reverse direction ends at time 0, whatever the length.
            self.inside(call, layer, direction)[-1 if direction else last, samples]
            for layer in range(config.num_layers)
            for direction in range(config.num_directions)
        ]
        return np.stack(masks)[:, :, None]

    def __and__(self, other: Scope) -> Scope:
        """What is in both; raises ``TypeError`` if both narrow the same."""
        ours = {name: value for name, value in vars(self).items() if value is not None}
        theirs = {name: value for name, value in vars(other).items() if value is not None}
        if (ours.keys() & theirs.keys()) != {"words"}:
            raise TypeError(f"{self.words} and {other.words} narrow the same")
        return Scope(**{**theirs, **ours, "words": f"{self.words} {other.words}"})


def _calls(condition: str, meet: Callable[[Call], bool]) -> Scope:
    return Scope(
        f"in calls {condition} alone", calls=lambda call, number: meet(call), condition=condition
    )


def _feature(words: str, feature: Feature, *, having: bool = True) -> Scope:
    return _calls(
        f"with{'' if having else 'out'} {words}", lambda call: (feature in call.features) is having
    )


def _dtypes(words: str, *dtypes: Dtype) -> Scope:
    return Scope(
        f"in {words} alone",
        calls=lambda call, number: call.dtype in dtypes,
        condition=f"of {words}",
    )


IN_CALLS = (
    Scope(
        "from the second call on",
        calls=lambda call, number: number > 1,
        condition="after a layer's first",
    ),
    Scope(
        "in the first call alone",
        calls=lambda call, number: number == 1,
        condition="that are a layer's first",
    ),
    *(
        _feature(words, feature, having=having)
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
    _dtypes("float32", Dtype.FLOAT32),
    _dtypes("float64", Dtype.FLOAT64),
    _dtypes("half precision", Dtype.FLOAT16, Dtype.BFLOAT16),
    _calls("of one step", lambda call: call.length == 1),
    _calls("of several steps", lambda call: call.length > 1),
    _calls("of an odd number of steps", lambda call: call.length % 2 == 1),
    _calls("of an even number of steps", lambda call: call.length % 2 == 0),
    _calls("of one sample", lambda call: call.batch == 1),
    _calls("of several samples", lambda call: call.batch > 1),
    _calls("of an odd number of samples", lambda call: call.batch % 2 == 1),
    _calls("of an even number of samples", lambda call: call.batch % 2 == 0),
    _calls("of an odd number of units", lambda call: call.config.hidden_size % 2 == 1),
    _feature("sequences that are not sorted by length", Feature.UNSORTED),
    # Where code asks a shape what it is.
    _calls("of as many samples as steps", lambda call: call.batch == call.length),
    _calls(
        "of as many samples as layers and directions",
        lambda call: call.batch == call.config.num_layers * call.config.num_directions,
    ),
    _calls(
        "of as many units as input features",
        lambda call: call.config.hidden_size == call.config.input_size,
    ),
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
    Scope("in layers above the second alone", layers=lambda layer, layers: layer > 1),
)


def _steps_past(width: int) -> Scope:
    """What a loop that takes so many steps at a time leaves over."""

    def left(step: NDArray[np.int_], steps: NDArray[np.int_]) -> Mask:
        return (step >= steps // width * width) & (steps > width)

    return Scope(f"at the steps past a multiple of {width} alone", steps=left)


def _steps_before(width: int) -> Scope:
    """The same of a loop that begins at the last step, as a backward pass does."""

    def left(step: NDArray[np.int_], steps: NDArray[np.int_]) -> Mask:
        return (step < steps % width) & (steps > width)

    return Scope(
        f"at the first steps, which blocks of {width} from the end on leave over, alone", steps=left
    )


IN_STEPS = (
    Scope("at the first step alone", steps=lambda step, steps: step == 0),
    Scope("at steps after the first alone", steps=lambda step, steps: step > 0),
    Scope("at the last step alone", steps=lambda step, steps: step == steps - 1),
    Scope("at all steps but the last", steps=lambda step, steps: step < steps - 1),
    Scope("at every other step alone", steps=lambda step, steps: step % 2 == 1),
    # The loop's own first step, which shorter sequences of the reverse direction do not have.
    Scope("at the loop's first step alone", running=lambda samples: np.arange(len(samples)) == 0),
    Scope(
        "at the loop's steps after the first", running=lambda samples: np.arange(len(samples)) > 0
    ),
    # Where a loop over packed steps looks at how many samples are left.
    Scope("at steps of one sample alone", running=lambda samples: samples == 1),
    Scope(
        "at steps that some sequences do not have alone",
        running=lambda samples: samples < samples.max(initial=0),
    ),
    Scope(
        "for sequences shorter than the longest alone",
        steps=lambda step, steps: np.broadcast_to(steps < steps.max(initial=0), step.shape),
    ),
    *map(_steps_past, (2, 4, 8, 16, 32)),
    *map(_steps_before, (2, 4, 8, 16, 32)),
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


def _units_past(width: int) -> Scope:
    """What a loop that takes so many units at a time leaves over."""

    def left(size: int) -> Mask:
        return (np.arange(size) >= size // width * width) & (size > width)

    return Scope(f"for the units past a multiple of {width} alone", units=left)


def _left_over(width: int) -> tuple[Scope, Scope]:
    """The same where all are left over if there are fewer."""

    def left(count: int) -> Mask:
        return np.arange(count) >= count // width * width

    words = f"left over past the last {width}, all of fewer,"
    return Scope(f"for the units {words} alone", units=left), Scope(
        f"for the samples {words} alone", samples=left
    )


IN_UNITS = (
    Scope("for the first unit alone", units=lambda size: np.arange(size) == 0),
    Scope("for the last unit alone", units=lambda size: np.arange(size) == size - 1),
    *map(_units_past, (2, 4, 8, 16, 32, 64)),
)

IN_TAILS = (
    *(_past(width) for width in (2, 4, 8, 16, 32, 64)),
    *_left_over(4),
    *_left_over(8),
    *_left_over(16),
)

SCOPES = (
    *IN_DIRECTIONS, *IN_LAYERS, *IN_STEPS, *IN_SAMPLES, *IN_UNITS, *IN_TAILS, *IN_CALLS
)  # fmt: skip
"""All, the narrower kinds of place first."""


def larger(sizes: str, of: Callable[[Call], int], most: int) -> Scope:
    """Calls in which a size exceeds a number."""
    return _calls(f"of more than {most} {sizes}", lambda call: of(call) > most)


def fewer(sizes: str, of: Callable[[Call], int], least: int) -> Scope:
    """Calls in which a size is below a number."""
    return _calls(f"of fewer than {least} {sizes}", lambda call: of(call) < least)


def all_of(*scopes: Scope) -> Scope:
    """Calls that meet each of these conditions."""
    return _meeting(" and ", all, scopes)


def any_of(*scopes: Scope) -> Scope:
    """Calls that meet one of these conditions."""
    return _meeting(" or ", any, scopes, "either ")


def _meeting(
    between: str,
    how: Callable[[Iterable[bool]], bool],
    scopes: Sequence[Scope],
    before: str = "",
) -> Scope:
    if len(scopes) == 1:
        return scopes[0]
    conditions = [scope.calls for scope in scopes if scope.calls is not None]
    condition = before + between.join(scope.condition or "" for scope in scopes)
    return Scope(
        f"in calls {condition} alone",
        calls=lambda call, number: how(meets(call, number) for meets in conditions),
        condition=condition,
    )


def from_on(samples: int) -> Scope:
    """The samples after so many."""
    return Scope(
        f"for samples after the first {samples} alone",
        samples=lambda count: np.arange(count) >= samples,
    )


def narrowed(scopes: Sequence[Scope]) -> Iterator[Scope]:
    """Each two of them that narrow different things."""
    for number, first in enumerate(scopes):
        for second in scopes[number + 1 :]:
            try:
                yield first & second
            except TypeError:
                continue
