"""Implementations that answer wrongly, in silence, where they declare nothing.

Each class leaves something out and takes it all the same; each function drops what it
does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance.functions import Build, FunctionImplementation
from rnn_conformance.interface import Declaration
from rnn_conformance.locations import bundled
from rnn_conformance.registry import load
from rnn_conformance.spec import Config, Dtype, Feature, Kind

LAYERS = frozenset(kind for kind in Kind if not kind.is_cell)
CELLS = frozenset(Kind) - LAYERS

CLAUSES = {
    Feature.BIDIRECTIONAL: "DIR-1",
    Feature.MULTI_LAYER: "LAY-2",
    Feature.BATCH_FIRST: "BF-1",
    Feature.BIAS_FREE: "EQ-4",
    Feature.INITIAL_STATE: "STA-4",
    Feature.UNBATCHED: "SHP-6",
    Feature.PACKED: "PCK-2",
    Feature.PROJECTION: "EQ-2",
    Feature.RELU: "EQ-1",
    Feature.DROPOUT: "DRP-1",
    Feature.EMPTY_BATCH: "SHP-5",
}
CELL_CLAUSES = {
    Feature.BIAS_FREE: "CEL-2",
    Feature.INITIAL_STATE: "CEL-1",
    Feature.UNBATCHED: "CEL-1",
    Feature.RELU: "CEL-2",
    Feature.EMPTY_BATCH: "CEL-1",
}

ARGUMENTS = {
    Feature.BIDIRECTIONAL: "bidirectional",
    Feature.MULTI_LAYER: "num_layers",
    Feature.BATCH_FIRST: "batch_first",
    Feature.BIAS_FREE: "bias",
    Feature.PROJECTION: "proj_size",
    Feature.RELU: "nonlinearity",
    Feature.DROPOUT: "dropout",
}


def ignoring(feature: Feature, kind: Kind) -> type[nn.Module]:
    """``torch.nn``'s class, which takes what it leaves out and does not heed it."""
    base: Any = getattr(nn, kind.value)

    class Ignoring(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"without": [feature.value], "kind": kind.value}

        def __init__(self, *args: Any, **keywords: Any) -> None:
            keywords.pop(ARGUMENTS.get(feature, ""), None)
            super().__init__(*args, **keywords)

        def forward(self, input: Any, hx: Any = None) -> Any:
            if feature is Feature.INITIAL_STATE:
                return super().forward(input)
            if feature is Feature.PACKED and isinstance(input, PackedSequence):
                padded, lengths = pad_packed_sequence(input, batch_first=self.batch_first)
                output, state = super().forward(padded, hx)
                return pack_padded_sequence(
                    output, lengths, self.batch_first, enforce_sorted=False
                ), state
            if feature is Feature.UNBATCHED and input.dim() == 2 - kind.is_cell:
                return super().forward(input.unsqueeze(-2))
            if feature is Feature.EMPTY_BATCH and 0 in input.shape:
                shape = [max(size, 1) for size in input.shape]
                return super().forward(torch.zeros(shape, dtype=input.dtype))
            return super().forward(input, hx)

    return Ignoring


def in_float32(kind: Kind) -> type[nn.Module]:
    """Declares float32 alone, and gives float32 for float64."""
    base: Any = getattr(nn, kind.value)

    class Float32(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"dtypes": ["float32"], "kind": kind.value}

        def to(self, *args: Any, **keywords: Any) -> Any:
            return self

        def forward(self, input: Any, hx: Any = None) -> Any:
            def cast(value: Any) -> Any:
                if isinstance(value, PackedSequence):
                    return value._replace(data=value.data.float())
                if isinstance(value, tuple):
                    return tuple(map(cast, value))
                return None if value is None else value.float()

            return super().forward(cast(input), cast(hx))

    return Float32


(PLAIN,) = load(str(bundled("impls") / "numpy_loops.py"))
assert isinstance(PLAIN, FunctionImplementation)
PLAIN_BUILD: Build = PLAIN.build_layer


def function(
    change: Callable[[Callable[..., Any], Config], Callable[..., Any]],
    *,
    without: Feature | None = None,
    config: Callable[[Config], Config] = lambda config: config,
) -> FunctionImplementation:
    """The bundled NumPy function, changed around its layer and in its configuration."""

    def build(asked: Config, parameters: Any) -> Callable[..., Any]:
        made = config(asked)
        own = {name: parameters[name] for name in made.parameter_shapes if name in parameters}
        return change(PLAIN_BUILD(made, own), asked)

    declared: Declaration = PLAIN.declaration
    features = declared.features - ({without} if without else set())
    return FunctionImplementation(
        "wrong",
        replace(declared, features=features, dtypes=frozenset({Dtype.FLOAT32, Dtype.FLOAT64})),
        build_layer=build,
    )


def dropping(feature: Feature) -> FunctionImplementation:
    """A function that drops the argument which it does not declare."""

    def change(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
        def called(input: Any, state: Any = None, lengths: Any = None) -> Any:
            if feature is Feature.INITIAL_STATE:
                state = None
            if feature is Feature.PACKED:
                lengths = None
            return layer(input) if config.kind.is_cell else layer(input, state, lengths)

        return called

    changes = {
        Feature.BATCH_FIRST: {"batch_first": False},
        Feature.RELU: {"nonlinearity": "tanh"},
        Feature.BIDIRECTIONAL: {"bidirectional": False},
        Feature.MULTI_LAYER: {"num_layers": 1},
    }.get(feature, {})
    return function(
        change,
        without=feature,
        config=lambda config: replace(config, **changes),  # type: ignore[arg-type]
    )
