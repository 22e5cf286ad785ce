"""The chapter on gradients passes what is right, and its failures say what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from rnn_conformance import implementation
from rnn_conformance.checking.checks import Check, checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Fault, Sort
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.registry import load
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.backpropagation import Recomputing
from rnn_conformance.mutants.equations import Equations
from rnn_conformance.mutants.gradient_paths import PATHS
from rnn_conformance.mutants.mutant import of_kind
from rnn_conformance.results.records import Failure, Outcome
from rnn_conformance.spec.config import Config, Feature, Kind, Role

QUICK = Profile("quick, without shrinking", 20, 0)
CHAPTER = [check for check in checks() if check.id.startswith("conformance/test_gradients.py")]

# torch says so once for each process, and computes the same.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def fails(subject: Subject, clause: str) -> Failure | None:
    """The failure of the first check of a clause that fails; ``None`` if none does."""
    for check in CHAPTER:
        if clause in check.clauses and subject.kind in check.kinds:
            record = examine(check, subject)
            assert record.outcome is not Outcome.ERROR, f"{check.id}: {record.failure}"
            if record.outcome is Outcome.FAILED:
                return record.failure
    return None


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("check", CHAPTER, ids=lambda check: check.id.rpartition("::")[2])
def test_gradients_computed_otherwise_pass(check: Check, kind: Kind) -> None:
    if kind not in check.kinds:
        return
    for seed in range(2):
        for cls in (of_kind(Recomputing, kind), getattr(torch.nn, kind)):
            record = examine(check, Subject(drop_in(cls), kind, QUICK, seed))
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure


# Functions: what is no module is differentiated by its own vector-Jacobian product.


def function(
    build: Callable[..., Any], kind: Kind, level: str = "training"
) -> FunctionImplementation:
    features = Feature.of(kind) - {Feature.DROPOUT}
    return implementation(kinds=[kind], features=features, level=level, name="equations")(build)


@pytest.mark.parametrize("kind", Kind)
def test_a_function_with_a_vector_jacobian_product_passes(kind: Kind) -> None:
    passed = 0
    for check in CHAPTER:
        if kind in check.kinds:
            record = examine(check, Subject(function(Equations, kind), kind, QUICK, 0))
            assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), record.failure
            passed += record.outcome is Outcome.PASSED
    assert passed >= 8, "what needs no module is checked on functions too"


def without_vjp(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    layer = Equations(config, parameters)
    return lambda *arguments: layer(*arguments)


def test_a_function_for_inference_need_not_be_differentiable() -> None:
    subject = Subject(function(without_vjp, Kind.GRU, "inference"), Kind.GRU, QUICK, 0)
    for check in CHAPTER:
        assert examine(check, subject).outcome is Outcome.UNSUPPORTED


def test_a_function_for_training_without_one_is_an_error_of_its_adapter() -> None:
    subject = Subject(function(without_vjp, Kind.GRU), Kind.GRU, QUICK, 0)
    record = examine(CHAPTER[0], subject)
    assert record.outcome is Outcome.ERROR
    assert record.failure is not None
    assert record.failure.fault is Fault.ADAPTER
    assert "must have an attribute vjp" in record.failure.message


class ForgetsAName(Equations):
    def vjp(self, cotangents: Any, *arguments: Any) -> Any:
        gradients = super().vjp(cotangents, *arguments)
        del gradients["input"]
        return gradients


def test_a_product_that_lacks_a_gradient_is_an_error_of_its_adapter() -> None:
    record = examine(CHAPTER[0], Subject(function(ForgetsAName, Kind.RNN), Kind.RNN, QUICK, 0))
    assert record.outcome is Outcome.ERROR
    assert record.failure is not None
    assert record.failure.fault is Fault.ADAPTER
    assert "must return a mapping with the names input" in record.failure.message


# What a failure says.


def test_a_failure_names_the_argument_the_gate_and_the_results_used() -> None:
    (mutant,) = (mutant for mutant in PATHS if "second gate" in mutant.name)
    failure = fails(Subject(mutant.implementation(Kind.LSTM), Kind.LSTM, QUICK, 0), "GRD-1")
    assert failure is not None
    assert failure.sort is Sort.VALUE
    assert "backward pass through output and h_n and c_n: gradient of weight_" in failure.message
    assert "(only gate f)" in failure.message
    assert failure.where is not None
    assert failure.where["array"].startswith("gradient of weight_")
    assert failure.where["gate"] == "f"
    assert failure.excerpt


COMPOSED = """
import torch


