"""Wrong answers, in silence, where nothing is declared: what is left out is taken all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.functions import function
from rnn_conformance.mutants.mutant import Chapter, cast, data_of, state_shape
from rnn_conformance.spec.combinations import Combination
from rnn_conformance.spec.config import ARGUMENTS, Config, Feature, Kind

DECLARATIONS = Chapter("Declarations")

CLAUSES = {
    Feature.BIDIRECTIONAL: "DIR-1",
    Feature.MULTI_LAYER: "LAY-2",
    Feature.BATCH_FIRST: "BF-1",
    Feature.BIAS_FREE: "EQ-4 CEL-2",
    Feature.INITIAL_STATE: "STA-4 CEL-1",
    Feature.UNBATCHED: "SHP-6 CEL-1",
    Feature.PACKED: "PCK-2",
    Feature.PROJECTION: "EQ-2",
    Feature.RELU: "EQ-1 CEL-2",
    Feature.DROPOUT: "DRP-1",
    Feature.EMPTY_BATCH: "SHP-5 CEL-1",
    Feature.UNSORTED: "PCK-3",
    Feature.OMITTED_STATE: "STA-1 CEL-1",
    Feature.BIDIRECTIONAL_STATE: "STA-4",
}
"""The clauses that forbid a wrong answer where the feature is not declared."""

ARGUMENT_OF = {feature: argument for argument, feature in ARGUMENTS.items()}

DEFAULTS = {
    "num_layers": 2,
    "bias": False,
    "batch_first": True,
    "dropout": 0.5,
    "bidirectional": True,
    "proj_size": 1,
    "nonlinearity": "relu",
}
"""Another default than ``torch.nn``'s for each argument (torchrl's ``batch_first`` is true)."""

IN_WORDS = {
    Feature.BIDIRECTIONAL: "a second direction",
    Feature.MULTI_LAYER: "further layers",
    Feature.BATCH_FIRST: "batch_first",
    Feature.BIAS_FREE: "bias=False",
    Feature.INITIAL_STATE: "an initial state",
    Feature.UNBATCHED: "unbatched input",
    Feature.PACKED: "packed input",
    Feature.PROJECTION: "a projection",
    Feature.RELU: "relu",
    Feature.DROPOUT: "dropout",
    Feature.EMPTY_BATCH: "an empty batch",
    Feature.UNSORTED: "unsorted sequences",
    Feature.OMITTED_STATE: "a call without a state",
    Feature.BIDIRECTIONAL_STATE: "a state of two directions",
}


def ignoring(feature: Feature, kind: Kind) -> type[nn.Module]:
    """``torch.nn``'s class, which takes what it leaves out and does not heed it."""
    base: Any = getattr(nn, kind.value)

    class Ignoring(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"without": [feature.value], "kind": kind.value}

        def __init__(self, *args: Any, **keywords: Any) -> None:
            keywords.pop(ARGUMENT_OF.get(feature, ""), None)
            super().__init__(*args, **keywords)

        def forward(self, input: Any, hx: Any = None) -> Any:
            if feature is Feature.INITIAL_STATE:
                return super().forward(input)
            if feature is Feature.BIDIRECTIONAL_STATE and self.bidirectional:
                return super().forward(input)
            if feature is Feature.OMITTED_STATE and hx is None:
                return super().forward(input, ones_for(self, input))
            if feature is Feature.UNSORTED and isinstance(input, PackedSequence):
                # As if they stood in the order in which they are packed.
                output, state = super().forward(PackedSequence(input.data, input.batch_sizes), hx)
                return output._replace(
                    sorted_indices=input.sorted_indices, unsorted_indices=input.unsorted_indices
                ), state
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


