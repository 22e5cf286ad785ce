"""What is known is named, what is not is told by its symptoms, and nothing is guessed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from rnn_conformance import drop_in
from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations import (
    CATALOGUE,
    GRADIENT_DEVIATIONS,
    Deviant,
    Deviation,
    deviations_of,
)
from rnn_conformance.deviations.castings import castings
from rnn_conformance.deviations.limits import limits
from rnn_conformance.deviations.part_functions import part_functions
from rnn_conformance.deviations.part_orders import part_orders
from rnn_conformance.deviations.part_rows import part_rows
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.diagnosis.evidence import ask
from rnn_conformance.diagnosis.probes import Probe, fresh, probes
from rnn_conformance.diagnosis.suspects import composed
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants.equations import Equations, differentiated, miniature
from rnn_conformance.reference.derivatives import Adjoint, Derivative
from rnn_conformance.reference.oracle import Answer, Trace, Weights
from rnn_conformance.running.jobs import Source
from rnn_conformance.running.run import Options, run
from rnn_conformance.running.selection import Selection
from rnn_conformance.running.session import Session, evidence
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Config, Dtype, Kind, Role
from rnn_conformance.spec.result import Quantity
from tests.support.kinds import marks
from tests.support.miniatures import correct

FAILED = NonConforming("some check failed", sort=Sort.VALUE)
EVERYTHING = tuple(CLAUSES)


def trials(deviations: Sequence[Deviation[Any]]) -> list[Any]:
    """Each in each of its kinds."""
    return [
        pytest.param(kind, deviation, marks=marks(deviation.name, kind, deviation.kinds))
        for deviation in deviations
        for kind in sorted(deviation.kinds)
    ]


def said_of(implementation: Implementation, kind: Kind, *clauses: str) -> Diagnosis | None:
    """The diagnosis of an implementation of which a check of these clauses failed."""
    return Diagnostician(implementation, kind).diagnose(FAILED, clauses)


def failing_call(implementation: Implementation, kind: Kind) -> NonConforming:
    """What a check raises that compares results with the equations."""
    subject = Subject(implementation, kind)
    for probe in probes(kind, implementation.declaration):
        evidence = ask(subject, probe)
        if evidence is not None and evidence.wrong:
            return NonConforming("output is off", sort=Sort.VALUE, calls=probe.calls)
    raise AssertionError(f"{implementation.name} answers every probe right")


def in_catalogue(name: str) -> Deviation[Deviant]:
    (deviation,) = (deviation for deviation in CATALOGUE if deviation.name == name)
    return deviation


def named(value: Kind | Deviation[Any]) -> str:
    return str(value) if isinstance(value, Kind) else value.name


# What is known.


@pytest.mark.parametrize(("kind", "deviation"), trials(CATALOGUE), ids=named)
def test_every_deviation_is_named(kind: Kind, deviation: Deviation[Deviant]) -> None:
    diagnosis = said_of(miniature("x", kind, deviation.variant), kind, *deviation.breaks)
    assert diagnosis is not None
    (known,) = diagnosis.known
    assert deviation.name in {known.name, *known.same}, diagnosis.text
    assert not diagnosis.where
    assert diagnosis.explained > 0


@pytest.mark.parametrize(("kind", "deviation"), trials(GRADIENT_DEVIATIONS), ids=named)
def test_every_deviation_of_the_gradients_is_named(
    kind: Kind, deviation: Deviation[Adjoint]
) -> None:
    diagnosis = said_of(differentiated("x", kind, deviation.variant), kind, *deviation.breaks)
    assert diagnosis is not None
    assert diagnosis.of is Quantity.GRADIENTS
    (known,) = diagnosis.known
    assert deviation.name in {known.name, *known.same}, diagnosis.text
    assert not diagnosis.where


@pytest.mark.parametrize("seed", range(16))
def test_of_two_deviations_both_are_named_or_what_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    kind = rng.choice(list(Kind))
    pair = rng.sample(deviations_of(kind), 2)
    implementation = miniature("x", kind, composed(tuple(one.variant for one in pair)))
    diagnosis = said_of(implementation, kind, *(pair[0].breaks | pair[1].breaks))
    assert diagnosis is not None, f"{pair[0].name} and {pair[1].name}"
    names = [{known.name, *known.same} for known in diagnosis.known]
    if len(names) == 2 and all(any(one.name in some for some in names) for one in pair):
        return
    # One may hide the other, or two be a third: then it is so in cases that were not tried.
    names_alone = {known.name for known in diagnosis.known}
    unlisted = (part_functions, part_orders, part_rows, limits, castings)
    every = (*CATALOGUE, *(one for listing in unlisted for one in listing(kind)))
    oracles = [deviation.variant for deviation in every if deviation.name in names_alone]
    assert oracles, f"nothing is named for {pair[0].name} and {pair[1].name}: {diagnosis.text}"
    subject = Subject(implementation, kind)
    for case in fresh(kind, implementation.declaration, 60, seed=3):
        evidence = ask(subject, Probe.of(case))
        assert evidence is not None
        orders = (tuple(oracles), tuple(reversed(oracles)))
        fits = any(evidence.fits(composed(order)) for order in orders)
        assert fits or (evidence.wrong and not evidence.telling), f"{diagnosis.text} is not {pair}"


class OtherOrder(nn.LSTM):
    """Reads its parameters as if the gates were in the order i, f, o, g."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        size = self.hidden_size
        rows = torch.cat([torch.arange(k * size, (k + 1) * size) for k in (0, 1, 3, 2)])
        given = {name: parameter.detach() for name, parameter in self.named_parameters()}
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if not name.startswith("weight_hr"):
                    parameter.copy_(given[name][rows].clone())
        try:
            return super().forward(input, hx)
        finally:
            with torch.no_grad():
                for name, parameter in self.named_parameters():
                    if not name.startswith("weight_hr"):
                        parameter.copy_(given[name][torch.argsort(rows)].clone())


