"""What is computed: kinds, configurations, and the shapes that follow from them.

Everything here is a frozen value whose construction validates. The names are
those of ``torch.nn`` (https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers);
the symbols in the docstrings are ``L`` steps, ``N`` samples, ``H_in`` input size,
``H`` hidden size, ``P`` projection size (0 = none), ``H_out = P or H``,
``D`` directions and ``K`` layers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int, ...]


class Kind(StrEnum):
    """The six recurrent classes of ``torch.nn``, by their names there."""

    RNN = "RNN"
    LSTM = "LSTM"
    GRU = "GRU"
    RNN_CELL = "RNNCell"
    LSTM_CELL = "LSTMCell"
    GRU_CELL = "GRUCell"

    @cached_property
    def is_cell(self) -> bool:
        """Whether it computes a single step instead of a sequence."""
        return self in _LAYER_OF

    @cached_property
    def layer(self) -> Kind:
        """The kind of the sequence layer with the same equations."""
        return _LAYER_OF.get(self, self)

    @property
    def cell(self) -> Kind:
        """The kind of the cell with the same equations."""
        return next(cell for cell, layer in _LAYER_OF.items() if layer is self.layer)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The constructor's arguments that have a default, in ``torch.nn``'s order."""
        if self.is_cell:
            return ("bias", "nonlinearity") if self.layer is Kind.RNN else ("bias",)
        rest = ("bias", "batch_first", "dropout", "bidirectional")
        if self is Kind.RNN:
            return ("num_layers", "nonlinearity", *rest)
        return ("num_layers", *rest, *(["proj_size"] if self is Kind.LSTM else []))

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The blocks of ``H`` rows in each weight and bias, in PyTorch's order."""
        return _GATES[self.layer]

    @cached_property
    def has_cell_state(self) -> bool:
        """Whether the state is the pair ``(h, c)``."""
        return self.layer is Kind.LSTM


_LAYER_OF = {
    Kind.RNN_CELL: Kind.RNN,
    Kind.LSTM_CELL: Kind.LSTM,
    Kind.GRU_CELL: Kind.GRU,
}

_GATES = {Kind.RNN: ("h",), Kind.LSTM: ("i", "f", "g", "o"), Kind.GRU: ("r", "z", "n")}


class Feature(StrEnum):
    """What an implementation may leave out; each is declared or not.

    The last three are finer than a constructor's argument: a call needs them or does not, and
    whoever declares what they are ``within`` has them unless he says so.
    """

    BIDIRECTIONAL = "bidirectional"
    MULTI_LAYER = "multi_layer"
    BATCH_FIRST = "batch_first"
    BIAS_FREE = "bias_free"
    INITIAL_STATE = "initial_state"
    UNBATCHED = "unbatched"
    PACKED = "packed"
    PROJECTION = "projection"
    RELU = "relu"
    DROPOUT = "dropout"
    EMPTY_BATCH = "empty_batch"
    UNSORTED = "unsorted"
    OMITTED_STATE = "omitted_state"
    BIDIRECTIONAL_STATE = "bidirectional_state"

    @property
    def is_finer(self) -> bool:
        """Whether it is there without being named, wherever what it is within is."""
        return self in _WITHIN

    @property
    def within(self) -> frozenset[Feature]:
        """The features without which it means nothing."""
        return _WITHIN.get(self, frozenset())

    @classmethod
    def of(cls, kind: Kind) -> frozenset[Feature]:
        """Every feature that ``torch.nn``'s class of this kind has."""
        features = {cls.BIAS_FREE, cls.INITIAL_STATE, cls.UNBATCHED, cls.EMPTY_BATCH}
        features.add(cls.OMITTED_STATE)
        if kind.layer is Kind.RNN:
            features.add(cls.RELU)
        if not kind.is_cell:
            features |= {cls.BIDIRECTIONAL, cls.MULTI_LAYER, cls.BATCH_FIRST}
            features |= {cls.PACKED, cls.DROPOUT, cls.UNSORTED, cls.BIDIRECTIONAL_STATE}
        if kind is Kind.LSTM:
            features.add(cls.PROJECTION)
        return frozenset(features)


