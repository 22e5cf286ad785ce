"""The shards of one run put together: what the run gives that was not divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.document import document
from rnn_conformance.results.records import Entry, Run, Shard
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.texts import LINE, bounded

ALIKE = ("seed", "profile", "select", "kinds", "level", "without", "device", "versions")
"""What the shards of one run have in common."""

MANY = 8
"""Shards that are named one by one at most."""


def is_shard(document: Mapping[str, Any]) -> bool:
    """Whether it is of a share of a run's checks."""
    return bool(document["run"].get("shard"))


def united(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The results of the run whose shards these are, in whatever order; one at least.

    An implementation's checks may lie in several shards. Without all shards the run is not
    complete, and ``run.missing`` names those that are not there. Raises ``UsageError`` for shards
    of different runs, one that is given twice, and those of another version of the suite.
    """
    runs = {shard: run for part in documents for shard, run in [_shard(part)]}
    if len(runs) < len(documents):
        raise _refused("a shard is given more than once; give each once")
    (one, first), *others = runs.items()
    for other, run in others:
        for field in ALIKE:
            mine, theirs = getattr(first, field), getattr(run, field)
            if mine != theirs:
                raise _refused(
                    f"{words([one, other])} are not of the same run, they differ in {field}: "
                    f"{bounded(str(mine), LINE)} and {bounded(str(theirs), LINE)}"
                )
        if one[1] != other[1]:
            raise _refused(f"{words([one, other])} are not of the same run")
    of = one[1]
    missing = tuple((n, of) for n in range(1, of + 1) if (n, of) not in runs)
    whole = document(
        replace(
            first,
            started=min(run.started for run in runs.values()),
            seconds=sum(run.seconds for run in runs.values()),
            complete=not missing and all(run.complete for run in runs.values()),
            shard=None,
            missing=missing,
        ),
        _entries(documents),
        _checks(documents),
    )
    known = {
        (one["name"], one["kind"]): one["known"]
        for part in documents
        for one in part["implementations"]
        if "known" in one
    }
    for one in whole["implementations"]:
        if entries := known.get((one["name"], one["kind"])):
            one["known"] = entries
    return whole


def words(shards: Sequence[Shard]) -> str:
    """Shards as the command takes them: ``the shards 2/4 and 3/4``, not all of very many."""
    names = [f"{number}/{of}" for number, of in shards[:MANY]]
    if len(shards) > MANY:
        names.append(f"{len(shards) - MANY} more")
    *most, last = names
    return f"the shards {', '.join(most)} and {last}" if most else f"the shard {last}"


def _shard(document: Mapping[str, Any]) -> tuple[Shard, Run]:
    if document["clauses"] != [clause.to_record() for clause in CLAUSES.values()]:
        raise _refused(
            "the shards were written by another version of rnn-conformance: put them together "
            "with that one"
        )
    try:
        run = Run.of_record(document["run"])
    except ValueError as error:
        raise _refused(str(error)) from error
    assert run.shard is not None
    return run.shard, run


def _checks(documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each record; a check is in one shard alone."""
    checks = [
        check
        for part in documents
        for implementation in part["implementations"]
        for check in implementation["checks"]
    ]
    if len({(check["implementation"], check["kind"], check["check"]) for check in checks}) < len(
        checks
    ):
        raise _refused("a check is in more than one of the shards: they are not of the same run")
    return checks


def _entries(documents: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Each implementation and kind once; it has to be the same in every shard."""
    entries: dict[tuple[str, str], Entry] = {}
    for part in documents:
        for implementation in part["implementations"]:
            entry = Entry.of_record(
                {
                    **{name: implementation[name] for name in ("name", "kind", "target")},
                    **implementation["claims"],
                    "fails_on_purpose": implementation["fails_on_purpose"],
                    "versions": implementation.get("versions", {}),
                    "notes": implementation.get("notes", []),
                }
            )
            if entries.setdefault((entry.name, entry.kind), entry) != entry:
                raise _refused(
                    f"{entry.name} ({entry.kind}) is not the same in all of the shards: they are "
                    "not of the same run"
                )
    return list(entries.values())


def _refused(why: str) -> UsageError:
    return UsageError(why, Refusal.FILE)