class Composed(torch.nn.Module):
    rnn_conformance = {{
        "kind": "{kind}",
        "parameters": {{
            role: f"inner.{{role}}{suffix}"
            for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        }},
    }}

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.inner = torch.nn.{kind}(*args, **kwargs)
        next(self.parameters()).register_hook(lambda gradient: 0.5 * gradient)

    def forward(self, input, hx=None):
        return self.inner(input, hx)
"""


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.LSTM_CELL])
def test_the_script_takes_declared_names_and_what_has_no_flatten_parameters(
    kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "composed.py"
    suffix = "" if kind.is_cell else "{{suffix}}"
    file.write_text(COMPOSED.format(kind=kind, suffix=suffix), "utf-8")
    (wrong,) = load(f"{file}:Composed")
    check = next(check for check in CHAPTER if "input_states_and_parameters" in check.id)
    failure = examine(check, Subject(wrong, kind, QUICK, 0)).failure
    assert failure is not None
    assert failure.script is not None
    script = {"__name__": "script"}
    with pytest.raises(SystemExit, match="True"):
        exec(compile(failure.script, "script.py", "exec"), script)
    name = Config(kind, 1, 1).parameter_name(Role.WEIGHT_IH, 0, 0)
    forward: Any = script["forward"]
    got: Any = script["got"]
    expected = forward(getattr(torch.nn, kind))[name]
    torch.testing.assert_close(got[f"inner.{name}"], 0.5 * expected, rtol=0.0, atol=0.0)
    assert name in capsys.readouterr().out


HALVED = """
import torch


class Halved(torch.nn.{kind}):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        next(self.parameters()).register_hook(lambda gradient: 0.5 * gradient)
"""


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Kind.LSTM, "input_states_and_parameters"),
        (Kind.GRU, "sequences_of_different_lengths"),
        (Kind.RNN, "a_single_step"),
        (Kind.LSTM_CELL, "input_states_and_parameters"),
    ],
)
def test_the_script_of_a_failure_shows_both_gradients(
    kind: Kind, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "halved.py"
    file.write_text(HALVED.format(kind=kind), "utf-8")
    (wrong,) = load(f"{file}:Halved")
    (check,) = (check for check in CHAPTER if check.id.endswith(f"::test_gradients_of_{what}"))
    failure = examine(check, Subject(wrong, kind, QUICK, 0)).failure
    assert failure is not None
    assert failure.script is not None
    script = {"__name__": "script"}
    with pytest.raises(SystemExit, match="True"):
        exec(compile(failure.script, "script.py", "exec"), script)
    name = Config(kind, 1, 1).parameter_name(Role.WEIGHT_IH, 0, 0)
    forward: Any = script["forward"]
    got: Any = script["got"]
    expected = forward(getattr(torch.nn, kind))[name]
    torch.testing.assert_close(got[name], 0.5 * expected, rtol=0.0, atol=0.0)
    assert name in capsys.readouterr().out


def test_a_gradient_of_the_wrong_shape_is_named() -> None:
    class Flat(Equations):
        def vjp(self, cotangents: Any, *arguments: Any) -> Any:
            gradients = super().vjp(cotangents, *arguments)
            return gradients | {"input": gradients["input"].reshape(-1)}

    failure = fails(Subject(function(Flat, Kind.RNN), Kind.RNN, QUICK, 0), "GRD-1")
    assert failure is not None
    assert failure.sort is Sort.SHAPE
    assert "the gradient of input has the shape" in failure.message
