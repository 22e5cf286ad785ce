"""How things are called, on a page and in a terminal."""

from typing import Any

import pytest

from rnn_conformance.report.html import duration, number
from rnn_conformance.report.wording import sentence


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("conformance/test_state.py::test_zeros_are_the_default", "Zeros are the default"),
        ("test_zeros", "Zeros"),
        ("anything", "Anything"),
        ("a.py::test_c_n_of_an_lstm_is_no_h_0", "c_n of an LSTM is no h_0"),
        ("a.py::test_states_with_batch_first", "States with batch_first"),
    ],
)
def test_a_check_is_called_by_its_sentence(check: str, expected: str) -> None:
    assert sentence(check) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.0854, "85 ms"), (2.44, "2.4 s"), (200.0, "3 min 20 s")],
)
def test_a_duration_is_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1 / 3, "0.333333333"), (None, "–"), ("nan", "nan"), ([1, 2.5], "(1, 2.5)")],
)
def test_a_number_has_the_digits_that_matter(value: Any, text: str) -> None:
    assert number(value) == text
