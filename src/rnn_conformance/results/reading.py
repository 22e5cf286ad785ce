"""The one reader of our files: each is validated against its schema in ``schemas/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_conformance.results.formats import (
    BASELINE,
    BENCH,
    POWER,
    RESULTS,
    STORE,
    DocumentFormat,
)
from rnn_conformance.results.journal import document_of, read_journal
from rnn_conformance.results.json_files import content, file_error, other_version, parsed, validate

_TOLD_BY = {"mutants": POWER, "grid": BENCH, "remembered": STORE, "standings": BASELINE}
"""A field that one format has and no other."""


@dataclass(frozen=True)
class Document:
    """A file that was read: what it is, and what it holds."""

    path: Path
    format: DocumentFormat
    content: dict[str, Any]


def read(path: Path) -> Document:
    """A file of ours, whichever sort it is of, or the results that a journal comes to.

    Raises ``UsageError`` if it is none of them.
    """
    if path.suffix == ".jsonl":
        return Document(path, RESULTS, document_of(read_journal(path)))
    try:
        values = parsed(content(path))
    except ValueError as error:
        raise file_error(
            f"{path} is not valid JSON ({error}): it may have been cut short; run again"
        ) from error
    fields = values if isinstance(values, dict) else {}
    form = next((form for key, form in _TOLD_BY.items() if key in fields), RESULTS)
    version = fields.get("schema_version")
    if version != form.version:
        raise other_version(path, version, form)
    validate(values, form.name, f"{path} is not a {form.name} file")
    return Document(path, form, values)
