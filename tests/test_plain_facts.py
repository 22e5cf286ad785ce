"""What is plain is said first, and nothing is searched for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_conformance import drop_in
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.trees import mapped
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")

# Not torch's own, which is seeded before each construction.
CHANCE = torch.Generator()

FAILED = NonConforming("a check failed", sort=Sort.VALUE)


def changing(change: Callable[[Tensor], Tensor], when: Any = None) -> type[nn.Module]:
    """An LSTM of whose results something is made."""

    class Changing(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:
            returned = super().forward(input, hx)
            return mapped(change, returned) if when is None or when(input) else returned

    return Changing


def said_of(cls: type[nn.Module]) -> Diagnosis:
    """Of the first call that fails."""
    diagnostician = Diagnostician(drop_in(cls), Kind.LSTM)
    wrong = next(piece for piece in diagnostician.results.evidence if piece.wrong)
    failed = NonConforming("output is off", sort=Sort.VALUE, calls=wrong.probe.calls)
    diagnosis = diagnostician.diagnose(failed, CLAUSES)
    assert diagnosis is not None
    return diagnosis


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        (torch.zeros_like, "every result is zero"),
        (lambda array: 0 * array, "every result is zero"),
        (lambda array: array * torch.nan, "every result is NaN"),
        (
            lambda array: torch.full_like(array, 0.25),
            "every result is one and the same number throughout",
        ),
        (
            lambda array: array + torch.rand(array.shape, generator=CHANCE).to(array.dtype),
            "the same call of a layer made anew gives something else each time",
        ),
    ],
)
def test_what_is_plain_of_every_result_is_all_that_is_said(
    change: Callable[[Tensor], Tensor], plain: str
) -> None:
    diagnosis = said_of(changing(change))
    assert diagnosis.plain == plain
    assert not diagnosis.known
    assert diagnosis.text.lower().startswith(plain.lower()), diagnosis.text
    assert diagnosis.failing > 50


def test_zeros_in_some_calls_alone_are_a_symptom_with_its_condition() -> None:
    packed = nn.utils.rnn.PackedSequence
    diagnosis = said_of(changing(torch.zeros_like, lambda input: isinstance(input, packed)))
    # That is plain of all that fail, which are the packed ones.
    assert diagnosis.plain == "every result is zero"
    assert diagnosis.passing > diagnosis.failing


@pytest.mark.parametrize(
    ("change", "symptom"),
    [
        (lambda array: 0.75 * array, "every result is 0.75 times what is right"),
        (lambda array: -array, "every result is -1 times what is right"),
        (
            lambda array: array.float().to(array.dtype),
            "errors of the size of float32's rounding, in float64",
        ),
    ],
)
def test_how_far_off_all_is_alike_is_among_the_symptoms(
    change: Callable[[Tensor], Tensor], symptom: str
) -> None:
    diagnosis = said_of(changing(change))
    assert diagnosis.known or symptom in diagnosis.symptoms, diagnosis.text


def test_a_factor_of_the_output_alone_is_among_the_symptoms() -> None:
    class Scaled(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:
            output, state = super().forward(input, hx)
            return mapped(lambda array: 1.001 * array, output), state

    diagnosis = said_of(Scaled)
    assert "the output is 1.001 times what is right" in diagnosis.symptoms, diagnosis.text


def test_a_cell_has_no_output_to_be_off_by_a_factor() -> None:
    class Squared(nn.RNNCell):
        def forward(self, input: Any, hx: Any = None) -> Any:
            return super().forward(input, hx) ** 2

    diagnostician = Diagnostician(drop_in(Squared), Kind.RNN_CELL)
    wrong = next(piece for piece in diagnostician.results.evidence if piece.wrong)
    failed = NonConforming("h_n is off", sort=Sort.VALUE, calls=wrong.probe.calls)
    diagnosis = diagnostician.diagnose(failed, CLAUSES)
    assert diagnosis is not None
    assert not diagnosis.known, diagnosis.text


def test_the_output_alone_being_zero_is_a_symptom_beside_others() -> None:
    class Silent(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:
            output, state = super().forward(input, hx)
            return mapped(torch.zeros_like, output), state

    diagnosis = said_of(Silent)
    assert "zero" in diagnosis.text, diagnosis.text


def test_a_right_layer_has_nothing_plain() -> None:
    assert Diagnostician(drop_in(nn.LSTM), Kind.LSTM).diagnose(FAILED, CLAUSES) is None
