"""What is not declared is asked for by itself: nothing else that is missing or wrong is told."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.probing import probe
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.declarations import CLAUSES as CLAUSES_OF
from rnn_conformance.mutants.declarations import refusing
from rnn_conformance.results.records import Outcome, Record
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import ARGUMENTS, Config, Feature, Kind, Level

QUICK = Profile("quick, without shrinking", 20, 0)

pytestmark = pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")


def stumbling(feature: Feature, kind: Kind) -> type[nn.Module]:
    """Refuses a feature, as it declares, and meets an accident wherever any other is used."""
    base: Any = refusing(feature, kind, declared=False)
    needed = {feature, *feature.within}
    if feature is Feature.DROPOUT:
        # In a single layer it does nothing.
        needed.add(Feature.MULTI_LAYER)

    class Stumbling(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            given = {name: value for name, value in keywords.items() if name in ARGUMENTS}
            if Config(kind, 1, 99, **given).features - needed:
                raise NameError("an accident")

        def forward(self, input: Any, hx: Any = None) -> Any:
            returned = super().forward(input, hx)
            packed = isinstance(input, PackedSequence)
            used = {
                # Where a state must be given, it is no other feature.
                Feature.INITIAL_STATE: hx is not None and feature is not Feature.OMITTED_STATE,
                Feature.PACKED: packed,
                Feature.UNBATCHED: not packed and input.dim() == 2 - kind.is_cell,
            }
            if any(is_used for other, is_used in used.items() if other not in needed):
                raise NameError("an accident")
            return returned

    return Stumbling


def asked(feature: Feature, kind: Kind) -> list[Record]:
    """What comes of asking for a feature that is not declared."""
    due = [
        check
        for check in checks()
        if "undeclared" in check.id
        and kind in check.kinds
        and set(check.clauses) & set(CLAUSES_OF[feature].split())
    ]
    subject = drop_in(stumbling(feature, kind))
    return [examine(check, Subject(subject, kind, QUICK)) for check in due]


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.RNN, Kind.GRU_CELL])
def test_a_layer_that_refuses_one_thing_and_is_wrong_in_all_others_does_not_fail_for_the_one(
    kind: Kind,
) -> None:
    for feature in Feature.of(kind):
        records = asked(feature, kind)
        assert sum(record.cases for record in records), f"{feature} was not asked for"
        for record in records:
            told = record.failure and record.failure.message
            assert record.outcome is Outcome.UNSUPPORTED, (feature, record.check, told)


class Evaluates:
    """Is for inference, as it declares: it refuses training mode, and its results no gradient."""

    rnn_conformance: ClassVar[dict[str, Any]] = {"level": "inference"}

    def forward(self, *args: Any, **keywords: Any) -> Any:
        if cast(nn.Module, self).training:
            raise NotImplementedError("training mode")
        with torch.no_grad():
            return super().forward(*args, **keywords)  # type: ignore[misc]


@pytest.mark.parametrize("kind", [Kind.GRU, Kind.LSTM_CELL])
def test_what_is_for_inference_is_asked_for_no_training(kind: Kind) -> None:
    base = getattr(nn, kind.value)
    subject = drop_in(cast(type[nn.Module], type(f"Evaluates{kind}", (Evaluates, base), {})))
    for check in checks():
        clauses = [CLAUSES[id] for id in check.clauses]
        if kind not in check.kinds or any(
            one.level is not Level.INFERENCE or one.optional for one in clauses
        ):
            continue
        record = examine(check, Subject(subject, kind, Profile("a few", 5, 0)))
        told = record.failure and record.failure.message
        assert record.outcome in (Outcome.PASSED, Outcome.UNSUPPORTED), (check.id, told)


class ProjectsNothing(nn.LSTM):
    """Refuses a projection by its shapes, and so does not where there is a single step."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not self.proj_size:
            return super().forward(input, hx)
        if isinstance(input, PackedSequence) or input.dim() == 2 or len(input) > 1:
            raise RuntimeError("shapes cannot be multiplied")
        plain = nn.LSTM(self.input_size, self.hidden_size, dtype=input.dtype)
        return plain(input)


class LeavesProjectionsOut(ProjectsNothing):
    rnn_conformance: ClassVar[dict[str, Any]] = {"without": ["projection"]}


@pytest.mark.parametrize(
    ("cls", "why"),
    [
        (ProjectsNothing, "projection is declared but missing (DCL-1) and must be refused: "),
        (LeavesProjectionsOut, "projection is not declared and must be refused: "),
    ],
)
def test_what_is_refused_in_some_calls_alone_is_told(cls: type[nn.Module], why: str) -> None:
    implementation = probe(drop_in(cls), Kind.LSTM).implementation
    (check,) = (check for check in checks() if "undeclared_projection" in check.id)
    record = examine(check, Subject(implementation, Kind.LSTM, Profile("a few", 5, 0)))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    assert record.failure.message.startswith(f"{why}output has the shape ")
