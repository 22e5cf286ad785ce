"""The one reader of our files of JSON: each is validated against its schema in ``schemas/``."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from rnn_conformance.errors import Refusal, UsageError


@dataclass(frozen=True)
class DocumentFormat:
    """A sort of document: its ``name`` in words, which is that of its schema, and its version."""

    name: str
    version: int


RESULTS = DocumentFormat("results", 1)
"""``results.json``: what a run found."""

POWER = DocumentFormat("power", 1)
"""``power.json``: the kill matrix."""


@dataclass(frozen=True)
class Document:
    """A file that was read: what it is, and what it holds."""

    path: Path
    format: DocumentFormat
    content: dict[str, Any]


def read(path: Path) -> Document:
    """A results or a power file, whichever it is; raises ``UsageError`` if it is neither."""
    try:
        content = _parsed(_bytes(path))
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid JSON ({error}): it may have been cut short; run again",
            Refusal.FILE,
        ) from error
    fields = content if isinstance(content, dict) else {}
    form = POWER if "mutants" in fields else RESULTS
    version = fields.get("schema_version")
    if version != form.version:
        raise UsageError(
            f"{path} has schema version {version!r}, this rnn-conformance reads "
            f"{form.version}: render it with the version that wrote it, or run again",
            Refusal.FILE,
        )
    _validate(content, form.name, f"{path} is not a {form.name} file")
    return Document(path, form, content)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of ``records.jsonl``, in the order written.

    A last line that was cut short is dropped: a run that was killed may leave one. Raises
    ``UsageError`` if the file cannot be read or another line is no record.
    """
    *lines, _ = _bytes(path).split(b"\n")
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = _parsed(line)
        except ValueError as error:
            raise UsageError(
                f"line {number} of {path} is not valid JSON ({error}): run again", Refusal.FILE
            ) from error
        _validate(record, "record", f"line {number} of {path} is not a record")
        records.append(record)
    return records


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    """What validates against ``schemas/<name>.json``; schemas refer to each other by file."""
    schemas = resources.files("rnn_conformance.results").joinpath("schemas")
    registry: Registry[Any] = Registry().with_resources(
        (file.name, DRAFT202012.create_resource(json.loads(file.read_text("utf-8"))))
        for file in schemas.iterdir()
    )
    return jsonschema.Draft202012Validator(registry.contents(f"{name}.json"), registry=registry)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", Refusal.FILE) from error


def _parsed(text: bytes) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _validate(content: Any, name: str, complaint: str) -> None:
    problem = jsonschema.exceptions.best_match(validator(name).iter_errors(content))
    if problem is not None:
        raise UsageError(f"{complaint}: at {problem.json_path}, {problem.message}", Refusal.FILE)
