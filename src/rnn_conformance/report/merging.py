"""Several results documents as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Any

from rnn_conformance.results.formats import RESULTS
from rnn_conformance.results.shards import is_shard, united

COMMON: dict[str, Any] = {
    "seed": None,
    "profile": None,
    "select": None,
    "device": "cpu",
    "kinds": [],
    "level": "",
    "without": [],
}
"""What runs may have in common, and what that was where an older file says nothing."""


def merge(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One results document from several; the argument's order is that of the runs.

    Shards are put together first (see ``shards.united``), and are one run, at the place of the
    first of them. Of one run alone the document is what it is. Implementations are concatenated;
    of one name and kind the last keeps its name, and those before are told apart by when they
    ran, with their own name in ``same_as``. Each run is kept in ``sources``, to which an
    implementation's ``source`` is an index. ``run`` tells what the runs have in common: a field
    in which they differ is ``None``, ``seconds`` are summed, ``started`` is the first, and the
    whole is complete if each of them is. Raises ``ValueError`` if there is nothing to merge,
    ``UsageError`` for shards that are not of one run.
    """
    if not documents:
        raise ValueError("there are no results to merge")
    if shards := [document for document in documents if is_shard(document)]:
        first = shards[0]
        documents = [
            united(shards) if document is first else document
            for document in documents
            if document is first or not is_shard(document)
        ]
    if len(documents) == 1:
        return documents[0]
    sources: list[dict[str, Any]] = []
    clauses: dict[str, dict[str, Any]] = {}
    implementations: list[dict[str, Any]] = []
    for document in documents:
        offset = len(sources)
        sources += document.get("sources", [document["run"]])
        clauses |= {clause["id"]: clause for clause in document["clauses"]}
        for implementation in document["implementations"]:
            source = offset + implementation.get("source", 0)
            implementations.append({**_renamed(implementation), "source": source})
    return {
        "schema_version": RESULTS.version,
        "run": _together(sources),
        "sources": sources,
        "clauses": list(clauses.values()),
        "implementations": _apart(implementations, sources),
    }


def _apart(
    implementations: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each under a name of its own in its kind, which for the last of a name is that name."""
    taken = {(one["name"], one["kind"]) for one in implementations}
    last = {(one["name"], one["kind"]): number for number, one in enumerate(implementations)}
    apart = []
    for number, one in enumerate(implementations):
        key = one["name"], one["kind"]
        if number < last[key]:
            name = f"{one['name']}, {runs[one['source']]['started']}"
            # Two of one name began in the same second.
            names = chain([name], (f"{name} ({again})" for again in count(2)))
            free = next(name for name in names if (name, one["kind"]) not in taken)
            taken.add((free, one["kind"]))
            one = _renamed(one, free)
        apart.append(one)
    return apart


def _renamed(implementation: dict[str, Any], name: str = "") -> dict[str, Any]:
    """Under another name, or under its own again."""
    own = implementation.get("same_as", implementation["name"])
    if (name or own) == implementation["name"]:
        return implementation
    renamed = {**implementation, "name": name or own, "same_as": own}
    if not name:
        del renamed["same_as"]
    renamed["checks"] = [
        {**check, "implementation": name or own} for check in implementation["checks"]
    ]
    return renamed


def _together(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = {name: None for run in runs for name in run["versions"]}
    return {
        **{
            field: _common(run.get(field, default) for run in runs)
            for field, default in COMMON.items()
        },
        "versions": {name: _common(run["versions"].get(name) for run in runs) for name in names},
        "started": min(run["started"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
        "complete": all(run["complete"] for run in runs),
        "shard": None,
        "missing": [shard for run in runs for shard in run.get("missing", [])],
    }


def _common(values: Iterable[Any]) -> Any:
    first, *others = values
    return first if all(other == first for other in others) else None
