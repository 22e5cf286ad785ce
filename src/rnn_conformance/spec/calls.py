"""A layer's specification, and the arguments of one call of it.

Arrays are in one canonical layout: time-major and batched. ``input`` is ``(L, N, H_in)``,
states are ``(D*K, N, ·)``; a cell is a sequence of one step, an unbatched call a batch of one.
The layout that the configuration asks for (``batch_first``, unbatched, a cell's) is made from
it at the last moment and undone first thing, here and nowhere else, so that every law can be
written once. Arrays are float64 whatever the dtype; their values are exactly representable in
the dtype, so nothing is lost. They cannot be written to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.spec.arrays import Array, ByValue, from_plain, frozen, to_plain
from rnn_conformance.spec.config import Config, Dtype, Feature, Shape


@dataclass(frozen=True, eq=False)
class LayerSpec(ByValue):
    """What builds a layer: its configuration, its dtype and its parameters by name.

    Raises ``ValueError`` where the parameters do not fit the configuration.
    """

    config: Config
    dtype: Dtype
    parameters: Mapping[str, Array]

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.parameters.items()}
        if shapes != self.config.parameter_shapes:
            raise ValueError(f"parameters {shapes} do not fit {self.config}")
        kept = {name: frozen(array) for name, array in self.parameters.items()}
        object.__setattr__(self, "parameters", MappingProxyType(kept))

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "config": self.config.to_record(),
            "dtype": self.dtype.value,
            "parameters": {name: to_plain(array) for name, array in self.parameters.items()},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LayerSpec:
        """The inverse of :meth:`to_record`."""
        return cls(
            Config.from_record(record["config"]),
            Dtype(record["dtype"]),
            {name: from_plain(plain) for name, plain in record["parameters"].items()},
        )


@dataclass(frozen=True, eq=False)
class Arguments(ByValue):
    """What a layer is called with: input, initial state and lengths.

    ``dtype`` is the one in which the arrays are handed over. ``h_0`` and ``c_0`` are ``None``
    where the caller passes no state. ``lengths`` are the sequences' lengths for a packed call,
    in the caller's order, ``None`` for any other.

    Raises ``ValueError`` where they do not fit one another.
    """

    dtype: Dtype
    input: Array
    h_0: Array | None = None
    c_0: Array | None = None
    lengths: tuple[int, ...] | None = None
    unbatched: bool = False

    def __post_init__(self) -> None:
        if self.input.ndim != 3:
            raise ValueError(f"input {self.input.shape} is not steps by samples by features")
        for name in ("h_0", "c_0"):
            state = getattr(self, name)
            if state is not None and (state.ndim != 3 or state.shape[1] != self.batch):
                raise ValueError(f"{name} {state.shape} does not fit {self.batch} samples")
        if self.c_0 is not None and self.h_0 is None:
            raise ValueError("c_0 goes with h_0")
        if self.lengths is not None and (
            len(self.lengths) != self.batch
            or not all(1 <= length <= self.length for length in self.lengths)
        ):
            raise ValueError(f"lengths {self.lengths} do not fit input {self.input.shape}")
        if self.unbatched and (self.batch != 1 or self.lengths is not None):
            raise ValueError("an unbatched call has one sample and no lengths")
        for name in ("input", "h_0", "c_0"):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, frozen(array))

    @property
    def length(self) -> int:
        """``L``, the number of steps."""
        return int(self.input.shape[0])

    @property
    def batch(self) -> int:
        """``N``, the number of samples (1 if unbatched)."""
        return int(self.input.shape[1])

    @property
    def states(self) -> dict[str, Array]:
        """The initial states that are given, by name."""
        states = {"h_0": self.h_0, "c_0": self.c_0}
        return {name: state for name, state in states.items() if state is not None}

    @property
    def steps(self) -> NDArray[np.bool_]:
        """``(L, N)``: which steps belong to a sequence and which to the padding."""
        return steps_of(self.length, self.batch, self.lengths)

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        arrays = {name: getattr(self, name) for name in ("input", "h_0", "c_0")}
        return {
            "dtype": self.dtype.value,
            **{name: None if a is None else to_plain(a) for name, a in arrays.items()},
            "lengths": None if self.lengths is None else list(self.lengths),
            "unbatched": self.unbatched,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Arguments:
        """The inverse of :meth:`to_record`."""
        input, h_0, c_0 = (
            None if record[name] is None else from_plain(record[name])
            for name in ("input", "h_0", "c_0")
        )
        if input is None:
            raise ValueError("there is no call without input")
        lengths = None if record["lengths"] is None else tuple(record["lengths"])
        return cls(Dtype(record["dtype"]), input, h_0, c_0, lengths, record["unbatched"])


def steps_of(length: int, batch: int, lengths: tuple[int, ...] | None) -> NDArray[np.bool_]:
    """``(L, N)``: which steps belong to a sequence; all of them where no lengths are given."""
    if lengths is None:
        return np.ones((length, batch), dtype=bool)
    return np.arange(length)[:, None] < np.asarray(lengths)[None, :]


OF_LAYER = frozenset({"config", "dtype", "parameters"})
OF_ARGUMENTS = frozenset({"dtype", "input", "h_0", "c_0", "lengths", "unbatched"})


@dataclass(frozen=True, eq=False)
class Call(ByValue):
    """A layer and what it is called with, in one of its modes.

    A call in ``training`` mode drops elements of each layer's output but the last's, where the
    configuration says so.

    Raises ``ValueError`` where the arguments do not fit the layer.
    """

    layer: LayerSpec
    arguments: Arguments
    training: bool = False

    def __post_init__(self) -> None:
        config, given = self.config, self.arguments
        if given.input.shape[2] != config.input_size:
            raise ValueError(f"input {given.input.shape} does not fit {config}")
        for name, state in given.states.items():
            if state.shape != self.state_shape(name):
                raise ValueError(f"{name} {state.shape} should be {self.state_shape(name)}")
        if (given.c_0 is not None) != (given.h_0 is not None and config.kind.has_cell_state):
            raise ValueError("c_0 goes with h_0, for LSTM alone")

    @classmethod
    def of(
        cls,
        config: Config,
        dtype: Dtype,
        parameters: Mapping[str, Array],
        input: Array,
        h_0: Array | None = None,
        c_0: Array | None = None,
        lengths: tuple[int, ...] | None = None,
        *,
        unbatched: bool = False,
        training: bool = False,
    ) -> Call:
        """From everything that it is made of."""
        layer = LayerSpec(config, dtype, parameters)
        return cls(layer, Arguments(dtype, input, h_0, c_0, lengths, unbatched), training)

    def replace(self, **changes: Any) -> Call:
        """The call with other fields of its own, of its layer's or of its arguments'.

        ``dtype`` is that of both. Raises ``TypeError`` for a field that there is not.
        """
        layer = {name: value for name, value in changes.items() if name in OF_LAYER}
        given = {name: value for name, value in changes.items() if name in OF_ARGUMENTS}
        rest = {name: changes[name] for name in changes.keys() - OF_LAYER - OF_ARGUMENTS}
        if layer:
            rest["layer"] = dataclasses.replace(self.layer, **layer)
        if given:
            rest["arguments"] = dataclasses.replace(self.arguments, **given)
        return dataclasses.replace(self, **rest)

    def samples(self, chosen: slice | NDArray[np.int_]) -> Call:
        """The call with these samples of the batch, in this order."""
        lengths = self.lengths
        if lengths is not None:
            lengths = tuple(int(length) for length in np.asarray(lengths)[chosen])
        states = {name: state[:, chosen] for name, state in self.arguments.states.items()}
        return self.replace(input=self.input[:, chosen], lengths=lengths, **states)

    @property
    def config(self) -> Config:
        """The layer's configuration."""
        return self.layer.config

    @property
    def dtype(self) -> Dtype:
        """The dtype in which is computed: the layer's."""
        return self.layer.dtype

    @property
    def parameters(self) -> Mapping[str, Array]:
        """The layer's parameters by name."""
        return self.layer.parameters

    @property
    def input(self) -> Array:
        """``(L, N, H_in)``."""
        return self.arguments.input

    @property
    def h_0(self) -> Array | None:
        """``(D*K, N, H_out)``, if it is given."""
        return self.arguments.h_0

    @property
    def c_0(self) -> Array | None:
        """``(D*K, N, H)``, if it is given."""
        return self.arguments.c_0

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """The sequences' lengths, where the input is packed."""
        return self.arguments.lengths

    @property
    def unbatched(self) -> bool:
        """Whether the one sample has no axis of its own."""
        return self.arguments.unbatched

    @property
    def length(self) -> int:
        """``L``, the number of steps."""
        return self.arguments.length

    @property
    def batch(self) -> int:
        """``N``, the number of samples (1 if unbatched)."""
        return self.arguments.batch

    @property
    def steps(self) -> NDArray[np.bool_]:
        """``(L, N)``: which steps belong to a sequence and which to the padding."""
        return self.arguments.steps

    @cached_property
    def features(self) -> frozenset[Feature]:
        """The features that an implementation needs to answer."""
        return self.config.features_of_call(
            has_state=self.h_0 is not None,
            batch=None if self.unbatched else self.batch,
            lengths=self.lengths,
        )

    @property
    def results(self) -> tuple[str, ...]:
        """The names of the arrays that come back; a cell has no output but its state."""
        states = ("h_n", "c_n") if self.config.kind.has_cell_state else ("h_n",)
        return states if self.config.kind.is_cell else ("output", *states)

    def shape(self, result: str) -> Shape:
        """The canonical shape of the result of this name (SHP-1 to SHP-3)."""
        config = self.config
        if result == "output":
            features = config.num_directions * config.output_size
            return (self.length, self.batch, features)
        width = config.output_size if result == "h_n" else config.hidden_size
        return (config.num_states, self.batch, width)

    def state_shape(self, state: str) -> Shape:
        """The canonical shape of the initial state of this name."""
        return self.shape({"h_0": "h_n", "c_0": "c_n"}[state])

    def given_shape(self, result: str) -> Shape:
        """The shape of the result of this name as the caller must receive it."""
        return self.give(result, np.empty(self.shape(result))).shape

    def give(self, name: str, array: Array) -> Array:
        """From canonical to the layout of the call; ``name`` is an argument's or result's."""
        if self.config.kind.is_cell:
            array = array[0]
            return array[0] if self.unbatched else array
        if self.unbatched:
            return array[:, 0]
        if self.config.batch_first and name in ("input", "output"):
            return array.swapaxes(0, 1)
        return array

    def take(self, name: str, array: Array) -> Array:
        """From the layout of the call to canonical: the inverse of :meth:`give`."""
        if self.config.kind.is_cell:
            return array[None, None] if self.unbatched else array[None]
        if self.unbatched:
            return array[:, None]
        if self.config.batch_first and name in ("input", "output"):
            return array.swapaxes(0, 1)
        return array

    def __str__(self) -> str:
        return self._words

    @cached_property
    def _words(self) -> str:
        # Every call is told before it is made, and its layer's construction before that.
        layer, cell = self.config.kind.value.lower(), self.config.kind.is_cell
        input_shape = self.give("input", self.input).shape
        given = f"input {'x'.join(map(str, input_shape))}"
        if self.lengths is not None:
            given += f" packed with lengths {list(self.lengths)}"
        state = "no state" if self.h_0 is None else "(h_0, c_0)" if self.c_0 is not None else "h_0"
        name = "cell" if cell else layer
        mode = " in training mode" if self.training else ""
        return f"{name} = {self.config}, {self.dtype}; {name}({given}, {state}){mode}"
