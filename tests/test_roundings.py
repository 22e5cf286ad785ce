"""What is computed in fewer digits is named, with the part that it is confined to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance import drop_in
from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations.deviation import Deviant
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import IN_CALLS, SCOPES
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.diagnosis.evidence import Evidence, ask
from rnn_conformance.diagnosis.probes import Probe, fresh
from rnn_conformance.diagnosis.roundings import SEEN, rounding_of
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.reference.derivatives import Adjoint, Derivative
from rnn_conformance.reference.oracle import Answer
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Dtype, Kind
from tests.support.miniatures import Way, way_miniature

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def single(module: nn.Module, input: Any, hx: Any) -> Any:
    """What the class gives in float32, cast back."""
    narrow = type(module).__mro__[1]
    twin = narrow(
        module.input_size,
        module.hidden_size,
        **{
            name: getattr(module, name)
            for name in ("num_layers", "bias", "batch_first", "bidirectional", "proj_size")
        },
    )
    twin.load_state_dict({name: p.float() for name, p in module.state_dict().items()})
    with torch.no_grad():
        returned = twin(mapped(torch.Tensor.float, input), mapped(torch.Tensor.float, hx))
    return mapped(torch.Tensor.double, returned)


class Everywhere(nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:
        data = input.data if isinstance(input, PackedSequence) else input
        return (
            single(self, input, hx) if data.dtype == torch.float64 else super().forward(input, hx)
        )


class WhenPacked(nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:
        packed = isinstance(input, PackedSequence) and input.data.dtype == torch.float64
        return single(self, input, hx) if packed else super().forward(input, hx)


class WithAState(nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:
        given = hx is not None and hx[0].dtype == torch.float64
        return single(self, input, hx) if given else super().forward(input, hx)


class Multiplied(Way):
    """As Keras's ``matmul`` on torch: factors are cast, and what comes of them is cast back."""

    def product(self, x: Any, w: Any) -> Any:
        return super().product(x.astype(np.float32), w.astype(np.float32)).astype(x.dtype)


def said_of(implementation: Implementation, kind: Kind = Kind.LSTM) -> Diagnosis:
    diagnostician = Diagnostician(implementation, kind)
    wrong = next(piece for piece in diagnostician.results.evidence if piece.wrong)
    failed = NonConforming("output is off", sort=Sort.VALUE, calls=wrong.probe.calls)
    diagnosis = diagnostician.diagnose(failed, {"EQ-6"})
    assert diagnosis is not None
    return diagnosis


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (Everywhere, "float64 computed in float32"),
        (WhenPacked, "float64 computed in float32, in calls with packed sequences alone"),
        (WithAState, "float64 computed in float32, in calls with an initial state alone"),
    ],
)
def test_float64_that_passes_through_float32_is_named_with_its_part(
    cls: type[nn.Module], name: str
) -> None:
    diagnosis = said_of(drop_in(cls))
    (known,) = diagnosis.known
    assert known.name == name, diagnosis.text
    assert diagnosis.explained == diagnosis.failing > 0


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.GRU])
def test_what_loses_its_digits_where_it_is_multiplied_is_named_so(kind: Kind) -> None:
    diagnosis = said_of(way_miniature(Multiplied, kind), kind)
    (known,) = diagnosis.known
    assert known.name == "float64 that passes through float32 where it is multiplied"
    assert diagnosis.explained == diagnosis.failing > 0


def test_another_error_of_that_size_is_not_taken_for_it() -> None:
    class Shifted(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:
            return mapped(lambda array: array + 3e-8, super().forward(input, hx))

    diagnosis = said_of(drop_in(Shifted))
    # In float32, too, it is more than rounding in some cases, and the shift is in every element.
    assert "computed in" not in diagnosis.text


# Told of evidence alone.

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
