"""``records.jsonl``: what a run finds, written as it goes, so that nothing stops it from counting.

One JSON object a line: a header, then each check's record, perhaps the diagnosis of a failure
that was found later, and at the end that it is the end. A line is written at once and whole, or
it is the last one and cut short, as a process leaves it that was killed or whose disk was full;
that one does not count. Without its end a run was cut short. The schemas are
``schemas/journal-header.json``, ``record.json``, ``journal-diagnosis.json`` and
``journal-end.json`` beside this file.

Where a check has several records the worst counts, whichever was written first: a check that
was run again passes only if it passed each time. But one that says that the check is given up as
not run takes the place of any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from rnn_conformance.results.document import document
from rnn_conformance.results.formats import JOURNAL
from rnn_conformance.results.json_files import content, file_error, other_version, parsed, validate
from rnn_conformance.results.records import Entry, Outcome, Run, plain

Key: TypeAlias = tuple[str, str, str]
"""What a record is of: the implementation, the kind and the check."""

_LATER = ("seconds", "complete", "missing")
"""What a run is not known to be before it ends."""


@dataclass(frozen=True)
class Header:
    """What is known before the first check: the run, what it tests, and how many checks it has.

    Of ``run`` the fields count that a beginning run has; ``checks`` are those of the shard, where
    it is one.
    """

    run: Run
    entries: tuple[Entry, ...]
    checks: int

    def to_record(self) -> dict[str, Any]:
        """The line, as plain JSON values."""
        run = {name: value for name, value in asdict(self.run).items() if name not in _LATER}
        entries = [asdict(entry) for entry in self.entries]
        fields = {"run": run, "implementations": entries, "checks": self.checks}
        written: dict[str, Any] = plain({"header": {"schema_version": JOURNAL.version, **fields}})
        return written

    @classmethod
    def of_record(cls, line: Mapping[str, Any]) -> Header:
        """From the line; raises ``ValueError`` for one that the schema allows and that is none."""
        header = line["header"]
        entries = tuple(map(Entry.of_record, header["implementations"]))
        if len({(entry.name, entry.kind) for entry in entries}) < len(entries):
            raise ValueError("an implementation is there twice")
        run = Run.of_record({**header["run"], "seconds": 0.0, "complete": False})
        return cls(run, entries, header["checks"])


@dataclass(frozen=True)
class Recorded:
    """What a journal holds: one record a check, with its diagnosis, as far as the run came.

    ``seconds`` are those that the run took, or the checks together where it did not end;
    ``undiagnosed`` the failed checks that nobody has said of what is behind them, or that it
    cannot be told.
    """

    header: Header
    records: tuple[Mapping[str, Any], ...]
    undiagnosed: frozenset[Key]
    complete: bool
    seconds: float

    @property
    def keys(self) -> frozenset[Key]:
        """The checks that were run."""
        return frozenset(map(key_of, self.records))


def key_of(record: Mapping[str, Any]) -> Key:
    """What a record, or the line of a diagnosis, is of."""
    return record["implementation"], record["kind"], record["check"]


def document_of(recorded: Recorded) -> dict[str, Any]:
    """``results.json``, the same as the run itself writes at its end."""
    run = replace(recorded.header.run, seconds=recorded.seconds, complete=recorded.complete)
    return document(run, recorded.header.entries, recorded.records)


class Journal:
    """A journal that is being written; ``recorded`` is what it holds so far.

    A line that cannot be written, the disk being full, raises ``UsageError``; what is there
    stays readable, and nothing more can be written.
    """

    def __init__(self, path: Path, stream: FileIO, reading: _Reading) -> None:
        self.path = path
        self._stream = stream
        self._reading = reading

    @property
    def recorded(self) -> Recorded:
        """What it holds so far."""
        return self._reading.recorded()

    @classmethod
    def begin(cls, path: Path, header: Header) -> Self:
        """A new journal, in place of any that was there; raises ``UsageError``."""
        journal = cls(path, _opened(path, "wb"), _Reading(header, {}, {}))
        journal._append(header.to_record())
        return journal

    @classmethod
    def resume(cls, path: Path) -> Self:
        """The journal of a run that was stopped, to go on with; raises ``UsageError``.

        Only a last line that was cut short, and one that says that it is the end, are taken
        away.
        """
        reading, length = _read(path)
        stream = _opened(path, "r+b")
        stream.truncate(length)
        stream.seek(length)
        reading.end = None
        return cls(path, stream, reading)

    def record(self, record: Mapping[str, Any]) -> None:
        """What came of a check (see ``Record.to_record``)."""
        self._write(record)

    def diagnosis(
        self, key: Key, diagnosis: Mapping[str, Any] | None, reason: str | None = None
    ) -> None:
        """What is behind a failure that was recorded, or why that cannot be told."""
        implementation, kind, check = key
        self._write(
            {
                "diagnosis": plain(diagnosis),
                "reason": reason,
                "implementation": implementation,
                "kind": kind,
                "check": check,
            }
        )

    def end(self, *, complete: bool, seconds: float) -> None:
        """The run is over: whether it ran everything, and how long it took."""
        self._write({"end": {"complete": complete, "seconds": seconds}})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._append(line)
        self._reading.add(line)

    def _append(self, line: Mapping[str, Any]) -> None:
        """One line, past every buffer of ours."""
        text = memoryview(json.dumps(line, allow_nan=False).encode() + b"\n")
        if self._stream.closed:
            raise file_error(f"cannot write {self.path}: it could not be written to before")
        whole = self._stream.tell()
        try:
            while text:
                text = text[self._stream.write(text) or 0 :]
        except OSError as error:
            # Whoever reads it drops the line, where it cannot even be taken away.
            with suppress(OSError):
                self._stream.truncate(whole)
            self._stream.close()
            raise file_error(
                f"cannot write {self.path}: {error.strerror or error}; what was found so far "
                "is in it: make room, and go on from there"
            ) from error


def read_journal(path: Path) -> Recorded:
    """What a journal holds; raises ``UsageError`` for what is none or of another version."""
    return _read(path)[0].recorded()


def _opened(path: Path, mode: str) -> FileIO:
    try:
        return FileIO(path, mode)
    except OSError as error:
        raise file_error(f"cannot write {path}: {error.strerror or error}") from error


@dataclass
class _Reading:
    """What the lines so far come to."""

    header: Header
    records: dict[Key, Mapping[str, Any]]
    diagnoses: dict[Key, Mapping[str, Any]]
    end: Mapping[str, Any] | None = None

    def add(self, line: Mapping[str, Any]) -> None:
        """A line that its schema allows; raises ``ValueError`` where it cannot stand."""
        if self.end is not None:
            raise ValueError("it comes after the end")
        if "end" in line:
            self.end = line["end"]
            return
        key = key_of(line)
        if "diagnosis" in line:
            if not (key in self.records and self.records[key]["failure"]):
                raise ValueError("it tells what is behind a failure that was not recorded")
            self.diagnoses[key] = line
            return
        if not any(key[:2] == (entry.name, entry.kind) for entry in self.header.entries):
            raise ValueError("it is of an implementation that is not in the header")
        known = self.records.get(key)
        if known is None or line["outcome"] == Outcome.NOT_RUN or _badness(line) < _badness(known):
            self.records[key] = line

    def recorded(self) -> Recorded:
        """All of it."""
        records = tuple(
            self._with_diagnosis(record, self.diagnoses.get(key))
            for key, record in self.records.items()
        )
        ended = self.end or {"complete": False}
        return Recorded(
            self.header,
            records,
            frozenset(
                key
                for key, record in self.records.items()
                if record["outcome"] == Outcome.FAILED
                and record["failure"]["diagnosis"] is None
                and key not in self.diagnoses
            ),
            ended["complete"] and len(records) >= self.header.checks,
            ended.get("seconds", sum(record["seconds"] for record in records)),
        )

    @staticmethod
    def _with_diagnosis(
        record: Mapping[str, Any], line: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        if line is None or not record["failure"]:
            return record
        failure = dict(record["failure"])
        if line["diagnosis"]:
            failure["diagnosis"] = line["diagnosis"]
            failure["script"] = _with_cause(failure["script"], line["diagnosis"]["text"])
        return {
            **record,
            "reason": record["reason"] if line["reason"] is None else line["reason"],
            "failure": failure,
        }


def _with_cause(script: str | None, text: str) -> str | None:
    """The script with its diagnosis at the end of its docstring."""
    if script is None:
        return None
    said, quotes, rest = script[3:].partition('"""')
    if not quotes:
        return script
    told = text.replace("\\", "\\\\").replace('"', "'")
    return f"{script[:3]}{said.rstrip()}\n{told}\n{quotes}{rest}"


