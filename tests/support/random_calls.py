"""Calls of every sort, from a seed and without Hypothesis: nothing here is to be shrunk."""

from __future__ import annotations

import numpy as np

from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind


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
    features = set(needs)

    def decide(feature: Feature, odds: float) -> None:
        if rng.random() < odds and feature in Feature.of(kind) - without:
            features.add(feature)

    hidden = size or int(rng.integers(2, 10))
    decide(Feature.PROJECTION, 0.4)
    decide(Feature.PACKED, 0.3)
    decide(Feature.UNBATCHED, 0.1)
    # No call is both: what is needed stays, and an empty batch is left alone.
    if Feature.PACKED in needs:
        features -= {Feature.UNBATCHED}
    elif features & {Feature.UNBATCHED, Feature.EMPTY_BATCH}:
        features -= {Feature.PACKED}
    steps = 1 if kind.is_cell else length or int(rng.integers(2, 9))
    batch = 0 if Feature.EMPTY_BATCH in needs else int(rng.integers(3, 6))
    lengths = [int(n) for n in rng.integers(1, steps + 1, batch)]
    inputs = size or int(rng.integers(2, 8))
    decide(Feature.MULTI_LAYER, 0.5)
    layers = int(rng.integers(2, 4)) if Feature.MULTI_LAYER in features else 1
    decide(Feature.BIAS_FREE, 0.2)
    decide(Feature.BATCH_FIRST, 0.3)
    decide(Feature.BIDIRECTIONAL, 0.5)
    projection = int(rng.integers(1, hidden)) if Feature.PROJECTION in features else 0
    decide(Feature.RELU, 0.4)
    decide(Feature.INITIAL_STATE, 0.6)
    if values is None:
        values = list(Values)[int(rng.integers(len(Values)))]
    return Case.having(
        features,
        Config.having(kind, features, inputs, hidden, num_layers=layers, proj_size=projection),
        steps,
        batch,
        (*lengths[:-1], steps),
        dtype=dtype,
        values=values,
        seed=seed,
    )


def random_call(kind: Kind, seed: int, dtype: Dtype = Dtype.FLOAT64) -> Call:
    """The call of a case that may have any feature."""
    return random_case(kind, seed, dtype).call()
