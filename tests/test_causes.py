"""What no comparison of results tells has a cause too, and each is seen by an experiment."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_conformance import drop_in
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Cause, cause_of
from rnn_conformance.diagnosis.diagnosis import CAUSES, Diagnostician
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.mutants.dropout import DROPOUT
from rnn_conformance.mutants.parameters import PARAMETERS
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Kind

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections", "ignore:dropout option")

MUTANTS = {mutant.name: mutant for mutant in (*DROPOUT, *PARAMETERS)}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_nothing_is_seen_of_what_is_right(cause: Cause, kind: Kind) -> None:
    subject = Subject(drop_in(getattr(nn, kind)), kind)
    assert cause_of(subject, CLAUSES, [cause]) is None


@pytest.mark.parametrize(
    ("mutant", "cause"),
    [
        ("dropout in evaluation, drawn anew", "dropout in evaluation"),
        ("dropout in a single layer", "dropout in a single layer"),
        ("dropout of the last layer's output", "dropout of the last layer's output, too"),
        ("dropout of the first layer's input", "dropout of the first layer's input"),
        ("dropout of the final states", "dropout of the final states"),
        ("dropout of the recurrent state", "dropout of the state that recurs"),
        ("dropout ignored", "no dropout at all"),
        ("dropout ignored for packed input", "no dropout of packed sequences"),
        ("NaN for a dropout of 1", "NaN for a dropout of 1"),
        ("a dropout of 1 that drops nothing", "a dropout of 1 that drops nothing"),
        (
            "dropout where gradients are recorded, whatever the mode",
            "dropout that the recording of gradients decides, not the mode",
        ),
        (
            "a projection that begins within 1/sqrt(proj_size)",
            "initial values of another limit in some layer, direction or projection",
        ),
        (
            "a reverse direction that begins as zeros",
            "initial values of another limit in some layer, direction or projection",
        ),
        ("kept elements not scaled", "kept elements not scaled"),
        ("kept elements scaled by 1/p", "kept elements scaled by 1/p"),
        (
            "dropout taken for the probability of keeping",
            "dropout taken for the probability of keeping",
        ),
        ("one dropout mask for all steps", "one dropout mask for all steps"),
        ("one dropout mask for all samples", "one dropout mask for all samples"),
        ("one dropout mask for all features", "one dropout mask for all units"),
        ("one dropout mask for both directions", "one dropout mask for both directions"),
        ("one dropout mask for all layers", "one dropout mask for all layers"),
        (
            "a dropout generator that knows no seed",
            "dropout from a generator of its own, which torch.manual_seed does not reach",
        ),
        (
            "a dropout mask kept for calls of the same shape",
            "a dropout mask that is kept for later calls",
        ),
        (
            "a backward pass with another dropout mask",
            "a backward pass through another dropout mask than the forward pass's",
        ),
        ("initial values within 1", "initial values within another limit"),
        ("biases that begin as zeros", "biases that begin as zeros"),
        ("a forget gate that begins open", "a forget gate that begins open"),
        (
            "every layer and direction initialised with the first one's values",
            "the same initial values in every layer or direction",
        ),
        ("initial values that no seed decides", "initial values that no seed decides"),
        (
            "initial values from a generator always seeded alike",
            "initial values that are the same in every layer that is made",
        ),
        (
            "weights copied by the constructor, which runs on the copy",
            "parameters that are copied when it is made: those that are changed in place later "
            "are not used",
        ),
        (
            "weights packed at the first call and never again",
            "parameters that are copied at the first call: those that are changed in place later "
            "are not used",
        ),
    ],
)
def test_a_cause_is_seen_where_it_is(mutant: str, cause: str) -> None:
    wrong = MUTANTS[mutant]
    kind = Kind.LSTM if Kind.LSTM in wrong.kinds else min(wrong.kinds)
    found = cause_of(Subject(wrong.implementation(kind), kind), wrong.breaks, CAUSES)
    assert found is not None
    assert found[0].name == cause, found


def initialised(change: Callable[[Tensor], Any]) -> type[nn.Module]:
    """An LSTM whose parameters begin otherwise."""

    class Initialised(nn.LSTM):
        def reset_parameters(self) -> None:
            with torch.no_grad():
                for parameter in self.parameters():
                    change(parameter)

    return Initialised


@pytest.mark.parametrize(
    ("change", "cause", "seen"),
    [
        (
            lambda p: nn.init.normal_(p, std=p.shape[0] ** -0.5 * 2.0),
            "initial values that are normal, not uniform",
            "standard deviation 1/sqrt(hidden_size)",
        ),
        (
            lambda p: nn.init.normal_(p, std=0.4),
            "initial values that are normal, not uniform",
            "standard deviation 0.4",
        ),
        (
            lambda p: nn.init.orthogonal_(p) if p.dim() > 1 else nn.init.uniform_(p, -0.17, 0.17),
            "orthogonal weights",
            "weight_ih and weight_hh of fresh layers is orthogonal",
        ),
        (
            lambda p: nn.init.xavier_uniform_(p) if p.dim() > 1 else nn.init.zeros_(p),
            "biases that begin as zeros",
            "bias_ih and bias_hh of fresh layers are zeros",
        ),
        (
            lambda p: nn.init.uniform_(p, -0.1, 0.1),
            "initial values within another limit",
            "uniform in ±0.1 instead",
        ),
        (
            lambda p: nn.init.constant_(p, 0.25),
            "initial values that are one number",
            "0.25 throughout",
        ),
    ],
)
def test_how_parameters_begin_is_told(
    change: Callable[[Tensor], Any], cause: str, seen: str
) -> None:
    # As it is for one number, that it is the same in every layer comes first where it is.
    causes = [one for one in CAUSES if "same" not in one.name or cause == one.name]
    found = cause_of(Subject(drop_in(initialised(change)), Kind.LSTM), {"PAR-2"}, causes)
    assert found is not None
    assert found[0].name == cause, found
    assert seen in found[1]


class Broadcasting(nn.GRU):
    """A state of one sample is taken for all."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and hx.dim() == 3 and hx.shape[1] == 1:
            hx = hx.expand(-1, input.shape[0 if self.batch_first else 1], -1).contiguous()
        return super().forward(input, hx)


