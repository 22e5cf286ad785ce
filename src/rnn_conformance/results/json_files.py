"""JSON from strangers: read as data alone, each with a limit and one clear line if it is none.

What a file holds is never run, and a path in it never followed.
"""

from __future__ import annotations

import functools
import json
import math
import stat
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.results.formats import DocumentFormat
from rnn_conformance.texts import LINE, bounded, printable

LARGEST = 2**28
"""Bytes that a file may have: results of a thousand implementations and more."""

DEEPEST = 32
"""Objects and arrays within one another; ours have fewer than ten."""

WIDEST = 2**63
"""Where an integer stops being one that other readers of JSON can hold."""


def file_error(what: str) -> UsageError:
    """What is wrong with a file, as whoever calls has to mend it."""
    return UsageError(printable(what), Refusal.FILE)


def other_version(path: Path, version: Any, form: DocumentFormat) -> UsageError:
    """The file is of another version of its format, or says nothing of one."""
    if version is None:
        return file_error(
            f"{path} says no schema_version, which each file of rnn-conformance does: "
            f"it is none; name a {form.name} file"
        )
    return file_error(
        f"{path} has schema version {bounded(repr(version), LINE)}, this rnn-conformance reads "
        f"{form.version}: render it with the version that wrote it, or run again"
    )


def content(path: Path) -> bytes:
    """All of a file; raises ``UsageError`` for what is none, cannot be read or is too large.

    Its size is looked at before it is read, and nothing that is no regular file is opened.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise file_error(f"cannot read {path}: it is no regular file")
        if status.st_size <= LARGEST:
            with path.open("rb") as stream:
                # It may have grown meanwhile.
                read = stream.read(LARGEST + 1)
            if len(read) <= LARGEST:
                return read
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise file_error(f"cannot read {path}: {reason}") from error
    raise file_error(f"{path} is larger than {LARGEST // 2**20} MiB, which is more than is read")


def parsed(text: bytes) -> Any:
    """The values of a text of JSON.

    Raises ``ValueError`` for what is not UTF-8 or not JSON to the letter, for NaN and infinities,
    for a key that an object has twice, for integers of more than 64 bits and for more than
    ``DEEPEST`` levels.
    """
    try:
        values = json.loads(
            text.decode("utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_narrow,
            object_pairs_hook=_distinct,
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level: list[Any] = [[values]]
    for _ in range(DEEPEST + 1):
        level = [inner for value in level for inner in _inside(value)]
    if level:
        raise ValueError(_TOO_DEEP)
    return values


def validate(values: Any, schema: str, complaint: str) -> None:
    """Raise ``UsageError``, which begins with ``complaint``, for what breaks the schema."""
    problem = jsonschema.exceptions.best_match(validator(schema).iter_errors(values))
    if problem is not None:
        place, what = bounded(problem.json_path, LINE), bounded(problem.message, LINE)
        raise file_error(f"{complaint}: at {place}, {what}")


@functools.cache
def validator(name: str) -> Any:
    """What validates against ``schemas/<name>.json``; schemas refer to each other by file."""
    schemas = resources.files("rnn_conformance.results").joinpath("schemas")
    registry: Registry[Any] = Registry().with_resources(
        (file.name, DRAFT202012.create_resource(_schema(file.read_text("utf-8"))))
        for file in schemas.iterdir()
    )
    return _Validator(registry.contents(f"{name}.json"), registry=registry)


def _schema(text: str) -> dict[str, Any]:
    """A schema without its dialect, which would bring that one's own validator along."""
    return {key: value for key, value in json.loads(text).items() if key != "$schema"}


_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    # Where a count is due, 3.0 is none; to JSON Schema it is.
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)

_TOO_DEEP = f"more than {DEEPEST} objects and arrays lie within one another"


def _inside(value: Any) -> Iterable[Any]:
    """What an object or an array holds that may hold more."""
    held = value.values() if isinstance(value, dict) else value
    return [inner for inner in held if isinstance(inner, (dict, list)) and inner]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{bounded(digits, LINE)} is too large for a number")
    return number


def _narrow(digits: str) -> int:
    # Not even made: Python refuses, or takes long for, very many digits.
    if len(digits) > 20 or not -WIDEST <= int(digits) < WIDEST:
        raise ValueError("an integer has more than 64 bits")
    return int(digits)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {bounded(twice, LINE)} is there twice")
    return made
