"""How fast implementations are beside ``torch.nn``, as plain records.

:func:`document` makes ``bench.json`` of them, of which everything that a person sees is rendered.
Its JSON schema is ``schemas/bench.json`` beside this file. A figure is a ratio: the time that an
implementation takes by the time that ``torch.nn`` takes, each pair measured right after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rnn_conformance.results.formats import BENCH


class Work(StrEnum):
    """What is timed."""

    FORWARD = "forward"
    """A call, without gradients."""
    TRAINING = "forward and backward"
    """A call and its backward pass: what a step of training takes of a layer."""


class Clock(StrEnum):
    """What time is taken by."""

    PROCESSOR = "processor"
    """What the processor gave the process: a busy machine takes nothing of it away."""
    WALL = "wall"
    """What passed, with several threads, or where a call waits for another process."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a call: steps, samples, features of the input and of the state."""

    name: str
    length: int
    batch: int
    input_size: int
    hidden_size: int


@dataclass(frozen=True)
class Ratio:
    """The time that an implementation takes by ``torch.nn``'s: the median of the pairs' ratios.

    It lies from ``low`` to ``high`` with the confidence of the run.
    """

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Measurement:
    """One implementation on one shape.

    ``seconds`` and ``reference_seconds`` are the medians of what one call takes.
    ``building`` are the seconds of making the layer, ``first`` those of the first call, in which
    many compile; ``clock`` is what the later ones were taken by. ``adapted`` says that the suite's
    adapter is part of what was timed, where an implementation cannot be called without. ``wrong``
    says what is wrong with what came back; ``reason`` why there is no figure.
    """

    shape: str
    dtype: str
    work: Work
    building: float | None = None
    first: float | None = None
    seconds: float | None = None
    reference_seconds: float | None = None
    ratio: Ratio | None = None
    clock: Clock | None = None
    adapted: bool = False
    wrong: str | None = None
    reason: str | None = None

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Measurement:
        """From plain values, as ``asdict`` gives and JSON keeps them."""
        ratio = None if record["ratio"] is None else Ratio(**record["ratio"])
        clock = None if record["clock"] is None else Clock(record["clock"])
        return cls(**{**record, "work": Work(record["work"]), "ratio": ratio, "clock": clock})


@dataclass(frozen=True)
class Timed:
    """One implementation in one kind, and what was measured of it."""

    name: str
    kind: str
    target: str
    fails_on_purpose: str
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class Bench:
    """How the figures came about.

    ``pairs`` are those behind each figure, ``confidence`` is that of the intervals, ``machine``
    says what it was measured on, and ``load`` how many processes wanted to run at the beginning.
    """

    threads: int
    pairs: int
    confidence: float
    machine: Mapping[str, str]
    load: float | None
    versions: Mapping[str, str]
    started: str
    seconds: float
    complete: bool


def document(run: Bench, grid: Sequence[Shape], timed: Iterable[Timed]) -> dict[str, Any]:
    """``bench.json``, as plain JSON values."""
    return {
        "schema_version": BENCH.version,
        "run": asdict(run),
        "grid": [asdict(shape) for shape in grid],
        "implementations": [
            {**asdict(one), "measurements": [asdict(figure) for figure in one.measurements]}
            for one in timed
        ],
    }


def all_right(document: Mapping[str, Any]) -> bool:
    """Whether everything was timed and right, but for what is wrong on purpose."""
    return bool(document["run"]["complete"]) and all(
        measurement["wrong"] is None and measurement["reason"] is None
        for one in document["implementations"]
        if not one["fails_on_purpose"]
        for measurement in one["measurements"]
    )
