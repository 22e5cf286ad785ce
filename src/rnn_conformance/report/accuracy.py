"""How accurate the implementations are: the distributions of their errors, as pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BEYOND = "more"
"""The class of what is further off than any other."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

SHARES = ("0", *("2" + str(exponent).translate(_RAISED) for exponent in range(-9, 0)), "1", BEYOND)
"""What the classes of error by tolerance are called (see ``tolerance.EXPONENTS``)."""

ULPS = ("0", "½", "1", "2", "4", "8", "16", "32", "64", "128", "256", "1024", BEYOND)
"""What the classes of error in units of the last place are called (``tolerance.ULPS``)."""


@dataclass(frozen=True)
class Histogram:
    """Elements by the class of their error. ``labels`` are the classes' upper edges."""

    counts: tuple[int, ...]
    labels: tuple[str, ...]

    @property
    def total(self) -> int:
        """All elements."""
        return sum(self.counts)

    @property
    def bars(self) -> list[tuple[int, float, str, int]]:
        """Each class's position, its height from 0 to 1 and its label and number.

        Relative to the largest, by the square root, so that the few that are worst show.
        """
        most = max(self.counts, default=0) or 1
        return [
            (place, (count / most) ** 0.5, label, count)
            for place, (count, label) in enumerate(zip(self.counts, self.labels, strict=True))
        ]

    def upper(self, share: float) -> str:
        """The class up to which so many of all elements lie."""
        seen = 0
        for count, label in zip(self.counts, self.labels, strict=True):
            seen += count
            if seen >= share * self.total:
                return label
        return self.labels[-1]

    @property
    def described(self) -> str:
        """In words, for whoever does not see the picture."""
        classes = ", ".join(
            f"up to {label}: {count}" if label not in ("0", BEYOND) else f"{label}: {count}"
            for count, label in zip(self.counts, self.labels, strict=True)
            if count
        )
        return f"{self.total} elements; {classes}"


@dataclass(frozen=True)
class Accuracy:
    """The errors of one implementation in one dtype, over all checks that compare them."""

    title: str
    kind: str
    of: str
    dtype: str
    cases: int
    outliers: int
    shares: Histogram
    ulps: Histogram
    worst: float
    worst_call: str


def _added(counts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*counts, strict=True)))


def accuracies(record: Mapping[str, Any]) -> list[Accuracy]:
    """By what was compared and by dtype, of one implementation of a results document."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for check in record["checks"]:
        for accuracy in check.get("accuracy", ()):
            groups[accuracy["of"], accuracy["dtype"]].append(accuracy)
    rows = []
    # Results come first, and before the half types those that have more digits.
    for (of, dtype), members in sorted(groups.items(), key=lambda item: (item[0][0] != "results",)):
        worst = max(members, key=lambda member: _plain(member["worst"]))
        rows.append(
            Accuracy(
                record["name"],
                record["kind"],
                of,
                dtype,
                sum(member["cases"] for member in members),
                sum(member["hits"] for member in members),
                Histogram(_added(member["shares"] for member in members), SHARES),
                Histogram(_added(member["ulps"] for member in members), ULPS),
                _plain(worst["worst"]),
                worst["worst_call"],
            )
        )
    return rows


def _plain(measure: float | str) -> float:
    return float(measure)