_WITHIN = {
    Feature.UNSORTED: frozenset({Feature.PACKED}),
    Feature.OMITTED_STATE: frozenset[Feature](),
    Feature.BIDIRECTIONAL_STATE: frozenset({Feature.BIDIRECTIONAL, Feature.INITIAL_STATE}),
}


ARGUMENTS = {
    "num_layers": Feature.MULTI_LAYER,
    "nonlinearity": Feature.RELU,
    "bias": Feature.BIAS_FREE,
    "batch_first": Feature.BATCH_FIRST,
    "dropout": Feature.DROPOUT,
    "bidirectional": Feature.BIDIRECTIONAL,
    "proj_size": Feature.PROJECTION,
}
"""The constructor's arguments that have a default, each with the feature that it is part of."""


class Level(StrEnum):
    """How much an implementation claims; each level includes those before it."""

    INFERENCE = "inference"
    TRAINING = "training"
    DROP_IN = "drop-in"

    @property
    def rank(self) -> int:
        """Position in the order inference, training, drop-in, from 0."""
        return list(Level).index(self)


class Dtype(StrEnum):
    """The floating-point formats a layer is asked to compute in."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Storage(StrEnum):
    """Formats of fewer digits in which a layer may keep its weights."""

    INT8 = "int8"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Role(StrEnum):
    """What a parameter is, in its layer and direction; the beginnings of ``torch.nn``'s names."""

    WEIGHT_IH = "weight_ih"
    WEIGHT_HH = "weight_hh"
    BIAS_IH = "bias_ih"
    BIAS_HH = "bias_hh"
    WEIGHT_HR = "weight_hr"

    @property
    def is_bias(self) -> bool:
        """Whether it is added, not multiplied with."""
        return self in (Role.BIAS_IH, Role.BIAS_HH)


@dataclass(frozen=True)
class Parameter:
    """One parameter: what it is, in which layer and direction (0 forward, 1 reverse), its shape."""

    role: Role
    layer: int
    direction: int
    shape: Shape


