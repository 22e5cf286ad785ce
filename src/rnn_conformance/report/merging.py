"""Several results documents as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    of one name and kind the last counts, at the place of the first. Each run is kept in
    ``sources``, to which an implementation's ``source`` is an index. ``run`` tells what the runs
    have in common: a field in which they differ is ``None``, ``seconds`` are summed, ``started``
    is the first, and the whole is complete if each of them is. Raises ``ValueError`` if there is
    nothing to merge, ``UsageError`` for shards that are not of one run.
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
    implementations: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        offset = len(sources)
        sources += document.get("sources", [document["run"]])
        clauses |= {clause["id"]: clause for clause in document["clauses"]}
        for implementation in document["implementations"]:
            source = offset + implementation.get("source", 0)
            key = implementation["name"], implementation["kind"]
            implementations[key] = {**implementation, "source": source}
    return {
        "schema_version": RESULTS.version,
        "run": _together(sources),
        "sources": sources,
        "clauses": list(clauses.values()),
        "implementations": list(implementations.values()),
    }


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
