"""Sizes at which kernels change their way: powers of two, half-way between, and their neighbours.

Real kernels work in blocks of threads, of registers or of cache lines, take another way from
some size on, and have buffers made for so many. What is wrong there shows in no layer of
everyday size. A ladder climbs one axis while all others are tiny, which keeps it cheap.

What else a case has (lengths, a state, a second direction, …) is laid out by an orthogonal
array (Rao, "Factorial experiments derivable from combinatorial arrangements of arrays", 1947):
four cases, in which of the first three any two meet in all ways. So what is wrong at some size
without a state in dense input alone is met, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import Gap, Unsupported
from rnn_conformance.spec.cases import Case, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind

Bits: TypeAlias = NDArray[np.bool_]


class Axis(StrEnum):
    """What grows."""

    FEATURES = "input features"
    UNITS = "units"
    SAMPLES = "samples"
    STEPS = "steps"
    LAYERS = "layers"
    PROJECTED = "projected features"


NEEDS = {Axis.LAYERS: Feature.MULTI_LAYER, Axis.PROJECTED: Feature.PROJECTION}
"""What a layer must have for an axis to grow along."""

MIDDLES = tuple(sorted({2**k for k in range(3, 11)} | {3 * 2**k for k in range(2, 9)}))
"""8, 12, 16, 24, … 1,024."""

RUNGS = tuple(middle + beside for middle in MIDDLES for beside in (-1, 0, 1))

FAR = {
    # A grid of blocks ends at 2^16, and cuDNN takes no more than 65,535 steps, so that these are
    # for the CPU (pytorch/pytorch#133751). Of steps there are few: each is one of a slow layer.
    Axis.FEATURES: (4097, 65535, 65536, 65537),
    Axis.SAMPLES: (4097, 65535, 65536, 65537),
    Axis.STEPS: (4097, 65537),
}
"""Sizes beyond the rungs, where they cost little."""


@dataclass(frozen=True)
class Reach:
    """How far the few cases of a short run climb.

    One always goes to one more than ``top``, the others to neighbours of the middles from
    ``low`` to ``high``, and two back from one more than each of ``back``. They are ``few``
    where they are dear.
    """

    top: int
    low: int
    high: int
    back: tuple[int, int]
    few: bool = False


REACH = {
    Axis.FEATURES: Reach(1024, 256, 1024, (1024, 256)),
    Axis.UNITS: Reach(256, 256, 384, (256, 128)),
    Axis.SAMPLES: Reach(1024, 256, 1024, (1024, 256)),
    Axis.STEPS: Reach(768, 256, 384, (256, 128)),
    Axis.LAYERS: Reach(128, 8, 16, (16, 8), few=True),
    Axis.PROJECTED: Reach(256, 256, 384, (256, 128), few=True),
}

COMPILED = {Axis.STEPS: 33}
"""Of what is compiled anew for each shape one size is asked for, and here a short one: steps may be
unrolled, which takes as long as there are steps."""

TRAITS = (
    Feature.PACKED,
    Feature.INITIAL_STATE,
    Feature.BIDIRECTIONAL,
    Feature.MULTI_LAYER,
    Feature.BATCH_FIRST,
    Feature.BIAS_FREE,
    Feature.PROJECTION,
    Feature.RELU,
    Feature.UNBATCHED,
)
"""What a case may have besides, those first that are kept apart the best; and then float64."""

BLOCKS, STATE = (32, 64, 128), frozenset({Feature.INITIAL_STATE})
"""Samples that are done at a time; and what a case that is plain otherwise has."""

ORTHOGONAL = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=bool)
"""Of strength two: in any two columns each pair of bits once."""


def rows(rng: np.random.Generator) -> Bits:
    """Four cases' traits. The first three are orthogonal, each other one goes with one of them."""
    first = ORTHOGONAL[rng.permutation(4)]
    columns = [0, 1, 2, *rng.integers(3, size=len(TRAITS) - 2)]
    return first[:, columns] ^ (rng.random(len(columns)) < 0.5)


def opposites(rng: np.random.Generator) -> Bits:
    """Two cases' traits: each is there once."""
    some = rng.random(len(TRAITS) + 1) < 0.5
    return np.stack([some, ~some])


def extremes(rng: np.random.Generator) -> Bits:
    """Likewise, but one has all of the first three and the other none, as a plain call."""
    two = opposites(rng)
    two[:, :3] = two[:, :1]
    return two


