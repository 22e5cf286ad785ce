"""Which failure it is, whatever the order, the seed and the version that found it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Identity:
    """What a failure keeps from run to run: no seed, no message, and none of its numbers.

    ``sort`` is that of the failure, ``None`` where an older file says none. ``causes`` are the
    deviations that were diagnosed, each with all names that gave the same, or what is plain of
    all results; empty without a diagnosis. ``clauses`` are those of the check; they tell no
    failures apart.
    """

    implementation: str
    kind: str
    check: str
    sort: str | None = None
    causes: tuple[frozenset[str], ...] = ()
    clauses: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, check: Mapping[str, Any]) -> Identity:
        """Of the record of a check that failed."""
        failure = check["failure"]
        return cls(
            check["implementation"],
            check["kind"],
            check["check"],
            failure.get("sort"),
            _causes(failure.get("diagnosis")),
            tuple(check["clauses"]),
        )

    @classmethod
    def of_record(cls, name: str, kind: str, record: Mapping[str, Any]) -> Identity:
        """From a baseline's plain values (see :meth:`to_record`)."""
        return cls(
            name,
            kind,
            record["check"],
            record["sort"],
            tuple(frozenset(names) for names in record["causes"]),
            tuple(record["clauses"]),
        )

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values, but for whose failure it is."""
        return {
            "check": self.check,
            "clauses": list(self.clauses),
            "sort": self.sort,
            "causes": [sorted(names) for names in self.causes],
        }

    def same(self, other: Identity) -> bool:
        """Whether both are one failure; what one of them does not tell makes no difference.

        Which of several deviations that give the same is named first depends on the cases, so
        that one name in common is enough.
        """
        alike = (self.implementation, self.kind, self.check) == (
            other.implementation,
            other.kind,
            other.check,
        )
        sorts = None in (self.sort, other.sort) or self.sort == other.sort
        untold = not (self.causes and other.causes)
        return alike and sorts and (untold or _overlap(self.causes, other.causes))

    def of_cause(self, other: Identity) -> bool:
        """Whether the same was diagnosed behind both, and they are of one clause."""
        told = bool(self.causes) and _overlap(self.causes, other.causes)
        return told and not set(self.clauses).isdisjoint(other.clauses)

    def __str__(self) -> str:
        causes = " and ".join(min(names) for names in self.causes)
        sort = self.sort or "a failure"
        return f"{sort} ({causes})" if causes else sort


def _causes(diagnosis: Mapping[str, Any] | None) -> tuple[frozenset[str], ...]:
    if diagnosis is None:
        return ()
    if known := diagnosis["known"]:
        return tuple(frozenset({one["name"], *one["same"]}) for one in known)
    plain = diagnosis.get("plain") or ""
    # With a number in it, it is of these cases and not of the failure.
    return () if not plain or any(map(str.isdigit, plain)) else (frozenset({plain}),)


def _overlap(these: tuple[frozenset[str], ...], those: tuple[frozenset[str], ...]) -> bool:
    return len(these) == len(those) and all(
        any(names & others for others in those) for names in these
    )
