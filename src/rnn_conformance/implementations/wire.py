"""The bytes on the wire between the suite and a program in another language (docs/protocol.md).

A message is a line of JSON, an object, and then the arrays that it lists under ``arrays``: raw
little-endian numbers in C's order, one array after the other. What a program sends is read here
by a pure function of bytes: whatever they are, they are a message or :class:`Malformed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.texts import kept, shown

PROTOCOL = 1
"""The version of the protocol."""

LONGEST_LINE = 2**20
"""Bytes of a line: an error message and a few names, a thousand times over."""

LARGEST_BODY = 2**28
"""Bytes of all arrays of an answer: a hundred times what the largest call of a check gives."""

MOST_ARRAYS = 10_000
"""Arrays in a message: more parameters than any layer has."""

MOST_AXES = 8
"""Axes of an array; no result has more than three."""

QUOTE = 200
"""Bytes of what a program sent that are quoted to its author."""

NUMBERS: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("<f2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "int64": np.dtype("<i8"),
}
"""The formats of numbers, by NumPy's names."""


class Violation(StrEnum):
    """What is wrong with what a program sent."""

    NO_JSON = "a line that is no JSON"
    NO_OBJECT = "JSON that is no object"
    ENDLESS = "a line without an end"
    ARRAYS = "arrays that are not described as they must be"
    LARGE = "more bytes than an answer may have"
    TRAILING = "bytes after the end of an answer"
    CUT = "an end in the middle of an answer"
    ANSWER = "an answer to something else"
    SILENCE = "nothing in time"
    END = "no answer: the program ended"
    FAILED = "an error of its own"
    VERSION = "another version of the protocol"


class Malformed(ValueError):
    """What came is no message; the text says so to the author of the program."""

    def __init__(self, violation: Violation, text: str) -> None:
        super().__init__(text)
        self.violation = violation


@dataclass(frozen=True, eq=False)
class Message:
    """The object of the line but for ``arrays``, and the arrays by name."""

    fields: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def encode(fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A message as bytes; raises ``KeyError`` for numbers that have no format."""
    listed = [
        {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in arrays.items()
    ]
    # Without blanks, in this order, ASCII: also a program that has no parser of JSON can read it.
    line = json.dumps({**fields, "arrays": listed}, separators=(",", ":"))
    body = (array.astype(NUMBERS[str(array.dtype)]).tobytes() for array in arrays.values())
    return b"".join((line.encode("ascii"), b"\n", *body))


class Reader:
    """Reads one message from bytes as they come, in whatever pieces."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._searched = 0
        self._fields: Mapping[str, Any] | None = None
        self._specs: list[_Spec] = []
        self._due = 0

    def feed(self, data: bytes) -> Message | None:
        """The message, once it is whole; raises ``Malformed`` as soon as it can be none."""
        self._received += data
        if self._fields is None and not self._header():
            return None
        if len(self._received) < self._due:
            return None
        if len(self._received) > self._due:
            rest = bytes(self._received[self._due :])
            raise Malformed(
                Violation.TRAILING,
                f"{len(rest):,} bytes follow the {self._due:,} bytes of arrays that the answer "
                f"lists: {_quoted(rest)}",
            )
        assert self._fields is not None
        return Message(self._fields, self._arrays())

    def missing(self) -> str:
        """How far it is, in words."""
        if self._fields is not None:
            return (
                f"of {self._due:,} bytes of arrays that the answer lists, "
                f"{len(self._received):,} came"
            )
        if self._received:
            return f"a line was begun and has no end: {_quoted(bytes(self._received))}"
        return "nothing came"

    def _header(self) -> bool:
        """Whether the line is whole; it is read and taken away then."""
        end = self._received.find(b"\n", self._searched)
        self._searched = len(self._received)
        if max(end, self._searched if end < 0 else 0) > LONGEST_LINE:
            raise Malformed(
                Violation.ENDLESS,
                f"the line of an answer has more than {LONGEST_LINE:,} bytes: "
                f"{_quoted(bytes(self._received[:QUOTE]))}",
            )
        if end < 0:
            return False
        fields = _object(bytes(self._received[:end]))
        self._specs = _specs(fields.pop("arrays", []))
        self._due = sum(spec.size for spec in self._specs)
        if self._due > LARGEST_BODY:
            raise Malformed(
                Violation.LARGE,
                f"the answer lists {self._due:,} bytes of arrays, and may have {LARGEST_BODY:,}",
            )
        self._fields = fields
        del self._received[: end + 1]
        return True

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays, at = {}, 0
        for spec in self._specs:
            part = bytes(self._received[at : at + spec.size])
            numbers = np.frombuffer(part, dtype=NUMBERS[spec.dtype]).reshape(spec.shape)
            arrays[spec.name] = numbers.astype(numbers.dtype.newbyteorder("="))
            at += spec.size
        return arrays


@dataclass(frozen=True)
class _Spec:
    """An array as it is listed."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * NUMBERS[self.dtype].itemsize


def _object(line: bytes) -> dict[str, Any]:
    try:
        # Not guessed by json: UTF-16 would be taken for an answer too.
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Malformed(
            Violation.NO_JSON, f"the line of an answer is no JSON: {_quoted(line)}"
        ) from None
    if not isinstance(value, dict):
        raise Malformed(
            Violation.NO_OBJECT, f"the line of an answer is no JSON object: {_quoted(line)}"
        )
    return value


def _specs(listed: Any) -> list[_Spec]:
    if not isinstance(listed, list) or len(listed) > MOST_ARRAYS:
        raise Malformed(
            Violation.ARRAYS, f'"arrays" must be a list of objects; it is {shown(listed, QUOTE)}'
        )
    specs = [_spec(one) for one in listed]
    if len({spec.name for spec in specs}) < len(specs):
        raise Malformed(Violation.ARRAYS, '"arrays" lists an array of one name twice')
    return specs


def _spec(one: Any) -> _Spec:
    match one:
        case {"name": str(name), "dtype": str(dtype), "shape": list(shape)} if (
            dtype in NUMBERS
            and len(shape) <= MOST_AXES
            # A bool is an int, and a product of lengths above the limit has no end.
            and all(type(length) is int and 0 <= length <= LARGEST_BODY for length in shape)
        ):
            return _Spec(name, dtype, tuple(shape))
    raise Malformed(
        Violation.ARRAYS,
        'each of "arrays" must be as {"name":"h_n","dtype":"float32","shape":[1,2,3]}, the dtype '
        f"one of {', '.join(NUMBERS)}; it is {shown(one, QUOTE)}",
    )


def _quoted(data: bytes) -> str:
    """The beginning of what came, to be read."""
    cut = "…" if len(data) > QUOTE else ""
    return kept(repr(data[:QUOTE])[1:], 4 * QUOTE) + cut
