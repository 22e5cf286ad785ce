"""One case: a configuration, sizes, and a seed from which the arrays are made.

A case is small, printable and comparable, so it can be drawn, shrunk, recorded and
replayed; its arrays follow from it. They are made from the seed and a named
distribution rather than drawn one by one: a drawn array shrinks to zeros, and zeros
hide most defects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call, steps_of
from rnn_conformance.spec.config import Config, Dtype, Feature, Parameter, Role


class State(StrEnum):
    """What the caller passes as initial state; simplest first."""

    OMITTED = "omitted"
    ZEROS = "zeros"
    GIVEN = "given"


class Values(StrEnum):
    """How parameters, inputs and states are distributed; plainest first.

    - ``plain``: eighths between -1 and 1, none zero, to be read by people;
    - ``typical``: weights that keep pre-activations around 1, normal inputs, and biases
      and states of the same size, so that none of them can be left out unnoticed;
    - ``saturated``: input weights and biases that push pre-activations to 4 and beyond,
      where clipped and rational activations differ; recurrent weights stay moderate, so
      the bound stays tight;
    - ``mixed``: inputs and states spread over twelve binary orders of magnitude;
    - ``strong``: recurrent weights three times as large, so that states matter most;
    - ``positive``: everything positive, so that rounding and sign errors add up.
    """

    PLAIN = "plain"
    TYPICAL = "typical"
    SATURATED = "saturated"
    MIXED = "mixed"
    STRONG = "strong"
    POSITIVE = "positive"


@dataclass(frozen=True)
class Case:
    """A call, described. ``batch`` is ``None`` for unbatched input.

    Raises ``ValueError`` for lengths that do not fit and for a cell with other than one
    step.
    """

    config: Config
    length: int
    batch: int | None
    dtype: Dtype = Dtype.FLOAT32
    lengths: tuple[int, ...] | None = None
    state: State = State.OMITTED
    values: Values = Values.PLAIN
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 1 or (self.batch is not None and self.batch < 0):
            raise ValueError("length must be positive and batch not negative")
        if self.config.kind.is_cell and self.length != 1:
            raise ValueError("a cell takes one step")
        if self.lengths is not None and (
            len(self.lengths) != self.batch
            or max(self.lengths, default=0) != self.length
            or min(self.lengths, default=1) < 1
        ):
            raise ValueError("lengths must have one entry a sample, the longest being length")

    @classmethod
    def having(
        cls,
        features: Collection[Feature],
        config: Config,
        length: int,
        batch: int,
        lengths: Sequence[int] = (),
        *,
        dtype: Dtype = Dtype.FLOAT32,
        state: State = State.GIVEN,
        values: Values = Values.PLAIN,
        seed: int = 0,
    ) -> Case:
        """With those of these features that are the call's; ``lengths`` as far as it is packed.

        ``config`` is made of the same features. A cell takes one step; packed sequences as
        many as the longest.
        """
        packed = Feature.PACKED in features
        if config.kind.is_cell:
            length = 1
        empty, unbatched = Feature.EMPTY_BATCH in features, Feature.UNBATCHED in features
        return cls(
            config,
            max(lengths) if packed else length,
            0 if empty else None if unbatched else batch,
            dtype,
            tuple(lengths) if packed else None,
            state if Feature.INITIAL_STATE in features else State.OMITTED,
            values,
            seed,
        )

    @property
    def features(self) -> frozenset[Feature]:
        """The features that an implementation needs to answer."""
        return self.config.features_of_call(
            has_state=self.state is not State.OMITTED,
            batch=self.batch,
            lengths=self.lengths,
        )

    def call(self) -> Call:
        """The call, its arrays made from the seed."""
        return _call(self)

    def to_record(self) -> dict[str, Any]:
        """The case as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "config": self.config.to_record()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Case:
        """The inverse of :meth:`to_record`."""
        lengths = record["lengths"]
        return cls(
            **{
                **record,
                "config": Config.from_record(record["config"]),
                "dtype": Dtype(record["dtype"]),
                "lengths": None if lengths is None else tuple(lengths),
                "state": State(record["state"]),
                "values": Values(record["values"]),
            }
        )


