"""What a program sends is a message or malformed, whatever it is; and is not kept without end."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnn_conformance.errors import UsageError
from rnn_conformance.implementations.command import introduced
from rnn_conformance.implementations.engine import EngineFault
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.wire import (
    LARGEST_BODY,
    LONGEST_LINE,
    Malformed,
    Message,
    Reader,
    Violation,
    encode,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)

SPECS = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON | st.sampled_from(["h_n", "output"]),
        "dtype": JSON | st.sampled_from(["float32", "float64", "int8", "object"]),
        "shape": JSON | st.lists(st.integers(-2, 2**70), max_size=10),
    },
)

ARRAYS = st.dictionaries(
    st.text(max_size=5),
    hnp.arrays(
        st.sampled_from(["float16", "float32", "float64", "int64"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    max_size=3,
)


def read(data: bytes) -> Message | None:
    return Reader().feed(data)


def listing(*arrays: Any) -> bytes:
    return json.dumps({"id": 1, "arrays": arrays}).encode() + b"\n"


@given(ARRAYS, st.dictionaries(st.text(max_size=5), st.integers()), st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_again_in_whatever_pieces(
    arrays: dict[str, Any], fields: dict[str, int], data: st.DataObject
) -> None:
    fields.pop("arrays", None)
    sent = encode(fields, arrays)
    reader, at, message = Reader(), 0, None
    while message is None:
        size = data.draw(st.integers(1, len(sent)))
        message = reader.feed(sent[at : at + size])
        at += size
        assert (message is not None) == (at >= len(sent)), "whole with its last byte, not before"
    assert message.fields == fields
    for name, array in arrays.items():
        read_again = message.arrays[name]
        assert read_again.dtype == array.dtype
        assert read_again.dtype.isnative
        np.testing.assert_array_equal(read_again, array)


@given(
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode() + b"\n")
    | st.tuples(JSON | st.lists(SPECS | JSON, max_size=3), st.binary(max_size=64)).map(
        lambda drawn: json.dumps({"id": 1, "arrays": drawn[0]}).encode() + b"\n" + drawn[1]
    )
)
@settings(max_examples=120, deadline=None)
def test_whatever_is_sent_is_a_message_or_malformed(sent: bytes) -> None:
    reader, malformed, message = Reader(), None, None
    try:
        message = reader.feed(sent)
    except Malformed as error:
        malformed = error
    if malformed is not None:
        assert 0 < len(str(malformed)) < 2_000, "it can be shown"
        return
    if message is None:
        assert 0 < len(reader.missing()) < 2_000
        return
    size = sum(array.nbytes for array in message.arrays.values())
    assert sent.index(b"\n") + 1 + size == len(sent), "every byte belongs to something"


@given(
    st.dictionaries(
        st.sampled_from(["kinds", "features", "without", "dtypes", "level", "name", "protocol"]),
        JSON | st.lists(st.sampled_from(["LSTM", "GRU", "packed", "float32", "bfloat16"])),
    )
)
@settings(max_examples=60, deadline=None)
def test_an_introduction_is_a_declaration_or_is_told_to_be_none(fields: dict[str, Any]) -> None:
    told: Exception | tuple[Declaration, str]
    try:
        told = introduced(Message({"protocol": 1, **fields}, {}))
    except (EngineFault, UsageError) as error:
        told = error
    if isinstance(told, Exception):
        assert 0 < len(str(told)) < 5_000, "it can be shown"
        return
    declaration, name = told
    assert declaration.kinds
    assert isinstance(name, str)


@pytest.mark.parametrize(
    ("sent", "violation"),
    [
        (b"loading\n", Violation.NO_JSON),
        (b"\xff\xfe{}\n", Violation.NO_JSON),
        (b"[" * 100_000 + b"\n", Violation.NO_JSON),
        (b"9" * 10_000 + b"\n", Violation.NO_JSON),
        (b"3\n", Violation.NO_OBJECT),
        (b"x" * (LONGEST_LINE + 1), Violation.ENDLESS),
        (b'{"arrays":3}\n', Violation.ARRAYS),
        (listing({"name": "a", "dtype": "float32", "shape": [True]}), Violation.ARRAYS),
        (listing({"name": "a", "dtype": "float32", "shape": [-1]}), Violation.ARRAYS),
        (listing({"name": "a", "dtype": "object", "shape": [1]}), Violation.ARRAYS),
        (listing(*2 * [{"name": "a", "dtype": "float32", "shape": [0]}]), Violation.ARRAYS),
        (
            listing({"name": "a", "dtype": "float64", "shape": [LARGEST_BODY // 8, 2]}),
            Violation.LARGE,
        ),
        (b"{}\nmore", Violation.TRAILING),
    ],
    ids=lambda value: value if isinstance(value, Violation) else None,
)
def test_it_is_told_what_is_malformed(sent: bytes, violation: Violation) -> None:
    with pytest.raises(Malformed) as raised:
        read(sent)
    assert raised.value.violation is violation


def test_it_is_said_how_many_bytes_of_how_many_came() -> None:
    reader = Reader()
    assert reader.feed(listing({"name": "a", "dtype": "float64", "shape": [3]}) + b"12345") is None
    assert reader.missing() == "of 24 bytes of arrays that the answer lists, 5 came"
