"""Errors of the size of a rounding are told as one, and in a part of calls where enough show it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import IN_CALLS, SCOPES
from rnn_conformance.diagnosis.diagnosis import Diagnostician
from rnn_conformance.diagnosis.evidence import Evidence, ask
from rnn_conformance.diagnosis.probes import Probe, fresh
from rnn_conformance.diagnosis.roundings import SEEN, rounding_of
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.reference.derivatives import Adjoint, Derivative
from rnn_conformance.reference.oracle import Answer
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Dtype, Kind

(PACKED,) = (scope for scope in IN_CALLS if scope.condition == "with packed sequences")


def rounding_to(coarser: Dtype) -> type[Deviant]:
    """Answers that are rounded."""

    class Rounded(Deviant):
        def answer(self, call: Call) -> Answer:
            answer = super().answer(call)
            output, h_n = (rounded(array, coarser) for array in (answer.output, answer.h_n))
            return replace(answer, output=output, h_n=h_n)

    return Rounded


SINGLE = rounding_to(Dtype.FLOAT32)


def evidence(variant: type[Deviant]) -> list[Evidence]:
    implementation = miniature("single", Kind.GRU, variant)
    cases = fresh(Kind.GRU, implementation.declaration, 80, seed=3)
    pieces = (ask(Subject(implementation, Kind.GRU), Probe.of(case)) for case in cases)
    return [piece for piece in pieces if piece is not None]


def test_a_rounding_in_all_calls_is_told() -> None:
    rounding = rounding_of(evidence(SINGLE), SCOPES)
    assert rounding is not None
    assert rounding.name == "float64 computed in float32"


def test_a_rounding_in_a_part_of_calls_is_told_with_it() -> None:
    rounding = rounding_of(evidence(scoped(SINGLE, PACKED)), IN_CALLS)
    assert rounding is not None
    assert rounding.scope is PACKED


def test_a_part_is_not_told_where_few_show_it() -> None:
    pieces = evidence(scoped(SINGLE, PACKED))
    wrong = [piece for piece in pieces if piece.wrong]
    assert len(wrong) >= SEEN
    few = [piece for piece in pieces if piece not in wrong[SEEN - 1 :]]
    assert rounding_of(few, SCOPES) is None


@pytest.mark.parametrize("coarser", [Dtype.FLOAT32, Dtype.BFLOAT16, Dtype.FLOAT16])
def test_the_dtype_is_told_that_is_nearest(coarser: Dtype) -> None:
    rounding = rounding_of(evidence(rounding_to(coarser)), SCOPES)
    assert rounding is not None
    assert rounding.coarser is coarser


class Stored(Adjoint):
    """Gradients that were kept in float16."""

    def derivative(self, backward: Backward, answer: Answer) -> Derivative:
        derivative = super().derivative(backward, answer)
        gradients = {
            name: rounded(array, Dtype.FLOAT16) for name, array in derivative.gradients.items()
        }
        return replace(derivative, gradients=gradients)


def test_a_rounding_of_gradients_is_told() -> None:
    stored = differentiated("stored", Kind.GRU, Stored)
    failed = NonConforming("a check failed", sort=Sort.VALUE)
    diagnosis = Diagnostician(stored, Kind.GRU).diagnose(failed, CLAUSES)
    assert diagnosis is not None
    (known,) = diagnosis.known
    assert known.name.startswith("gradients in ")
    assert known.name.endswith(" computed in float16")
