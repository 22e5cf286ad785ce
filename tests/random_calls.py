"""Calls of every sort, from a seed and without Hypothesis: nothing here is to be shrunk."""

from __future__ import annotations

import numpy as np

from rnn_conformance.calls import Call
from rnn_conformance.cases import Case, State, Values
from rnn_conformance.spec import Config, Dtype, Feature, Kind


def random_case(
    kind: Kind,
    seed: int,
    dtype: Dtype = Dtype.FLOAT64,
    *,
    needs: frozenset[Feature] = frozenset(),
    without: frozenset[Feature] = frozenset(),
    values: Values | None = None,
    length: int | None = None,
    size: int | None = None,
) -> Case:
    """A case with the features ``needs``, none of ``without``, and any of the others."""
    rng = np.random.default_rng([seed, list(Kind).index(kind)])

    def has(feature: Feature, odds: float) -> bool:
        drawn = bool(rng.random() < odds)
        if feature in needs:
            return True
        return drawn and feature in Feature.of(kind) - without

    hidden = size or int(rng.integers(2, 10))
    projected, packed = has(Feature.PROJECTION, 0.4), has(Feature.PACKED, 0.3)
    unbatched, empty = has(Feature.UNBATCHED, 0.1), Feature.EMPTY_BATCH in needs
    packed = packed and (Feature.PACKED in needs or not (unbatched or empty))
    steps = 1 if kind.is_cell else length or int(rng.integers(2, 9))
    batch = 0 if empty else int(rng.integers(3, 6))
    lengths = [int(n) for n in rng.integers(1, steps + 1, batch)]
    config = Config(
        kind,
        size or int(rng.integers(2, 8)),
        hidden,
        num_layers=int(rng.integers(2, 4)) if has(Feature.MULTI_LAYER, 0.5) else 1,
        bias=not has(Feature.BIAS_FREE, 0.2),
        batch_first=has(Feature.BATCH_FIRST, 0.3),
        dropout=0.5 if Feature.DROPOUT in needs else 0.0,
        bidirectional=has(Feature.BIDIRECTIONAL, 0.5),
        proj_size=int(rng.integers(1, hidden)) if projected else 0,
        nonlinearity="relu" if has(Feature.RELU, 0.4) else "tanh",
    )
    given = has(Feature.INITIAL_STATE, 0.6)
    return Case(
        config,
        steps,
        None if unbatched and not packed and not empty else batch,
        dtype,
        (*lengths[:-1], steps) if packed else None,
        State.GIVEN if given else State.OMITTED,
        list(Values)[int(rng.integers(len(Values)))] if values is None else values,
        seed,
    )


def random_call(kind: Kind, seed: int, dtype: Dtype = Dtype.FLOAT64) -> Call:
    """The call of a case that may have any feature."""
    return random_case(kind, seed, dtype).call()