def refusing(feature: Feature, kind: Kind, *, declared: bool) -> type[nn.Module]:
    """``torch.nn``'s class, which refuses a feature: as it declares, or though it is ``declared``.

    A constructor's argument is refused as one that there is not, by ``TypeError``; what a call
    asks for by ``NotImplementedError``.
    """
    base: Any = getattr(nn, kind.value)
    left_out = [] if declared else [feature.value]

    def construct(self: Any, *args: Any, **keywords: Any) -> None:
        given = {name: value for name, value in keywords.items() if name in ARGUMENTS}
        if feature in Config(kind, 1, 99, **given).features:
            raise TypeError(f"unexpected keyword argument {ARGUMENT_OF[feature]!r}")
        base.__init__(self, *args, **keywords)

    def forward(self: Any, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence)
        asked = {
            Feature.PACKED: packed,
            Feature.UNSORTED: packed and input.sorted_indices is not None,
            Feature.INITIAL_STATE: hx is not None,
            Feature.OMITTED_STATE: hx is None,
            Feature.BIDIRECTIONAL_STATE: hx is not None and getattr(self, "bidirectional", False),
            Feature.UNBATCHED: not packed and input.dim() == 2 - kind.is_cell,
            Feature.EMPTY_BATCH: not packed and 0 in input.shape,
        }
        if asked.get(feature):
            raise NotImplementedError(f"no {IN_WORDS[feature]}")
        return base.forward(self, input, hx)

    name = f"{'Refusing' if declared else 'Lacking'}{kind}_{feature}"
    if name not in globals():
        # pickle finds it by its name.
        members: dict[str, Any] = {
            "__module__": __name__,
            "__init__": construct,
            "forward": forward,
            "rnn_conformance": {"without": left_out, "kind": kind.value},
        }
        globals()[name] = type(name, (base,), members)
    cls: type[nn.Module] = globals()[name]
    return cls


APART = ((Feature.BIDIRECTIONAL, Feature.PACKED), (Feature.BIDIRECTIONAL, Feature.MULTI_LAYER))
"""Features that layers are met with which have not both: packed sequences of two directions
(ONNX Runtime's early CUDA kernels), and stacked layers of two (many cells' loops)."""


def apart(pair: tuple[Feature, Feature], kind: Kind, *, declared: bool) -> type[nn.Module]:
    """``torch.nn``'s class, which has not both features at once.

    Where it declares that, it takes them, and reads a single direction twice; otherwise it
    refuses them.
    """
    base: Any = getattr(nn, kind.value)
    value = Combination(frozenset(pair)).value

    class Apart(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"without": [value] if declared else [], "kind": kind.value}

        def forward(self, input: Any, hx: Any = None) -> Any:
            asked = {
                Feature.BIDIRECTIONAL: self.bidirectional,
                Feature.MULTI_LAYER: self.num_layers > 1,
                Feature.PACKED: isinstance(input, PackedSequence),
            }
            both = all(asked[feature] for feature in pair)
            if both and not declared:
                raise NotImplementedError(f"no {' with '.join(IN_WORDS[one] for one in pair)}")
            output, state = super().forward(input, hx)
            if not both:
                return output, state
            data = data_of(output)
            half = data.shape[-1] // 2
            data = torch.cat([data[..., :half], data[..., :half]], -1)
            packed = isinstance(output, PackedSequence)
            return output._replace(data=data) if packed else data, state

    return Apart


def with_default(kind: Kind, argument: str, default: Any) -> type[nn.Module]:
    """``torch.nn``'s class, where one argument has another default."""
    base: Any = getattr(nn, kind.value)
    named = ("input_size", "hidden_size", *kind.arguments)

    class Otherwise(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"kind": kind.value}

        def __init__(self, *args: Any, **keywords: Any) -> None:
            given = dict(zip(named, args, strict=False)) | keywords
            super().__init__(**{argument: default, **given})

    return Otherwise


def ones_for(module: Any, input: Any) -> Any:
    """A state of ones in the structure that is due."""
    shape = state_shape(module, input)
    assert shape is not None
    ones = torch.ones(shape, dtype=data_of(input).dtype)
    if not isinstance(module, (nn.LSTM, nn.LSTMCell)):
        return ones
    return ones, torch.ones((*shape[:-1], module.hidden_size), dtype=ones.dtype)