@dataclass(frozen=True)
class Config:
    """The constructor arguments of a recurrent layer or cell.

    Raises ``ValueError`` where ``torch.nn`` would refuse the arguments (ERR-1).
    """

    kind: Kind
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    proj_size: int = 0
    nonlinearity: str = "tanh"

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout must lie in [0, 1], not {self.dropout}")
        if not 0 <= self.proj_size < self.hidden_size:
            raise ValueError(f"proj_size must lie in [0, hidden_size), not {self.proj_size}")
        if self.proj_size and self.kind is not Kind.LSTM:
            raise ValueError("only LSTM has a projection")
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be tanh or relu, not {self.nonlinearity}")
        if self.nonlinearity == "relu" and self.kind.layer is not Kind.RNN:
            raise ValueError("only RNN and RNNCell have a nonlinearity")
        if self.kind.is_cell and (
            self.num_layers > 1 or self.bidirectional or self.batch_first or self.dropout
        ):
            raise ValueError("a cell has one layer, one direction and no time axis")

    @classmethod
    def having(
        cls,
        kind: Kind,
        features: Collection[Feature],
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 2,
        proj_size: int = 1,
        dropout: float = 0.5,
    ) -> Config:
        """With these features and no others; ``num_layers`` and so on as far as they are used."""
        return cls(
            kind,
            input_size,
            hidden_size,
            num_layers=num_layers if Feature.MULTI_LAYER in features else 1,
            bias=Feature.BIAS_FREE not in features,
            batch_first=Feature.BATCH_FIRST in features,
            dropout=dropout if Feature.DROPOUT in features else 0.0,
            bidirectional=Feature.BIDIRECTIONAL in features,
            proj_size=proj_size if Feature.PROJECTION in features else 0,
            nonlinearity="relu" if Feature.RELU in features else "tanh",
        )

    @property
    def num_directions(self) -> int:
        """``D``: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """``H_out``: features of one direction's output and of ``h``."""
        return self.proj_size or self.hidden_size

    @property
    def num_states(self) -> int:
        """``D * K``: the leading size of ``h_n`` and ``c_n``."""
        return self.num_directions * self.num_layers

    def layer_input_size(self, layer: int) -> int:
        """Features that layer number ``layer`` (from 0) reads (DIR-4)."""
        return self.input_size if layer == 0 else self.num_directions * self.output_size

    def suffix(self, layer: int, direction: int) -> str:
        """The end of the parameters' names: ``_l0``, ``_l0_reverse``; none for a cell."""
        if self.kind.is_cell:
            return ""
        return f"_l{layer}" + ("_reverse" if direction else "")

    def places(self) -> Iterator[tuple[int, int]]:
        """Each (layer, direction), in the order of the states (LAY-1)."""
        for layer in range(self.num_layers):
            for direction in range(self.num_directions):
                yield layer, direction

    def parameter_name(self, role: Role, layer: int, direction: int) -> str:
        """``torch.nn``'s name of a parameter: ``weight_ih_l0_reverse``."""
        return role.value + self.suffix(layer, direction)

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Each parameter by name, in ``torch.nn``'s order (PAR-1)."""
        rows = len(self.kind.gates) * self.hidden_size
        described: dict[str, Parameter] = {}
        for layer, direction in self.places():
            shapes: dict[Role, Shape] = {
                Role.WEIGHT_IH: (rows, self.layer_input_size(layer)),
                Role.WEIGHT_HH: (rows, self.output_size),
            }
            if self.bias:
                shapes |= {Role.BIAS_IH: (rows,), Role.BIAS_HH: (rows,)}
            if self.proj_size:
                shapes[Role.WEIGHT_HR] = (self.proj_size, self.hidden_size)
            for role, shape in shapes.items():
                name = self.parameter_name(role, layer, direction)
                described[name] = Parameter(role, layer, direction, shape)
        return described

    @cached_property
    def parameter_shapes(self) -> dict[str, Shape]:
        """Each parameter's shape by name, in ``torch.nn``'s order (PAR-1)."""
        return {name: parameter.shape for name, parameter in self.parameters.items()}

    @cached_property
    def features(self) -> frozenset[Feature]:
        """The features that a layer with these arguments needs."""
        needed = {
            Feature.BIDIRECTIONAL: self.bidirectional,
            Feature.MULTI_LAYER: self.num_layers > 1,
            Feature.BATCH_FIRST: self.batch_first,
            Feature.BIAS_FREE: not self.bias,
            Feature.PROJECTION: self.proj_size > 0,
            Feature.RELU: self.nonlinearity == "relu",
            Feature.DROPOUT: self.dropout > 0,
        }
        return frozenset(feature for feature, need in needed.items() if need)

    def features_of_call(
        self, *, has_state: bool, batch: int | None, lengths: tuple[int, ...] | None
    ) -> frozenset[Feature]:
        """The features that a call of such a layer needs.

        ``batch`` is ``None`` if unbatched, ``lengths`` where the input is not packed.
        """
        in_order = sorted(lengths or (), reverse=True) == list(lengths or ())
        needed = {
            Feature.INITIAL_STATE: has_state,
            Feature.OMITTED_STATE: not has_state,
            Feature.BIDIRECTIONAL_STATE: has_state and self.bidirectional,
            Feature.UNBATCHED: batch is None,
            Feature.PACKED: lengths is not None,
            Feature.UNSORTED: not in_order,
            Feature.EMPTY_BATCH: batch == 0,
        }
        return self.features | {feature for feature, need in needed.items() if need}

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments for ``torch.nn``'s constructor that are not its defaults.

        ``input_size`` and ``hidden_size`` are always there. Defaults are left out so
        that a class without, say, ``proj_size`` can be asked for what it does have.
        """
        return {
            name: getattr(self, name)
            for name, default in _DEFAULTS.items()
            if name != "kind" and getattr(self, name) != default
        }

    def to_record(self) -> dict[str, Any]:
        """All arguments as plain JSON values."""
        return {name: getattr(self, name) for name in _DEFAULTS}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Config:
        """The inverse of :meth:`to_record`."""
        return cls(**{**record, "kind": Kind(record["kind"])})

    def __str__(self) -> str:
        listed = ", ".join(f"{name}={value!r}" for name, value in self.arguments().items())
        return f"{self.kind}({listed})"


_DEFAULTS = {field.name: field.default for field in fields(Config)}
"""Each argument with its default, which is none of its values where there is none."""
