"""One call of a layer, and what came back: arrays in one canonical layout.

Canonical is time-major and batched: ``input`` is ``(L, N, H_in)``, states are
``(D*K, N, ·)``; a cell is a sequence of one step, an unbatched call a batch of one.
The layout that the configuration asks for (``batch_first``, unbatched, a cell's)
is made from it at the last moment and undone first thing, here and nowhere else,
so that every law can be written once. Arrays are float64 whatever the dtype;
their values are exactly representable in the dtype, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.errors import NonConforming
from rnn_conformance.spec import Config, Dtype, Feature, Shape

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Call:
    """The parameters and arguments of one forward call, canonical.

    ``lengths`` are the sequences' lengths for a packed call, in the caller's order;
    ``h_0`` and ``c_0`` are ``None`` where the caller passes no state. A call in
    ``training`` mode drops elements of each layer's output but the last's; ``masks``, if
    they are known, are what it drew: a factor for each element, ``(L, N, D*H_out)`` for
    each of these layers. ``tf32`` says that the implementation multiplies float32 numbers
    in TF32. Compared by identity, so that what is derived from a call can be kept beside it.

    Raises ``ValueError`` where the arrays do not fit the configuration.
    """

    config: Config
    dtype: Dtype
    parameters: Mapping[str, Array]
    input: Array
    h_0: Array | None = None
    c_0: Array | None = None
    lengths: tuple[int, ...] | None = None
    unbatched: bool = False
    training: bool = False
    masks: tuple[Array, ...] | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        shapes = {name: array.shape for name, array in self.parameters.items()}
        if shapes != self.config.parameter_shapes:
            raise ValueError(f"parameters {shapes} do not fit {self.config}")
        if self.input.ndim != 3 or self.input.shape[2] != self.config.input_size:
            raise ValueError(f"input {self.input.shape} does not fit {self.config}")
        for name, state, width in (
            ("h_0", self.h_0, self.config.output_size),
            ("c_0", self.c_0, self.config.hidden_size),
        ):
            shape = (self.config.num_states, self.batch, width)
            if state is not None and state.shape != shape:
                raise ValueError(f"{name} {state.shape} should be {shape}")
        if (self.c_0 is not None) != (self.h_0 is not None and self.config.kind.has_cell_state):
            raise ValueError("c_0 goes with h_0, for LSTM alone")
        if self.lengths is not None and (
            len(self.lengths) != self.batch
            or not all(1 <= length <= self.length for length in self.lengths)
        ):
            raise ValueError(f"lengths {self.lengths} do not fit input {self.input.shape}")
        if self.unbatched and (self.batch != 1 or self.lengths is not None):
            raise ValueError("an unbatched call has one sample and no lengths")
        if self.masks is not None and [mask.shape for mask in self.masks] != [
            self.shape("output")
        ] * (self.config.num_layers - 1):
            raise ValueError("there must be a mask of the output's shape between any two layers")

    @property
    def length(self) -> int:
        """``L``, the number of steps."""
        return int(self.input.shape[0])

    @property
    def batch(self) -> int:
        """``N``, the number of samples (1 if unbatched)."""
        return int(self.input.shape[1])

    @property
    def features(self) -> frozenset[Feature]:
        """The features that an implementation needs to answer."""
        needed = {
            Feature.INITIAL_STATE: self.h_0 is not None,
            Feature.UNBATCHED: self.unbatched,
            Feature.PACKED: self.lengths is not None,
            Feature.EMPTY_BATCH: self.batch == 0,
        }
        return self.config.features | {feature for feature, need in needed.items() if need}

    @property
    def steps(self) -> NDArray[np.bool_]:
        """``(L, N)``: which steps belong to a sequence and which to the padding."""
        if self.lengths is None:
            return np.ones((self.length, self.batch), dtype=bool)
        return np.arange(self.length)[:, None] < np.asarray(self.lengths)[None, :]

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
        layer, cell = self.config.kind.value.lower(), self.config.kind.is_cell
        input_shape = self.give("input", self.input).shape
        given = f"input {'x'.join(map(str, input_shape))}"
        if self.lengths is not None:
            given += f" packed with lengths {list(self.lengths)}"
        state = "no state" if self.h_0 is None else "(h_0, c_0)" if self.c_0 is not None else "h_0"
        name = "cell" if cell else layer
        mode = " in training mode" if self.training else ""
        return f"{name} = {self.config}, {self.dtype}; {name}({given}, {state}){mode}"


@dataclass(frozen=True, eq=False)
class Result:
    """What an implementation answered to a call.

    ``given`` are the arrays by name, in the layout in which they came; as attributes
    they are canonical. ``dtypes`` and ``devices`` are theirs as they came. ``packed`` is
    the bookkeeping of a packed output (``batch_sizes``, ``sorted_indices``,
    ``unsorted_indices``), where the implementation packs.
    """

    call: Call
    given: Mapping[str, Array]
    dtypes: Mapping[str, str]
    devices: Mapping[str, str]
    packed: Mapping[str, tuple[int, ...] | None] | None = None

    def __getitem__(self, name: str) -> Array:
        """The array of this name, canonical.

        Its shape is checked when it is asked for, so that a wrong shape of one result
        does not hide what is right with another. Raises ``NonConforming``.
        """
        array, due = self.given[name], self.call.given_shape(name)
        if array.shape != due:
            raise NonConforming(
                f"{name} has the shape {array.shape} instead of {due}"
                + _hint(self.call, name, array.shape),
                calls=(self.call,),
                array=name,
                expected=due,
                got=array.shape,
            )
        return self.call.take(name, array)

    @property
    def output(self) -> Array:
        """``(L, N, D*H_out)``; a cell's output is its ``h``."""
        return self["h_n" if self.call.config.kind.is_cell else "output"]

    @property
    def h_n(self) -> Array:
        """``(D*K, N, H_out)``."""
        return self["h_n"]

    @property
    def c_n(self) -> Array:
        """``(D*K, N, H)``, for LSTM alone."""
        return self["c_n"]


def _hint(call: Call, name: str, shape: Shape) -> str:
    """What a wrong shape looks like, where it looks like a known mistake."""
    due = call.given_shape(name)
    if len(due) == 3 and shape == (due[1], due[0], due[2]):
        if name == "output":
            return ": steps and samples are swapped, as with the other batch_first"
        return ": states are never batch-first"
    if name == "output" and len(due) == 3:
        if len(shape) == 2 and shape[0] == due[0] * due[1]:
            return ": steps and samples are concatenated into one axis"
        if len(shape) == 3 and shape[:2] == due[:2]:
            return ": right steps and samples, but not D * H_out features"
    if name != "output" and len(due) == 3 and shape == due[1:]:
        return ": the axis of layers and directions is missing; one layer has it too"
    return ""