def _badness(record: Mapping[str, Any]) -> tuple[int, str]:
    """Least of the record that counts; of equals always the same one, but for times."""
    untimed = {name: value for name, value in record.items() if not name.startswith("seconds")}
    return list(Outcome).index(Outcome(record["outcome"])), json.dumps(untimed, sort_keys=True)


def _read(path: Path) -> tuple[_Reading, int]:
    """What a journal holds, and the bytes up to its end or to a line that was cut short."""
    *lines, _ = content(path).split(b"\n")
    if not lines:
        raise file_error(f"{path} has no header: the run was stopped before it began, so run again")
    reading: _Reading | None = None
    length = 0
    for number, text in enumerate(lines, 1):
        place = f"line {number} of {path}"
        try:
            line = parsed(text)
            fields = line if isinstance(line, dict) else {}
            if reading is None:
                reading = _Reading(_header(line, path), {}, {})
            else:
                validate(line, _schema(fields), f"{place} is not what it should be")
                reading.add(line)
        except ValueError as error:
            raise file_error(f"{place} cannot be read ({error}): run again") from error
        if reading.end is None:
            length += len(text) + 1
    assert reading is not None
    return reading, length


def _header(line: Any, path: Path) -> Header:
    header = line.get("header") if isinstance(line, dict) else None
    if not isinstance(header, dict):
        raise file_error(f"{path} has no header, with which a journal begins: run again")
    version = header.get("schema_version")
    if version != JOURNAL.version:
        raise other_version(path, version, JOURNAL)
    validate(line, "journal-header", f"line 1 of {path} is not a header")
    return Header.of_record(line)


def _schema(fields: Mapping[str, Any]) -> str:
    if "end" in fields:
        return "journal-end"
    return "journal-diagnosis" if "diagnosis" in fields else "record"