def rounded(array: Array, dtype: Dtype) -> Array:
    """The nearest values that ``dtype`` can represent, still as float64."""
    if dtype is Dtype.FLOAT64:
        return array
    if dtype is Dtype.BFLOAT16:
        # bfloat16 is the upper half of a float32: round to nearest even by its bits.
        bits = array.astype(np.float32).view(np.uint32)
        rounded_bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        finite: Array = rounded_bits.view(np.float32).astype(np.float64)
        return np.where(np.isfinite(array), finite, array)
    narrow: Array = array.astype(dtype.value).astype(np.float64)
    return narrow


def _eighths(rng: np.random.Generator, size: int) -> Array:
    eighths: Array = rng.integers(1, 9, size) * rng.choice([-0.125, 0.125], size)
    return eighths


def _weights(case: Case, rng: np.random.Generator, parameter: Parameter) -> Array:
    """One parameter. A weight's scale falls with the square root of what it sums over.

    The recurrent weights of relu are kept below a spectral radius of one, since relu
    does not bound what it lets grow.
    """
    shape = parameter.shape
    size = prod(shape)
    bias, recurrent = parameter.role.is_bias, parameter.role is Role.WEIGHT_HH
    fan = 1 if bias else shape[1]
    if case.values is Values.PLAIN:
        flat = _eighths(rng, size)
        # A power of two keeps the eighths readable.
        scale = 1.0 if bias else 2.0 ** -np.ceil(np.log2(max(fan, 1)) / 2)
    else:
        flat = rng.uniform(-1.0, 1.0, size)
        scale = 1.0 if bias else np.sqrt(3.0 / fan)
        if case.values is Values.POSITIVE:
            flat, scale = np.abs(flat), 1.0 if bias else 2.0 / fan
        elif case.values is Values.SATURATED and not recurrent:
            scale *= 4.0
        elif case.values is Values.STRONG and recurrent:
            scale *= 3.0
    if recurrent and case.config.nonlinearity == "relu":
        scale = min(scale, 1.0 / fan)
    return (scale * flat).reshape(shape)


def _signal(case: Case, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """An input or a state."""
    size = prod(shape)
    if case.values is Values.PLAIN:
        flat = _eighths(rng, size)
    elif case.values is Values.MIXED:
        # 2^-8 to 2^4: small ones must survive beside large ones.
        flat = rng.choice([-1.0, 1.0], size) * 2.0 ** rng.uniform(-8.0, 4.0, size)
    else:
        flat = rng.standard_normal(size)
        if case.values is Values.POSITIVE:
            flat = np.abs(flat)
    return flat.reshape(shape)


def forget() -> None:
    """Let go of the calls that are kept: for whoever made such as are too large to be."""
    _call.cache_clear()


@lru_cache(maxsize=1024)
def _call(case: Case) -> Call:
    config = case.config
    rng = np.random.default_rng([case.seed, list(Values).index(case.values)])
    batch = 1 if case.batch is None else case.batch
    parameters = {
        name: rounded(_weights(case, rng, parameter), case.dtype)
        for name, parameter in config.parameters.items()
    }
    data = rounded(_signal(case, rng, (case.length, batch, config.input_size)), case.dtype)
    states: dict[str, Array] = {}
    widths = {"h_0": config.output_size, "c_0": config.hidden_size}
    for name in ("h_0", "c_0") if config.kind.has_cell_state else ("h_0",):
        shape = (config.num_states, batch, widths[name])
        if case.state is State.GIVEN:
            states[name] = rounded(_signal(case, rng, shape), case.dtype)
        elif case.state is State.ZEROS:
            states[name] = np.zeros(shape)
    if case.lengths is not None:
        # Padding that would show if anything read it, yet is nothing unusual.
        data[~steps_of(case.length, batch, case.lengths)] = 7.0
    return Call.of(
        config,
        case.dtype,
        parameters,
        data,
        states.get("h_0"),
        states.get("c_0"),
        case.lengths,
        unbatched=case.batch is None,
    )