class ResetBefore(nn.GRUCell):
    """The reset gate before the product, in torch's own arithmetic."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        h = input.new_zeros(*input.shape[:-1], self.hidden_size) if hx is None else hx
        x_r, x_z, x_n = nn.functional.linear(input, self.weight_ih, self.bias_ih).chunk(3, -1)
        w_r, w_z, w_n = self.weight_hh.chunk(3)
        none = torch.zeros_like(self.weight_hh[:, 0])
        b_r, b_z, b_n = (self.bias_hh if self.bias else none).chunk(3)
        r = torch.sigmoid(x_r + nn.functional.linear(h, w_r, b_r))
        z = torch.sigmoid(x_z + nn.functional.linear(h, w_z, b_z))
        n = torch.tanh(x_n + nn.functional.linear(r * h, w_n, b_n))
        return (1 - z) * n + z * h


@pytest.mark.parametrize("dtypes", [tuple(Dtype), (Dtype.FLOAT32,), (Dtype.FLOAT16,)])
@pytest.mark.parametrize(
    ("cls", "kind", "name"),
    [
        (OtherOrder, Kind.LSTM, "gates in the order i, f, o, g"),
        (ResetBefore, Kind.GRU_CELL, "the reset gate before the matrix product"),
    ],
)
def test_it_is_named_in_any_arithmetic(
    cls: type[nn.Module], kind: Kind, name: str, dtypes: tuple[Dtype, ...]
) -> None:
    whole = drop_in(cls)
    declaration = replace(whole.declaration, dtypes=frozenset(dtypes))
    diagnosis = said_of(replace(whole, declaration=declaration), kind, "EQ-2", "CEL-2")
    assert diagnosis is not None
    (known,) = diagnosis.known
    assert known.name == name, diagnosis.text
    assert not known.same
    assert known.fix in diagnosis.text


def test_a_failing_check_is_explained_by_its_own_calls() -> None:
    deviation = in_catalogue("the reset gate before the matrix product")
    implementation = miniature("x", Kind.GRU, deviation.variant)
    diagnostician = Diagnostician(implementation, Kind.GRU)
    diagnosis = diagnostician.diagnose(failing_call(implementation, Kind.GRU), ["TYP-1"])
    assert diagnosis is not None
    assert diagnosis.known[0].name == deviation.name


def test_a_failure_within_the_bound_is_explained_by_what_explains_all() -> None:
    kind, deviation = Kind.GRU, in_catalogue("b_hn outside the reset gate's product")
    wrong = miniature("x", kind, deviation.variant)
    call = Case(Config(kind, 1, 1), batch=1, length=1, dtype=Dtype.BFLOAT16).call()
    for implementation, named in ((wrong, [deviation.name]), (correct(kind), [])):
        answer = ask(Subject(implementation, kind), Probe((call,)))
        assert answer is not None
        assert not answer.wrong
        assert answer.nearer(deviation.variant) is bool(named)
        failed = NonConforming("scatters", sort=Sort.VALUE, calls=(call,))
        diagnosis = Diagnostician(implementation, kind).diagnose(failed, ["EQ-6"])
        assert [known.name for known in (diagnosis.known if diagnosis else ())] == named


def test_what_breaks_other_clauses_does_not_explain_a_failure() -> None:
    deviation = in_catalogue("the reset gate before the matrix product")
    assert said_of(miniature("x", Kind.GRU, deviation.variant), Kind.GRU, "MEM-1") is None


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_said_of_what_is_right(kind: Kind) -> None:
    assert said_of(correct(kind), kind, *EVERYTHING) is None
    assert said_of(differentiated("x", kind), kind, *EVERYTHING) is None


# What is not known.


class _Off(Deviant):
    """What it gives is off by a little of no catalogue's where ``somewhere`` is true."""

    def somewhere(self, call: Call, layer: int, direction: int) -> bool:
        return True

    def initial_state(self, call: Call, layer: int, direction: int) -> tuple[Array, Array]:
        h, c = super().initial_state(call, layer, direction)
        return (h + 0.123, c) if self.somewhere(call, layer, direction) else (h, c)


