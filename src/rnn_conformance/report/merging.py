"""Several results documents as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rnn_conformance.results.reading import RESULTS


def merge(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One results document from several; the argument's order is that of the runs.

    Implementations are concatenated; of one name and kind the last counts, at the place
    of the first. Each run is kept in ``sources``, to which an implementation's ``source``
    is an index. ``run`` tells what the runs have in common: a field in which they differ is
    ``None``, ``seconds`` are summed, ``started`` is the first, and the whole is complete
    if each of them is. Raises ``ValueError`` if there is nothing to merge.
    """
    if not documents:
        raise ValueError("there are no results to merge")
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
        **{field: _common(run[field] for run in runs) for field in ("seed", "profile", "select")},
        "versions": {name: _common(run["versions"].get(name) for run in runs) for name in names},
        "started": min(run["started"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
        "complete": all(run["complete"] for run in runs),
        "device": _common(run.get("device", "cpu") for run in runs),
    }


def _common(values: Iterable[Any]) -> Any:
    first, *others = values
    return first if all(other == first for other in others) else None
