"""Weights that are kept in fewer digits: right within a bound of their own, and not without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import pytest
import torch
from torch import nn

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.probing import probe
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.diagnosis.diagnosis import Diagnostician
from rnn_conformance.diagnosis.probes import passes
from rnn_conformance.errors import NonConforming, Sort, UsageError
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.registry import load
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.locations import bundled
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.oracle import Oracle, Weights
from rnn_conformance.reference.storage import lost
from rnn_conformance.results.records import Outcome
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Values
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Dtype, Feature, Kind, Level, Storage
from tests.support.random_calls import random_case

FEW = Profile("a few", 6, 0)
CHAPTERS = {"EQ", "DIR", "LAY", "STA", "PCK", "ACC", "CEL", "BF"}

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


Keep: TypeAlias = Callable[[Array], Array]


def quantized(array: Array) -> Array:
    """To the nearest of 255 steps of one symmetric scale; biases as they are."""
    scale = np.abs(array).max(initial=0.0) / 127.0
    if array.ndim == 1 or not scale:
        return array
    kept: Array = np.clip(np.rint(array / scale), -127, 127) * scale
    return kept


def with_a_zero_point(array: Array) -> Array:
    """To the nearest of 256 steps from the least to the greatest, zero being one of them."""
    low, high = min(0.0, array.min(initial=0.0)), max(0.0, array.max(initial=0.0))
    scale = (high - low) / 255.0
    if array.ndim == 1 or not scale:
        return array
    zero = np.rint(-128.0 - low / scale)
    kept: Array = (np.clip(np.rint(array / scale) + zero, -128, 127) - zero) * scale
    return kept


def halved(dtype: torch.dtype) -> Keep:
    return lambda array: torch.from_numpy(np.array(array)).to(dtype).double().numpy()


WAYS = {
    "int8": (Storage.INT8, quantized),
    "int8 with a zero point": (Storage.INT8, with_a_zero_point),
    "float16": (Storage.FLOAT16, halved(torch.float16)),
    "bfloat16": (Storage.BFLOAT16, halved(torch.bfloat16)),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_weight_loses_no_more_than_is_said(way: str) -> None:
    kept, keep = WAYS[way]
    rng = np.random.default_rng(0)
    for scale in (1e-6, 1.0, 300.0):
        for shape in ((40, 30), (1, 1), (50,)):
            weight = scale * rng.standard_normal(shape)
            error, bound = np.abs(keep(weight) - weight), lost(kept, weight)
            assert (error <= bound).all()
            if weight.size > 1000:
                # And nearly as much, somewhere.
                assert (error > 0.7 * bound).any()


def test_a_weight_that_overflows_is_lost() -> None:
    assert list(lost(Storage.FLOAT16, np.array([1.0, 7e4, np.inf, np.nan])) < np.inf) == [
        True,
        False,
        False,
        False,
    ]


class Keeping(Oracle):
    """The oracle with weights that have lost what they lose."""

    def __init__(self, keep: Keep) -> None:
        super().__init__()
        self.keep = keep

    def weights(self, call: Call, layer: int, direction: int) -> Weights:
        whole = super().weights(call, layer, direction)
        return replace(
            whole,
            w_ih=self.keep(whole.w_ih),
            w_hh=self.keep(whole.w_hh),
            b_ih=self.keep(whole.b_ih),
            b_hh=self.keep(whole.b_hh),
            w_hr=None if whole.w_hr is None else self.keep(whole.w_hr),
        )


def off(call: Call, keep: Keep, kept: Storage | None) -> float:
    """By how many times its bound the worst element of the output is off."""
    due = expected(call, weights=kept)
    error = np.abs(Keeping(keep).answer(call).output - due["output"])
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(error > 0.0, error / due.bounds["output"], 0.0)
    return float(excess[call.steps].max())


@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
@pytest.mark.parametrize("way", WAYS)
def test_results_lie_within_the_bound_of_such_weights_alone(kind: Kind, way: str) -> None:
    kept, keep = WAYS[way]
    for dtype in (Dtype.FLOAT32, Dtype.FLOAT64):
        calls = [random_case(kind, seed, dtype, values=Values.TYPICAL).call() for seed in range(30)]
        assert max(off(call, keep, kept) for call in calls) <= 1.0
        assert np.median([off(call, keep, None) for call in calls]) > 3.0


def test_the_bound_holds_what_is_large_apart() -> None:
    call = random_case(Kind.LSTM, 1, Dtype.FLOAT32, values=Values.TYPICAL).call()
    bounds = [
        float(np.median(expected(call, weights=kept).bounds["output"][call.steps]))
        for kept in (None, Storage.FLOAT16, Storage.BFLOAT16)
    ]
    assert 10 * bounds[0] < bounds[1] < bounds[2] < 0.5


def test_nothing_is_claimed_of_what_scatters_or_is_differentiated() -> None:
    call = random_case(Kind.GRU, 1, Dtype.FLOAT32).call()
    assert not expected(call, weights=Storage.INT8).scatter.claims
    with pytest.raises(ValueError, match="no bound on gradients"):
        expected(drawn(call, 0), weights=Storage.INT8)
    assert not passes(Kind.GRU, Declaration.of(["GRU"], weights="int8"))


# As classes.


class Kept(nn.LSTM):
    """Rounds its weights when they are loaded."""

    rnn_conformance: ClassVar[dict[str, Any]] = {"level": "inference"}

    @staticmethod
    def keep(array: Array) -> Array:
        raise NotImplementedError

    def load_state_dict(self, state_dict: Any, *args: Any, **keywords: Any) -> Any:
        kept = {
            name: torch.from_numpy(type(self).keep(value.double().numpy())).to(value.dtype)
            for name, value in state_dict.items()
        }
        return super().load_state_dict(kept, *args, **keywords)


class InInt8(Kept):
    @staticmethod
    def keep(array: Array) -> Array:
        return quantized(array)


class InFloat16(Kept):
    @staticmethod
    def keep(array: Array) -> Array:
        return halved(torch.float16)(array)


class Swapped(Kept):
    """And takes the gates for those of another order: rows of f for those of i."""

    @staticmethod
    def keep(array: Array) -> Array:
        kept = quantized(array)
        if len(kept) % 4:
            return kept
        i, f, g, o = np.split(kept, 4)
        return np.concatenate([f, i, g, o])


def failing(cls: type[nn.Module], **declared: Any) -> set[str]:
    told = {**Kept.rnn_conformance, **declared, "dtypes": ["float32", "float64"]}
    implementation = drop_in(
        cast(type[nn.Module], type(cls.__name__, (cls,), {"rnn_conformance": told}))
    )
    subject = Subject(implementation, Kind.LSTM, FEW)
    failed = set()
    for check in checks():
        clauses = [CLAUSES[id] for id in check.clauses]
        if subject.kind not in check.kinds or CHAPTERS.isdisjoint(one.chapter for one in clauses):
            continue
        if any(one.level is not Level.INFERENCE or one.optional for one in clauses):
            continue
        record = examine(check, subject)
        assert record.outcome is not Outcome.ERROR, record
        if record.outcome is Outcome.FAILED:
            failed |= set(check.clauses)
    return failed


@pytest.mark.parametrize(("cls", "kept"), [(InInt8, "int8"), (InFloat16, "float16")])
def test_a_layer_that_rounds_its_weights_conforms_if_it_says_so(
    cls: type[nn.Module], kept: str
) -> None:
    assert not failing(cls, weights=kept)
    assert {"EQ-2", "ACC-1"} <= failing(cls)


def test_a_wrong_order_of_gates_is_seen_in_int8_too() -> None:
    assert "EQ-2" in failing(Swapped, weights="int8")


def test_it_is_declared_for_inference_alone_and_by_a_name_that_there_is() -> None:
    with pytest.raises(UsageError, match='"level": "inference"'):
        Declaration.of(["LSTM"], Feature.of(Kind.LSTM), level="training", weights="int8")
    with pytest.raises(UsageError, match="a format of weights is one of int8, float16, bfloat16"):
        Declaration.of(["LSTM"], weights="int4")


# Other people's warnings are no failures of theirs.
@pytest.mark.filterwarnings("ignore")
def test_no_rounding_is_named_where_the_bounds_are_wide_enough_for_others() -> None:
    """Dynamic quantization rounds inputs and states to eight bits as well, not to bfloat16."""
    file = bundled("impls") / "engines/torch_dynamic.py"
    (eight_bits,) = (one for one in load(str(file)) if one.name == "torch dynamic int8.GRU")
    implementation = probe(eight_bits, Kind.GRU).implementation
    failed = NonConforming("some check failed", sort=Sort.VALUE)
    diagnosis = Diagnostician(implementation, Kind.GRU).diagnose(failed, ["EQ-3"])
    assert diagnosis is None or not diagnosis.known, diagnosis.text
