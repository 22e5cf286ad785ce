"""Known failures: what somebody has seen, and gives a reason, and perhaps a date, for."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rnn_conformance.errors import Sort, UsageError
from rnn_conformance.results.identity import Identity
from rnn_conformance.results.json_files import content, file_error
from rnn_conformance.results.records import Outcome
from rnn_conformance.results.verdict import FAILING, Known
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind
from rnn_conformance.texts import LINE, bounded, meant, suggested

TABLE = "rnn-conformance"
"""The tool's table in a ``pyproject.toml``, and what is at the top of a file of its own."""

ENTRIES = "known_failures"
"""The array of tables in it."""


@dataclass(frozen=True)
class KnownFailure:
    """A clause or a check that is known to fail.

    ``implementation`` is a name, in which ``*`` and ``?`` stand for others; without a ``kind``
    it is of each. ``sort`` and ``diagnosis`` (the name of a deviation) say how it fails: it is
    known in no other way. ``expires`` is the last day on which it is known. Raises
    ``UsageError`` for what is missing, and for what there is not.
    """

    implementation: str
    reason: str
    kind: str = ""
    clause: str = ""
    check: str = ""
    sort: str = ""
    diagnosis: str = ""
    link: str = ""
    expires: date | None = None

    def __post_init__(self) -> None:
        for name in ("implementation", "reason"):
            if not getattr(self, name).strip():
                raise UsageError(f"a known failure has no {name}; say it")
        if bool(self.clause) == bool(self.check):
            raise UsageError(
                f"the known failure of {self.implementation} needs a clause or a check"
            )
        for name, choices in (("kind", list(Kind)), ("clause", CLAUSES), ("sort", list(Sort))):
            given = getattr(self, name)
            if given and (spelt := meant(given, choices)) is None:
                raise UsageError(
                    f"a known failure of {self.implementation} names the {name} {given!r}, which "
                    f"there is not{suggested(given, choices)}"
                )
            object.__setattr__(self, name, spelt if given else "")

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> KnownFailure:
        """From a table of TOML; raises ``UsageError`` for keys and values that are none."""
        names = [field.name for field in fields(cls)]
        for key, value in table.items():
            if key not in names:
                raise UsageError(
                    f"a known failure has no key {key!r}; keys are {', '.join(names)}"
                    f"{suggested(key, names)}"
                )
            if key != "expires" and not isinstance(value, str):
                raise UsageError(f"{key} of a known failure is a text, not {value!r}")
        values = {"implementation": "", "reason": "", **table}
        if "expires" in table:
            values["expires"] = _day(table["expires"])
        return cls(**values)

    def of(self, implementation: Mapping[str, Any]) -> bool:
        """Whether it is of this implementation of a document."""
        name = implementation.get("same_as", implementation["name"])
        return fnmatchcase(name, self.implementation) and self.kind in ("", implementation["kind"])

    def concerns(self, check: Mapping[str, Any]) -> bool:
        """Whether a check's record is of what is known to fail."""
        if self.clause:
            return self.clause in check["clauses"]
        return self.check in (check["check"], check["check"].rpartition("::")[2])

    def fails_so(self, check: Mapping[str, Any]) -> bool:
        """Whether a failing check fails in the way that is known."""
        if check["failure"] is None:
            return not (self.sort or self.diagnosis)
        identity = Identity.of(check)
        # What was not diagnosed may be what is known.
        named = not (self.diagnosis and identity.causes) or any(
            self.diagnosis in names for names in identity.causes
        )
        return named and (not self.sort or identity.sort in (None, self.sort))

    def to_record(self, implementation: Mapping[str, Any], today: date) -> dict[str, Any]:
        """What came of it in an implementation, as plain JSON values."""
        concerned = [check for check in implementation["checks"] if self.concerns(check)]
        failing = [check for check in concerned if check["outcome"] in FAILING]
        so = [check for check in failing if self.fails_so(check)]
        standing = self._standing(concerned, failing, so, today)
        told = {name: value for name, value in vars(self).items() if value and name != "expires"}
        if self.expires:
            told["expires"] = self.expires.isoformat()
        # Those that fail otherwise are not known to; those that expired are not any more.
        met = [] if standing is Known.EXPIRED else [check["check"] for check in so]
        return {**told, "standing": standing.value, "checks": met}

    def _standing(
        self,
        concerned: Collection[Mapping[str, Any]],
        failing: Collection[Mapping[str, Any]],
        so: Collection[Mapping[str, Any]],
        today: date,
    ) -> Known:
        if self.expires and today > self.expires:
            return Known.EXPIRED
        if failing:
            return Known.MET if len(so) == len(failing) else Known.OTHERWISE
        if any(check["outcome"] == Outcome.PASSED for check in concerned):
            return Known.PASSES
        return Known.NOT_RUN


def read_known(path: Path) -> tuple[KnownFailure, ...]:
    """The known failures in a TOML file; none where a ``pyproject.toml`` says nothing of us.

    Raises ``UsageError`` for what cannot be read, is no TOML or has a key that there is not.
    """
    try:
        values = tomllib.loads(content(path).decode("utf-8"))
    except ValueError as error:
        raise file_error(f"{path} is not valid TOML: {error}") from error
    except RecursionError:
        raise file_error(f"{path} is not valid TOML: too much lies within another") from None
    if path.name == "pyproject.toml":
        tools = values.get("tool", {})
        values = tools.get(TABLE, {}) if isinstance(tools, dict) else {}
    try:
        return _entries(values)
    except UsageError as error:
        raise file_error(f"{path}: {bounded(str(error), LINE)}") from error


def _entries(values: Any) -> tuple[KnownFailure, ...]:
    for key in values:
        if key != ENTRIES:
            raise UsageError(
                f"there is no setting {key!r}; it has {ENTRIES}{suggested(key, [ENTRIES])}"
            )
    tables = values.get(ENTRIES, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{ENTRIES} is an array of tables: write [[…{ENTRIES}]]")
    return tuple(map(KnownFailure.of_table, tables))


def held(document: dict[str, Any], entries: Iterable[KnownFailure], today: date) -> dict[str, Any]:
    """The document with what is known of each implementation, and what came of it."""
    known = list(entries)
    if not known:
        return document
    implementations = []
    for implementation in document["implementations"]:
        told = [
            entry.to_record(implementation, today) for entry in known if entry.of(implementation)
        ]
        implementations.append({**implementation, "known": told} if told else implementation)
    return {**document, "implementations": implementations}


def _day(value: Any) -> date:
    """A day of TOML's, or one that is written as a text."""
    # A datetime is a date too, but with a time of day that would say nothing here.
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"expires of a known failure is a day, as 2027-01-31, not {value}"
        ) from None
