"""How fast implementations are beside ``torch.nn``, as the report shows it beside the verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log2
from typing import Any

from rnn_conformance.results.speed import Clock
from rnn_conformance.results.verdict import Judgement, judge, source

OCTAVES = 6
"""Factors of two that the picture has to either side of ``torch.nn``; what is beyond is at its
edge."""

WIDTH = 200
"""Of the picture, in its own units."""


def place(ratio: float) -> float:
    """Where a ratio stands in the picture, from left to right."""
    octaves = max(-OCTAVES, min(OCTAVES, log2(ratio)))
    return round(WIDTH * (0.5 + octaves / (2 * OCTAVES)), 2)


@dataclass(frozen=True)
class Figure:
    """One measurement, or that there is none."""

    shape: str
    record: Mapping[str, Any] | None

    @property
    def state(self) -> str:
        """``wrong``, whatever its speed; ``faster``, ``slower``, or ``even`` where it is neither.

        Even is what has ``torch.nn``'s own speed within its interval. ``missing`` was not to be
        had, ``absent`` not asked for.
        """
        if self.record is None:
            return "absent"
        if self.record["wrong"] is not None:
            return "wrong"
        ratio = self.record["ratio"]
        if ratio is None:
            return "missing"
        if ratio["high"] < 1:
            return "faster"
        return "slower" if ratio["low"] > 1 else "even"

    @property
    def ratio(self) -> str:
        """The time taken by ``torch.nn``'s: two digits tell more than any machine repeats."""
        return digits(self._ratio["median"]) if self._ratio else "–"

    @property
    def spread(self) -> str:
        """The interval of the ratio."""
        if not self._ratio:
            return ""
        return f"{digits(self._ratio['low'])}–{digits(self._ratio['high'])}"

    @property
    def _ratio(self) -> Mapping[str, float] | None:
        return self.record["ratio"] if self.record else None

    @property
    def note(self) -> str:
        """What is to be said of it besides."""
        if self.record is None:
            return ""
        said = [self.record["wrong"] or self.record["reason"]]
        said += ["timed with the suite's adapter"] if self.record["adapted"] else []
        said += ["by the wall clock"] if self.record["clock"] == Clock.WALL else []
        return "; ".join(filter(None, said))

    @property
    def marks(self) -> tuple[float, float, float] | None:
        """Where the ratio and the ends of its interval stand in the picture."""
        if not self._ratio:
            return None
        low, middle, high = (place(self._ratio[name]) for name in ("low", "median", "high"))
        return low, middle, high


@dataclass(frozen=True)
class Row:
    """One implementation in one kind, dtype and sort of work.

    ``judgement`` is that of the results, if they hold the implementation.
    """

    name: str
    kind: str
    work: str
    dtype: str
    judgement: Judgement | None
    figures: tuple[Figure, ...]

    @property
    def building(self) -> float | None:
        """Seconds of making a layer: the most over the shapes."""
        return self._most("building")

    @property
    def first(self) -> float | None:
        """Seconds of the first call, likewise: what one compiles the others have."""
        return self._most("first")

    def _most(self, field: str) -> float | None:
        known = [figure.record[field] for figure in self.figures if figure.record]
        return max((seconds for seconds in known if seconds is not None), default=None)

    @property
    def described(self) -> str:
        """In words, for whoever does not see the picture."""
        return "; ".join(
            f"{figure.shape} {figure.ratio}{', wrong' if figure.state == 'wrong' else ''}"
            for figure in self.figures
            if figure.record
        )


@dataclass(frozen=True)
class Speed:
    """A bench document (see ``schemas/bench.json``) beside a results document."""

    document: Mapping[str, Any]
    results: Mapping[str, Any]

    @property
    def run(self) -> Mapping[str, Any]:
        """How the figures came about."""
        run: Mapping[str, Any] = self.document["run"]
        return run

    @property
    def processor(self) -> str:
        """What it was measured on, if that is known."""
        return str(self.run["machine"].get("processor", ""))

    @property
    def grid(self) -> list[Mapping[str, Any]]:
        """The shapes."""
        return list(self.document["grid"])

    @property
    def octaves(self) -> list[tuple[float, str]]:
        """Where the picture has a line, and the ratio there."""
        exponents = range(-OCTAVES, OCTAVES + 1, 2)
        return [(place(2.0**k), f"1/{2**-k}" if k < 0 else str(2**k)) for k in exponents]

    @cached_property
    def rows(self) -> list[Row]:
        """Kind by kind, then by what was timed, so that what can be compared stands together."""
        judgements = {
            (one["name"], one["kind"]): judge(one, source(self.results, one))
            for one in self.results["implementations"]
        }
        rows = []
        for one in self.document["implementations"]:
            groups = {(m["work"], m["dtype"]): None for m in one["measurements"]}
            for work, dtype in groups:
                by_shape = {
                    m["shape"]: m
                    for m in one["measurements"]
                    if (m["work"], m["dtype"]) == (work, dtype)
                }
                figures = tuple(
                    Figure(shape["name"], by_shape.get(shape["name"])) for shape in self.grid
                )
                judgement = judgements.get((one["name"], one["kind"]))
                rows.append(Row(one["name"], one["kind"], work, dtype, judgement, figures))
        kinds = list(dict.fromkeys(row.kind for row in rows))
        return sorted(rows, key=lambda row: (kinds.index(row.kind), row.work, row.dtype, row.name))

    @property
    def notes(self) -> list[tuple[Row, Figure]]:
        """The figures that need a word."""
        return [(row, figure) for row in self.rows for figure in row.figures if figure.note]


def digits(ratio: float) -> str:
    """A ratio, or a time, to two digits or so, never in powers of ten."""
    if ratio >= 10:
        return f"{ratio:.0f}"
    return f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2g}" if ratio > 1e-4 else "0"


def span(seconds: float | None) -> str:
    """A time in the unit that fits, to two digits or so; ``–`` for none."""
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if scale * seconds >= 1:
            return f"{digits(scale * seconds)} {unit}"
    return f"{digits(1e6 * seconds)} µs"
