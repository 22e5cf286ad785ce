"""One case: a configuration, sizes, and a seed from which the arrays are made.

A case is small, printable and comparable, so it can be drawn, shrunk, recorded and
replayed; its arrays follow from it. They are made from the seed and a named
distribution rather than drawn one by one: a drawn array shrinks to zeros, and zeros
hide most defects.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np

from rnn_conformance.calls import Array, Call
from rnn_conformance.spec import Config, Dtype, Feature


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
    """A call, described. ``batch`` is ``None`` for unbatched input; ``tf32`` as in a call.

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
    tf32: bool = False

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

    @property
    def features(self) -> frozenset[Feature]:
        """The features that an implementation needs to answer."""
        needed = {
            Feature.INITIAL_STATE: self.state is not State.OMITTED,
            Feature.UNBATCHED: self.batch is None,
            Feature.PACKED: self.lengths is not None,
            Feature.EMPTY_BATCH: self.batch == 0,
        }
        return self.config.features | {feature for feature, need in needed.items() if need}

    def call(self) -> Call:
        """The call, its arrays made from the seed; the same object while it is in use."""
        return _call(self)

    def to_record(self) -> dict[str, Any]:
        """The case as plain JSON values."""
        return asdict(self)

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


def _weights(case: Case, rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """One parameter. A weight's scale falls with the square root of what it sums over.

    The recurrent weights of relu are kept below a spectral radius of one, since relu
    does not bound what it lets grow.
    """
    size = int(np.prod(shape))
    bias, recurrent = name.startswith("bias"), name.startswith("weight_hh")
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
    size = int(np.prod(shape))
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


@lru_cache(maxsize=1024)
def _call(case: Case) -> Call:
    config = case.config
    rng = np.random.default_rng([case.seed, list(Values).index(case.values)])
    batch = 1 if case.batch is None else case.batch
    parameters = {
        name: rounded(_weights(case, rng, name, shape), case.dtype)
        for name, shape in config.parameter_shapes.items()
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
    call = Call(
        config,
        case.dtype,
        parameters,
        data,
        states.get("h_0"),
        states.get("c_0"),
        case.lengths,
        unbatched=case.batch is None,
        tf32=case.tf32,
    )
    if case.lengths is not None:
        # Padding that would show if anything read it, yet is nothing unusual.
        data[~call.steps] = 7.0
    return call