@dataclass(frozen=True)
class Ladder:
    """The cases along one axis; with ``backward``, of which the gradients are asked for."""

    axis: Axis
    backward: bool = False

    def members(self, subject: Subject, rng: np.random.Generator) -> list[Case]:
        """Some rungs, most beyond 256; in a larger profile each of them twice.

        Raises ``Unsupported`` for an axis that the kind or the declaration has not.
        """
        kind, declaration = subject.kind, subject.implementation.declaration
        if kind.is_cell and self.axis is Axis.STEPS:
            raise Unsupported(f"{kind} has one step", Gap.NOT_IN_KIND)
        needed = frozenset({NEEDS[self.axis]} if self.axis in NEEDS else ())
        if missing := needed - Feature.of(kind):
            raise Unsupported(f"{kind} has no {', '.join(missing)}", Gap.NOT_IN_KIND)
        if missing := needed - declaration.features:
            raise Unsupported(f"does not declare {', '.join(missing)}", Gap.UNDECLARED)
        dtypes = subject.full_dtypes
        if declaration.compiles_per_shape:
            climbed = iter([(COMPILED.get(self.axis, REACH[self.axis].low + 1), rows(rng)[0])])
        elif subject.profile.whole:
            climbed = self.whole(rng, far=subject.implementation.device == "cpu")
        else:
            climbed = self.part(rng)
        return [
            self.case(
                kind,
                needed | subject.features.intersection(np.extract(bits[:-1], TRAITS)),
                dtypes[-1 if bits[-1] else 0],
                size,
                int(rng.integers(2**16)),
            )
            for size, bits in climbed
        ]

    def whole(self, rng: np.random.Generator, *, far: bool) -> Iterator[tuple[int, Bits]]:
        """All sizes, each with traits and with the opposite ones; ``far`` beyond the rungs too."""
        beyond = FAR.get(self.axis, ()) if far and not self.backward else ()
        for rung in (*RUNGS, *beyond):
            for bits in opposites(rng):
                yield rung, bits

    def part(self, rng: np.random.Generator) -> Iterator[tuple[int, Bits]]:
        """A few sizes, with traits."""
        reach = REACH[self.axis]
        lower = [rung for rung in RUNGS if rung <= min(2 * reach.high, 129)]
        anywhere = int(rng.choice(lower))
        if self.backward:
            yield from zip((reach.back[0] + 1, reach.back[1] + 1), extremes(rng), strict=True)
            return
        middles = [middle for middle in MIDDLES if reach.low <= middle <= reach.high]
        # One more than a block is what is left over the oftenest: so many, in three cases out of
        # four, that each trait is there once and not there once.
        one_more = (int(middle) + 1 for middle in rng.choice(middles, 2))
        # One less than the least of the middles would not lie beyond it.
        other = int(rng.choice(middles[1:])) - int(rng.integers(2))
        sizes = (reach.top + 1, *one_more, other)
        yield from zip(sizes, extremes(rng) if reach.few else rows(rng), strict=False)
        yield anywhere, opposites(rng)[0]
        if self.axis is Axis.SAMPLES:
            # A state is as long as the batch: where samples are done in blocks, so is the state.
            yield int(rng.choice(BLOCKS)) + 1, np.array([*(one in STATE for one in TRAITS), True])

    def case(
        self, kind: Kind, features: frozenset[Feature], dtype: Dtype, size: int, seed: int
    ) -> Case:
        """So many along the axis, and a few along the others."""
        few = {axis: 2 + (seed >> number) % 2 for number, axis in enumerate(Axis)}
        features -= self.spared(features, size)
        # What recurs for long, or from layer to layer, must not grow.
        few[Axis.UNITS] = 2 if self.axis in (Axis.STEPS, Axis.LAYERS) else 3
        few[Axis.PROJECTED] = 1
        few[self.axis] = size
        if self.axis is Axis.PROJECTED:
            few[Axis.UNITS] = size + 1
        if self.axis is Axis.LAYERS and size > 64:
            few[Axis.STEPS] = 1
        length, batch = few[Axis.STEPS], few[Axis.SAMPLES]
        # Unsorted; some end early, the longest is not the first.
        lengths = [max(1, length - (1, 0, length // 2)[sample % 3]) for sample in range(batch)]
        config = Config.having(
            kind,
            features,
            few[Axis.FEATURES],
            few[Axis.UNITS],
            num_layers=few[Axis.LAYERS] if self.axis is Axis.LAYERS else 2,
            proj_size=few[Axis.PROJECTED],
        )
        return Case.having(
            features,
            config,
            length,
            batch,
            lengths,
            dtype=dtype,
            # Of gradients the bound grows faster than what is wrong, unless numbers are small.
            values=Values.PLAIN if self.backward else Values.TYPICAL,
            seed=seed,
        )

    def spared(self, features: frozenset[Feature], size: int) -> frozenset[Feature]:
        """What a case of the axis cannot have besides, or would cost as much again for."""
        spared = set()
        if Feature.PACKED in features or self.axis is Axis.SAMPLES:
            spared.add(Feature.UNBATCHED)
        if self.axis is Axis.UNITS:
            # All units recur.
            spared.add(Feature.PROJECTION)
        if self.axis is Axis.LAYERS:
            # Without them less comes through from layer to layer, and nothing in the end.
            spared |= {Feature.BIAS_FREE, Feature.RELU}
        if self.axis is Axis.STEPS:
            # Two units may both be dead, and then show nothing.
            spared.add(Feature.RELU)
        if self.axis is Axis.LAYERS and size > 64:
            spared.add(Feature.BIDIRECTIONAL)
        heavy = self.axis in (Axis.UNITS, Axis.PROJECTED, Axis.STEPS)
        if heavy and Feature.BIDIRECTIONAL in features:
            spared.add(Feature.MULTI_LAYER)
        return frozenset(spared)

    def size(self, case: Case) -> int:
        """How many a case has along the axis."""
        config = case.config
        return {
            Axis.FEATURES: config.input_size,
            Axis.UNITS: config.hidden_size,
            Axis.SAMPLES: case.batch or 1,
            Axis.STEPS: case.length,
            Axis.LAYERS: config.num_layers,
            Axis.PROJECTED: config.proj_size,
        }[self.axis]

    def simpler(self, case: Case) -> Iterator[Case]:
        """The same without one of its traits; then the lower rungs, the lowest first."""
        kind, features, size = case.config.kind, case.features, self.size(case)
        needed = NEEDS.get(self.axis)
        for feature in TRAITS:
            if feature in features and feature is not needed:
                yield self.case(kind, features - {feature}, case.dtype, size, case.seed)
        for rung in RUNGS:
            if rung < size:
                yield self.case(kind, features, case.dtype, rung, case.seed)