class Wide(nn.GRU):
    """A state of more units than there are is taken."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, None if hx is None else hx[..., : self.hidden_size])


class Flat(nn.GRU):
    """Strides are ignored."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and not input.is_contiguous():
            input = torch.as_strided(input, input.shape, torch.empty(input.shape).stride())
        return super().forward(input, hx)


class Casting(nn.GRU):
    """Input and state are cast to the weights' dtype."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = self.weight_ih_l0.dtype
        return super().forward(input.to(dtype), None if hx is None else hx.to(dtype))


class Assigned(nn.GRU):
    """The parameters are collected when it is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.taken: list[Tensor | None] = [*self.parameters()]

    def forward(self, input: Any, hx: Any = None) -> Any:
        twin = copy.copy(self)
        twin._flat_weights = list(self.taken)
        return nn.GRU.forward(twin, input, hx)


class _AddingUp(torch.autograd.Function):
    """The parameter as it is, whose gradient is summed in an array that is kept."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, kept: Tensor) -> Tensor:
        ctx.kept = kept
        return parameter.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        ctx.kept += gradient
        return ctx.kept.clone(), None


class AddingUp(nn.GRU):
    """The gradient of its recurrent matrix has those of all passes before."""

    weight_hh_l0: Tensor

    def forward(self, input: Any, hx: Any = None) -> Any:
        if "kept" not in self.__dict__:
            self.__dict__["kept"] = torch.zeros_like(self.weight_hh_l0)
        adding_up: Any = _AddingUp.apply
        own = {"weight_hh_l0": adding_up(self.weight_hh_l0, self.__dict__["kept"])}
        twin = nn.GRU(self.input_size, self.hidden_size)
        return torch.func.functional_call(
            twin, {**dict(self.named_parameters()), **own}, (input, hx)
        )


class KeepingTwoGates(nn.GRU):
    """The rows of r and z are those of the first call, as where these are fused once."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        size, own = 2 * self.hidden_size, dict(self.named_parameters())
        first = {name: parameter.detach()[:size].clone() for name, parameter in own.items()}
        kept = self.__dict__.setdefault("kept", first)
        fused = {name: torch.cat([kept[name], own[name][size:]]) for name in own}
        twin = nn.GRU(self.input_size, self.hidden_size)
        return torch.func.functional_call(twin, fused, (input, hx))


def test_which_parameters_are_kept_is_seen() -> None:
    found = cause_of(Subject(drop_in(KeepingTwoGates), Kind.GRU), {"PAR-4"}, CAUSES)
    assert found is not None
    cause, seen = found
    assert cause.name.startswith("parameters that are copied at the first call"), cause.name
    rows = "weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 at r, z"
    assert seen == (
        f"after a first call, results with parameters changed in place are those of {rows} before"
    )


@pytest.mark.parametrize(
    ("cls", "clause", "cause"),
    [
        (AddingUp, "GRD-4", "gradients that add up from one backward pass to the next"),
        (Broadcasting, "ERR-3", "a state of one sample used for every sample"),
        (Wide, "ERR-3", "a state of more units of which the first are used"),
        (Flat, "MEM-2", "an input that is not contiguous read from its memory as if it were"),
        (Casting, "TYP-2", "an input of another dtype that is cast to the weights'"),
        (Casting, "ERR-4", "an input of another dtype that is cast to the weights'"),
        (
            Assigned,
            "PAR-6",
            "parameters that are copied when it is made: those that are assigned as new "
            "parameters later are not used",
        ),
    ],
)
def test_what_is_taken_or_not_used_is_told(cls: type[nn.Module], clause: str, cause: str) -> None:
    found = cause_of(Subject(drop_in(cls), Kind.GRU), {clause}, CAUSES)
    assert found is not None
    assert found[0].name == cause, found


def test_a_diagnosis_says_how_a_cause_was_seen_and_what_mends_it() -> None:
    wrong = MUTANTS["kept elements not scaled"]
    diagnostician = Diagnostician(wrong.implementation(Kind.GRU), Kind.GRU)
    failed = NonConforming("a check failed", sort=Sort.VALUE)
    diagnosis = diagnostician.diagnose(failed, {"DRP-3"})
    assert diagnosis is not None
    assert diagnosis.text == (
        "Kept elements not scaled (DRP-3): results are those of a factor of 1. "
        "Divide what is kept by 1 - dropout in training mode."
    )
    assert diagnostician.diagnose(failed, {"DIR-1"}) is None


def test_an_experiment_that_raises_has_seen_nothing() -> None:
    def seen(subject: Subject) -> str:
        raise KeyError("no such thing")

    cause = Cause("anything", "Mend it.", frozenset({"EQ-1"}), seen)
    assert cause_of(Subject(drop_in(nn.RNN), Kind.RNN), {"EQ-1"}, [cause]) is None


def test_an_experiment_leaves_the_process_as_it_was() -> None:
    def seen(subject: Subject) -> str:
        torch.set_default_dtype(torch.float64)
        return "it was set"

    cause = Cause("anything", "Mend it.", frozenset({"EQ-1"}), seen)
    assert cause_of(Subject(drop_in(nn.RNN), Kind.RNN), {"EQ-1"}, [cause]) == (cause, "it was set")
    assert torch.get_default_dtype() == torch.float32