def in_float32(kind: Kind) -> type[nn.Module]:
    """Declares float32 alone, and gives float32 for float64."""
    base: Any = getattr(nn, kind.value)

    class Float32(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"dtypes": ["float32"], "kind": kind.value}

        def to(self, *args: Any, **keywords: Any) -> Any:
            return self

        def forward(self, input: Any, hx: Any = None) -> Any:
            return super().forward(cast(input, torch.float32), cast(hx, torch.float32))

    return Float32


def dropping(feature: Feature, name: str, kind: Kind) -> FunctionImplementation:
    """A function that drops the argument which it does not declare."""

    def change(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
        def called(input: Any, state: Any = None, lengths: Any = None) -> Any:
            if feature is Feature.INITIAL_STATE:
                state = None
            return layer(input, state, None if feature is Feature.PACKED else lengths)

        return called

    def narrowed(config: Config) -> Config:
        match feature:
            case Feature.BATCH_FIRST:
                return replace(config, batch_first=False)
            case Feature.RELU:
                return replace(config, nonlinearity="tanh")
            case Feature.BIDIRECTIONAL:
                return replace(config, bidirectional=False)
            case Feature.MULTI_LAYER:
                return replace(config, num_layers=1)
        return config

    return function(name, kind, change, without=feature, config=narrowed)


def _put() -> None:
    for feature in Feature:
        kinds = [kind for kind in Kind if feature in Feature.of(kind)]
        what = f"{IN_WORDS[feature]} not declared, taken and ignored"

        def make(kind: Kind, feature: Feature = feature, name: str = what) -> Any:
            return drop_in(ignoring(feature, kind), name=name)

        # What is ignored may end in a structure that nobody can read, which is an exception.
        DECLARATIONS.put(what, CLAUSES[feature], make, kinds=kinds, crashes=True)

        def refuse(kind: Kind, feature: Feature = feature) -> Any:
            return drop_in(refusing(feature, kind, declared=True))

        DECLARATIONS.put(
            f"{IN_WORDS[feature]} declared, and refused",
            "DCL-1",
            refuse,
            kinds=kinds,
            crashes=True,
        )
    for pair in APART:
        both = " with ".join(IN_WORDS[feature] for feature in pair)
        for declared, what in (
            (False, f"{both} refused, each of which is there"),
            (True, f"{both} not declared, and answered wrongly"),
        ):

            def separate(
                kind: Kind, pair: tuple[Feature, Feature] = pair, declared: bool = declared
            ) -> Any:
                return drop_in(apart(pair, kind, declared=declared))

            DECLARATIONS.put(
                what,
                "DCL-1",
                separate,
                kinds=[kind for kind in Kind if not kind.is_cell],
                crashes=not declared,
            )
    for argument, value in DEFAULTS.items():
        kinds = [kind for kind in Kind if argument in kind.arguments]
        name = f"{argument} is {value!r} unless told"

        def otherwise(kind: Kind, argument: str = argument, value: Any = value) -> Any:
            return drop_in(with_default(kind, argument, value))

        DECLARATIONS.put(name, "PAR-1", otherwise, kinds=kinds)
    for feature in (
        Feature.BATCH_FIRST,
        Feature.RELU,
        Feature.BIDIRECTIONAL,
        Feature.MULTI_LAYER,
        Feature.INITIAL_STATE,
        Feature.PACKED,
    ):
        kinds = [kind for kind in Kind if feature in Feature.of(kind)]
        name = f"{IN_WORDS[feature]} not declared, and dropped by its function over arrays"
        DECLARATIONS.put(name, CLAUSES[feature], partial(dropping, feature, name), kinds=kinds)
    name = "float64 not declared, and answered in float32"
    DECLARATIONS.put(name, "TYP-1", lambda kind: drop_in(in_float32(kind), name=name))


_put()