def off(where: Callable[[Call, int, int], bool]) -> type[Deviant]:
    """Off in the layers and directions of calls of which that is true."""

    class Off(_Off):
        def somewhere(self, call: Call, layer: int, direction: int) -> bool:
            return where(call, layer, direction)

    return Off


class _FromStepTwo(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        output = answer.output.copy()
        output[2:] += 0.123
        return replace(answer, output=output)


class _AfterPadding(Deviant):
    def answer(self, call: Call) -> Answer:
        answer = super().answer(call)
        output = answer.output.copy()
        first = int(np.argmin(call.steps.all(axis=1)))
        if not call.steps.all():
            output[first:] += 0.123
        return replace(answer, output=output)


UNKNOWN: dict[str, tuple[type[Deviant], tuple[str, ...]]] = {
    "reverse": (
        off(lambda call, layer, direction: direction == 1 and layer == call.config.num_layers - 1),
        ("only the reverse direction", "goes away with bidirectional=False"),
    ),
    "layers": (
        off(lambda call, layer, direction: layer > 0),
        ("only layers above the first", "goes away with num_layers=1"),
    ),
    "padding": (
        _AfterPadding,
        ("only what comes after the first padded step", "goes away with no packed sequence"),
    ),
    "given": (
        off(lambda call, layer, direction: call.h_0 is not None),
        ("goes away with no initial state",),
    ),
    "omitted": (
        off(lambda call, layer, direction: call.h_0 is None),
        ("goes away with an initial state",),
    ),
    "from a step on": (_FromStepTwo, ("no output before step 2", "goes away with one step")),
    "batch_first": (
        off(lambda call, layer, direction: call.config.batch_first),
        ("goes away with batch_first=False",),
    ),
    "bias": (
        off(lambda call, layer, direction: not call.config.bias),
        ("goes away with bias=True",),
    ),
    "projection": (
        off(lambda call, layer, direction: call.config.proj_size > 0),
        ("goes away with proj_size=0",),
    ),
    "unbatched": (
        off(lambda call, layer, direction: call.unbatched),
        ("goes away with batched input",),
    ),
    "float32": (
        off(lambda call, layer, direction: call.dtype is not Dtype.FLOAT64),
        ("goes away with float64",),
    ),
}


@pytest.mark.parametrize("which", UNKNOWN)
def test_what_is_not_known_is_told_by_where_it_shows(which: str) -> None:
    oracle, symptoms = UNKNOWN[which]
    implementation = miniature("x", Kind.LSTM, oracle)
    diagnostician = Diagnostician(implementation, Kind.LSTM)
    subject = Subject(implementation, Kind.LSTM)
    failure = next(
        NonConforming("off", sort=Sort.VALUE, calls=(case.call(),))
        for case in fresh(Kind.LSTM, implementation.declaration, 200, seed=4)
        if (evidence := ask(subject, Probe.of(case))) and evidence.wrong
    )
    diagnosis = diagnostician.diagnose(failure, ["EQ-2"])
    assert diagnosis is not None
    assert not diagnosis.known, diagnosis.text
    for symptom in symptoms:
        assert symptom in diagnosis.text, diagnosis.text


class ScaledGradient(Adjoint):
    """The gradient of W_hh is off by a factor that no deviation has."""

    def derivative(self, backward: Backward, answer: Answer) -> Derivative:
        exact = super().derivative(backward, answer)
        off = {
            name: 1.3 * exact.gradients[name]
            for name, parameter in backward.call.config.parameters.items()
            if parameter.role is Role.WEIGHT_HH
        }
        return replace(exact, gradients={**exact.gradients, **off})


class UnbatchedResultsOff(Equations):
    """And so are other calls' outputs, which has nothing to do with it."""

    def __call__(self, *arguments: Any) -> Any:
        output, state = super().__call__(*arguments)
        return (output + 0.5 if self.call(*arguments).unbatched else output), state


@pytest.mark.parametrize("equations", [Equations, UnbatchedResultsOff])
def test_a_gradient_that_is_off_is_told_by_its_argument(equations: type[Equations]) -> None:
    implementation = differentiated("x", Kind.GRU, ScaledGradient, equations)
    diagnostician = Diagnostician(implementation, Kind.GRU)
    wrong = next(
        evidence.probe
        for evidence in diagnostician.gradients.evidence
        if evidence.wrong and evidence.probe.case is not None
    )
    error = NonConforming(
        "the gradient of weight_hh is off",
        sort=Sort.VALUE,
        calls=wrong.calls,
        gradient=True,
        backward=drawn(wrong.calls[0], 1),
    )
    diagnosis = diagnostician.diagnose(error, ["GRD-1"])
    assert diagnosis is not None
    assert not diagnosis.known
    assert "only the gradient of weight_hh" in diagnosis.text
    assert "results are wrong too" not in diagnosis.text.lower()


def test_what_differs_from_call_to_call_is_told_so() -> None:
    class Drawn(nn.GRU):
        def forward(self, input: Any, hx: Any = None) -> Any:
            output, h_n = super().forward(input, hx)
            return output, h_n + 0.1 * torch.rand_like(h_n)

    implementation = drop_in(Drawn)
    diagnosis = Diagnostician(implementation, Kind.GRU).diagnose(
        failing_call(implementation, Kind.GRU), ["DET-1"]
    )
    assert diagnosis is not None
    assert not diagnosis.known
    assert "The same call gives something else each time (6 of 6 cases)" in diagnosis.text


def test_exceptions_are_counted_and_bisected() -> None:
    class Raises(nn.GRU):
        def forward(self, input: Any, hx: Any = None) -> Any:
            if self.bidirectional:
                raise ArithmeticError("two directions are too many")
            return super().forward(input, hx)

    implementation = drop_in(Raises)
    diagnosis = Diagnostician(implementation, Kind.GRU).diagnose(
        failing_call(implementation, Kind.GRU), ["DIR-1"]
    )
    assert diagnosis is not None
    assert "two directions are too many" in diagnosis.text
    assert "It goes away with bidirectional=False" in diagnosis.text


def test_what_is_known_in_a_part_is_named_for_that_part_alone() -> None:
    known = in_catalogue("b_hh left out")

    class Partly(Deviant):
        def weights(self, call: Call, layer: int, direction: int) -> Weights:
            if call.lengths is None:
                return known.variant().weights(call, layer, direction)
            return super().weights(call, layer, direction)

        def scan(self, call: Call, layer: int, direction: int, x: Array, steps: Any) -> Trace:
            if call.lengths is not None:
                x = x + 0.01 * np.cos(np.arange(len(x)))[:, None, None]
            return super().scan(call, layer, direction, x, steps)

    implementation = miniature("x", Kind.GRU, Partly)
    diagnosis = Diagnostician(implementation, Kind.GRU).diagnose(
        failing_call(implementation, Kind.GRU), ["EQ-4"]
    )
    assert diagnosis is not None
    assert diagnosis.where == "in calls without packed sequences"
    assert diagnosis.known[0].name == known.name
    assert diagnosis.explained < diagnosis.failing
    assert diagnosis.text.startswith("In calls without packed sequences, its results equal")


# What it costs, and what it must not.


def test_an_implementation_that_conforms_is_not_examined(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examined(*_: object) -> Diagnostician:
        raise AssertionError("it was examined")

    monkeypatch.setattr("rnn_conformance.diagnosis.diagnosis.Diagnostician", examined)
    selection = Selection(targets=("torch.nn:GRUCell",), clauses=("CEL-1", "CEL-2"))
    whole = run(Options(selection, tmp_path))
    assert whole["implementations"][0]["verdict"] == "conforms"


def test_a_run_says_what_is_wrong(tmp_path: Any) -> None:
    target = f"{__file__}:reset_before"
    whole = run(Options(Selection(targets=(target,), clauses=("CEL-2",)), tmp_path))
    (implementation,) = whole["implementations"]
    (check, *_) = (check for check in implementation["checks"] if check["failure"])
    known = check["failure"]["diagnosis"]["known"]
    assert [one["name"] for one in known] == ["the reset gate before the matrix product"]


def test_a_diagnosis_that_fails_loses_nothing_of_the_failure() -> None:
    class Broken:
        def diagnose(self, error: object, clauses: object) -> None:
            raise ZeroDivisionError("no idea")

    session = Session(source=Source("x"), loaded=[correct(Kind.RNN)])
    session.diagnosticians[0, "RNN"] = cast(Diagnostician, Broken())
    answer = session.diagnose(0, "x", "RNN", [], ["EQ-1"], evidence(FAILED))
    assert answer["diagnosis"] is None
    assert "ZeroDivisionError" in answer["reason"]


reset_before = drop_in(ResetBefore, name="reset_before")
