"""Several faults at once, each in a scope, and faults that no catalogue lists, are named."""

from __future__ import annotations

from typing import Any

import pytest

from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviation, deviations_of
from rnn_conformance.deviations.gradient_limits import gradient_limits
from rnn_conformance.deviations.limits import limits
from rnn_conformance.deviations.part_functions import part_functions
from rnn_conformance.deviations.part_orders import part_orders
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import SCOPES, Scope
from rnn_conformance.deviations.windows import gradient_windows
from rnn_conformance.diagnosis.covering import made
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

FAILED = NonConforming("a check failed", sort=Sort.VALUE)


def scope(words: str) -> Scope:
    (found,) = (one for one in SCOPES if one.words == words)
    return found


def deviation(kind: Kind, name: str) -> Deviation[Any]:
    unlisted = (*part_orders(kind), *part_functions(kind), *limits(kind))
    (found,) = (one for one in (*deviations_of(kind), *unlisted) if one.name == name)
    return found


def said_of(variant: type[Any], kind: Kind) -> Diagnosis:
    diagnosis = Diagnostician(miniature("x", kind, variant), kind).diagnose(FAILED, CLAUSES)
    assert diagnosis is not None
    return diagnosis


@pytest.mark.parametrize(
    "parts",
    [
        [
            ("h_0 ignored", "for the last sample alone"),
            ("gates in the order n, z, r", "in calls with packed sequences alone"),
        ],
        [
            ("b_hn left out", "in layers above the first alone"),
            ("the reverse h_n taken from the last step of the output", ""),
        ],
        [
            ("b_hn left out", "for the last unit alone"),
            ("h_0 ignored", "for the last sample alone"),
        ],
        [
            ("b_ih left out of the gate r", "in the reverse direction alone"),
            ("the outputs doubled", "in calls of one step alone"),
            ("the initial states negated", "in float32 alone"),
        ],
    ],
    ids=len,
)
def test_each_of_several_faults_is_named_with_its_scope(parts: list[tuple[str, str]]) -> None:
    kind = Kind.GRU
    settings = [(deviation(kind, name), scope(words) if words else None) for name, words in parts]
    diagnosis = said_of(made(settings), kind)
    assert not diagnosis.where, diagnosis.text
    named = [{known.name, *known.same} for known in diagnosis.known]
    for name, words in parts:
        due = f"{name}, {words}" if words else name
        assert any(due in some for some in named), f"{due}: {diagnosis.text}"


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Kind.LSTM, "bias_hh alone in the order i, o, f, g", "in the reverse direction alone"),
        (Kind.LSTM, "c clipped to ±1", "in layers above the first alone"),
        (
            Kind.LSTM,
            "the output, of c, put through a hard tanh, clip(z, -1, 1)",
            "in the reverse direction alone",
        ),
        (Kind.GRU, "the gate z put through a sigmoid clipped at ±4", ""),
        (Kind.RNN, "pre-activations clipped to ±1", "in calls without relu alone"),
        (Kind.LSTM, "b_hh left out of the gate o", "for the units past a multiple of 4 alone"),
        (Kind.GRU, "b_hn left out", "at steps of one sample alone"),
    ],
)
def test_what_no_catalogue_lists_is_named_in_its_scope(kind: Kind, name: str, words: str) -> None:
    found = deviation(kind, name)
    variant = scoped(found.variant, scope(words)) if words else found.variant
    diagnosis = said_of(variant, kind)
    named = {name for known in diagnosis.known for name in (known.name, *known.same)}
    assert (f"{name}, {words}" if words else name) in named, diagnosis.text


@pytest.mark.parametrize(
    "name",
    [
        "the gradient over time cut every 50 steps",
        "the gradient of the pre-activations at each step clipped to ±0.5",
        "the gradient of the parameters clipped to ±1",
    ],
)
def test_ways_back_that_no_catalogue_lists_are_named(name: str) -> None:
    every = (*gradient_windows(), *gradient_limits(), *GRADIENT_DEVIATIONS)
    (found,) = (one for one in every if one.name == name)
    wrong = differentiated("x", Kind.LSTM, found.variant)
    diagnostician = Diagnostician(wrong, Kind.LSTM)
    shown = next(piece for piece in diagnostician.gradients.evidence if piece.telling)
    failed = NonConforming("a check failed", sort=Sort.VALUE, backward=shown.probe.backward)
    diagnosis = diagnostician.diagnose(failed, CLAUSES)
    assert diagnosis is not None
    assert name in {name for known in diagnosis.known for name in (known.name, *known.same)}


def test_what_explains_a_part_is_told_of_that_part() -> None:
    """Beside something that has no name, as far as it goes."""

    class Unknown(deviation(Kind.GRU, "h_0 ignored").variant):  # type: ignore[misc]  # as made
        def answer(self, call: Any) -> Any:
            answer = super().answer(call)
            if call.config.num_layers == 2:
                answer.output[...] = answer.output**3 - 0.2
            return answer

    diagnosis = said_of(Unknown, Kind.GRU)
    assert "h_0 ignored" in {known.name for known in diagnosis.known}, diagnosis.text
    assert 0 < diagnosis.explained < diagnosis.failing
