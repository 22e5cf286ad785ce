"""What is asked of an implementation in order to learn in which way it is wrong.

First a ladder: the simplest call there is, and from it upwards one feature at a time, so
that of two defects one shows alone on some rung. Then drawn cases, large ones, special
values, and second calls of one layer. All of it is within what is declared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np

from rnn_conformance.checking.drawing import examples
from rnn_conformance.checking.strategies import cases
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values, rounded
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind

DRAWN = 20
"""Drawn cases among the probes; as many again, and others, confirm what is found."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Calls of one layer, one after the other; and the backward pass through the last, if asked.

    ``case`` is what they were made of, where that is a case and nothing else.
    """

    calls: tuple[Call, ...]
    case: Case | None = None
    backward: Backward | None = None

    @classmethod
    def of(cls, case: Case) -> Probe:
        """The one call of a case."""
        return cls((case.call(),), case)

    @classmethod
    def back(cls, backward: Backward, case: Case | None = None) -> Probe:
        """A backward pass."""
        return cls((backward.call,), case, backward)

    @property
    def size(self) -> int:
        """How much there is to compute."""
        call = self.calls[0]
        return len(self.calls) * call.config.num_states * (call.input.size + 1)


@lru_cache(maxsize=64)
def probes(kind: Kind, declaration: Declaration) -> tuple[Probe, ...]:
    """All probes for one kind of what declares this, small ones first."""
    every = [Probe.of(case) for case in fresh(kind, declaration, DRAWN, seed=0)]
    if not declaration.compiles_per_shape:
        rungs = list(ladder(kind, declaration))
        every += map(Probe.of, rungs)
        every += map(Probe.of, _large(kind, declaration))
        every += _special(rungs)
        every += _again(rungs)
    return tuple(sorted(every, key=lambda probe: probe.size))


@lru_cache(maxsize=64)
def passes(kind: Kind, declaration: Declaration) -> tuple[Probe, ...]:
    """The same for gradients: backward passes through small and drawn calls.

    Through all results, and on some of the rungs through one at a time. None where weights are
    kept in fewer digits: of the gradients nothing can be told.
    """
    if declaration.weights is not None:
        return ()
    every = [
        Probe.back(drawn(case.call(), case.seed), case)
        for case in differentiable(fresh(kind, declaration, DRAWN, seed=0))
    ]
    if not declaration.compiles_per_shape:
        for case in differentiable(ladder(kind, declaration)):
            call = case.call()
            every.append(Probe.back(drawn(call, case.seed), case))
            if case.batch == 5 and Feature.INITIAL_STATE in call.features:
                every += [Probe.back(drawn(call, case.seed, name), case) for name in call.results]
            if case.config.nonlinearity == "relu" and not case.config.bias:
                every.append(Probe.back(drawn(_at_zero(case), case.seed)))
            if case.lengths is not None and case.config.num_layers == 1:
                every.append(Probe.back(drawn(padded_with_nan(call), case.seed)))
        if not kind.is_cell:
            # Backpropagation through time is cut after so many steps.
            long = Case(Config(kind, 2, 3), 70, 2, widest(declaration), values=Values.TYPICAL)
            every += [Probe.back(drawn(case.call(), 0), case) for case in differentiable([long])]
    return tuple(sorted(every, key=lambda probe: probe.size))


def _at_zero(case: Case) -> Call:
    """One step of a layer without biases at zero, where relu has no derivative.

    After more steps a rounding decides on which side of zero it is.
    """
    call = replace(case, length=1, lengths=None).call()
    return call.replace(input=0.0 * call.input, h_0=None)


def differentiable(every: Iterable[Case]) -> Iterator[Case]:
    """Those cases of which a gradient is demanded (GRD-1): there are samples, and no half type."""
    for case in every:
        if case.batch != 0 and case.dtype in (Dtype.FLOAT32, Dtype.FLOAT64):
            yield case


@lru_cache(maxsize=256)
def fresh(kind: Kind, declaration: Declaration, count: int, seed: int) -> tuple[Case, ...]:
    """Drawn cases of every sort that is declared."""
    family = cases(dtypes=tuple(dtype for dtype in Dtype if dtype in declaration.dtypes))
    return tuple(examples(family.strategy(kind, declaration), count, seed))


def ladder(kind: Kind, declaration: Declaration) -> Iterator[Case]:
    """The simplest case, each feature by itself in two sizes, each two of them, all at once."""
    # The finer ones come with what they are within.
    declared = {
        feature for feature in declaration.features & Feature.of(kind) if not feature.is_finer
    }
    states = declared & {Feature.INITIAL_STATE}
    seeds = iter(range(10_000))

    def rung(needs: Collection[Feature], length: int, batch: int, layers: int = 2) -> Case:
        return _rung(kind, declaration, frozenset(needs), length, batch, layers, next(seeds))

    for length, batch in ((1, 1), (1, 4), (3, 1), (4, 5)):
        yield rung((), length, batch)
    for feature in sorted(declared):
        with_layers = {feature, Feature.MULTI_LAYER} if feature is Feature.DROPOUT else {feature}
        if not with_layers <= declared:
            continue
        yield rung(with_layers, 1, 1)
        yield rung(with_layers, 4, 5)
        if feature not in states:
            yield rung(with_layers | states, 4, 5)
    for pair in combinations(sorted(declared - {Feature.DROPOUT}), 2):
        # A call has one sort of batch: packed, empty or of a single sample.
        if not set(pair) <= {Feature.PACKED, Feature.EMPTY_BATCH, Feature.UNBATCHED}:
            yield rung(pair, 4, 5)
    whole = declared - {Feature.UNBATCHED, Feature.EMPTY_BATCH, Feature.DROPOUT, Feature.BIAS_FREE}
    deep = whole & {Feature.BIDIRECTIONAL, Feature.MULTI_LAYER}
    for needs in (deep, deep | states, whole - {Feature.PACKED}, whole):
        yield rung(needs, 4, 5)
        yield rung(needs, 5, 4, layers=3)


def _rung(
    kind: Kind,
    declaration: Declaration,
    needs: frozenset[Feature],
    length: int,
    batch: int,
    layers: int,
    seed: int,
) -> Case:
    steps = 1 if kind.is_cell else length
    # Neither sorted nor all different; the last one is short, and none is empty.
    lengths = [max(1, steps - n % 3) for n in (1, 0, 2, 2, 1)[:batch]]
    if Feature.UNSORTED not in declaration.features:
        lengths.sort(reverse=True)
    config = Config.having(kind, needs, 2, 3, num_layers=layers, proj_size=2)
    return Case.having(
        needs,
        config,
        steps,
        batch,
        tuple(lengths),
        dtype=widest(declaration),
        values=Values.TYPICAL,
        seed=seed,
    )


def widest(declaration: Declaration) -> Dtype:
    """The dtype in which least is lost to rounding, of those that are declared."""
    order = (Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)
    return next(dtype for dtype in order if dtype in declaration.dtypes)


def _large(kind: Kind, declaration: Declaration) -> Iterator[Case]:
    """Past the sizes at which code has been seen to change its ways: 16 and 256."""
    given = Feature.INITIAL_STATE in declaration.features
    for values in (Values.TYPICAL, Values.MIXED):
        yield Case(
            Config(kind, 18, 21),
            length=1 if kind.is_cell else 20,
            batch=300 if kind.is_cell else 14,
            dtype=widest(declaration),
            state=State.GIVEN if given else State.OMITTED,
            values=values,
        )


def _special(rungs: list[Case]) -> Iterator[Probe]:
    """Values at which functions and comparisons differ: NaN, infinite, huge and subnormal."""

    def placed(value: float, call: Call) -> Array:
        data = call.input.copy()
        data[0, 0, 0] = value
        return data

    plain = [case for case in rungs if case.batch and case.batch > 1]
    packed = [case for case in plain if case.lengths is not None]
    # relu lets through what tanh does not.
    relu = [case for case in plain if case.config.nonlinearity == "relu"]
    for case in plain[:2] + relu[:1]:
        call = case.call()
        for value in (np.nan, np.inf, -np.inf):
            yield Probe((call.replace(input=placed(value, call)),))
        fmt = FORMATS[call.dtype]
        for scale in (30.0, min(1e6, 2.0**-8 * fmt.largest), 0.25 * fmt.eta):
            yield Probe((call.replace(input=rounded(scale * call.input, call.dtype)),))
    for case in (*plain[1:3], *packed[:1]):
        call = case.call()
        data = call.input.copy()
        data[min(1, call.length - 1), 0] = 0.0
        yield Probe((call.replace(input=data),))
    for case in packed[:1]:
        call = case.call()
        yield Probe((padded_with_nan(call),))


def padded_with_nan(call: Call) -> Call:
    """The call with NaN wherever no sequence is."""
    return call.replace(input=np.where(call.steps[:, :, None], call.input, np.nan))


def _again(rungs: list[Case]) -> Iterator[Probe]:
    """A second call of a layer, without a state: what is kept from the first shows there."""
    for case in rungs:
        if case.batch not in (None, 1, 5) or case.lengths is not None or case.config.num_layers > 2:
            continue
        first, other = case.call(), replace(case, seed=case.seed + 5_000).call()
        second = other.replace(parameters=first.parameters, h_0=None, c_0=None)
        yield Probe((first, second))
