"""Each thing that is declared is asked for once, alone, before anything is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnn_conformance import implementation
from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.examining import examine
from rnn_conformance.checking.probing import Probed, probe
from rnn_conformance.checking.subject import Profile, Subject
from rnn_conformance.errors import Nature, Sort, UsageError
from rnn_conformance.implementations.interface import Declaration, Implementation
from rnn_conformance.implementations.registry import registered
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.declarations import refusing, with_default
from rnn_conformance.results.records import Outcome, Record
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.combinations import LAYOUTS, Combination, largest
from rnn_conformance.spec.config import Dtype, Feature, Kind

FEW = Profile("a few", 2, 0)
CHAPTERS = {"DCL", "SHP", "BF", "STA", "PCK", "PAR"}
RIGHT = (Outcome.PASSED, Outcome.UNSUPPORTED)

# torch says so once for each process, and computes the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last"),
]


def found(cls: type[nn.Module], kind: Kind = Kind.LSTM) -> Probed:
    return probe(drop_in(cls, kind=kind.value), kind)


def failing(implementation: Implementation, kind: Kind) -> list[Record]:
    """What fails of the chapters that a missing feature would reach."""
    claimed = implementation.declaration.level
    records = [
        examine(check, Subject(implementation, kind, FEW))
        for check in checks()
        if kind in check.kinds
        and CHAPTERS & {CLAUSES[id].chapter for id in check.clauses}
        and all(CLAUSES[id].level.rank <= claimed.rank for id in check.clauses)
    ]
    return [record for record in records if record.outcome not in RIGHT]


# What is right


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_found_where_everything_is_as_in_torch_nn(kind: Kind) -> None:
    probed = found(getattr(nn, kind.value), kind)
    assert (probed.unusable, probed.refused, probed.defaults) == (None, {}, {})
    assert probed.named


def test_nothing_is_found_where_everything_is_as_declared() -> None:
    for one in registered(engines=False)[0]:
        for kind in one.declaration.kinds:
            probed = probe(one, kind)
            told = one.name, probed.unusable, probed.refused, probed.defaults
            assert told == (one.name, None, {}, {})
            assert probed.implementation.declaration == one.declaration


@pytest.mark.parametrize("kind", Kind)
def test_what_a_class_declares_to_leave_out_is_not_asked_for(kind: Kind) -> None:
    for feature in Feature.of(kind):
        assert found(refusing(feature, kind, declared=False), kind).refused == {}


def test_it_is_the_same_each_time_and_of_what_it_gave() -> None:
    first = found(refusing(Feature.PACKED, Kind.GRU, declared=True), Kind.GRU)
    again = probe(first.implementation, Kind.GRU)
    assert first.refused == again.refused
    assert first.implementation.declaration == again.implementation.declaration


# What is refused


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.RNN_CELL])
def test_a_feature_that_is_refused_is_found_and_no_longer_declared(kind: Kind) -> None:
    for feature in Feature.of(kind):
        probed = found(refusing(feature, kind, declared=True), kind)
        parts = {finer for finer in Feature if feature in finer.within}
        assert set(probed.refused) == {feature}
        assert probed.refused[feature].startswith(f"{feature} is declared, and ")
        declared = Feature.of(kind) - {feature} - parts
        assert probed.implementation.declaration.features == declared


@pytest.mark.parametrize("feature", [Feature.PROJECTION, Feature.PACKED, Feature.INITIAL_STATE])
def test_one_missing_feature_is_one_finding(feature: Feature) -> None:
    probed = found(refusing(feature, Kind.LSTM, declared=True))
    (record,) = failing(probed.implementation, Kind.LSTM)
    assert record.clauses == ("DCL-1",)
    assert record.failure is not None
    assert (record.failure.sort, record.failure.nature) == (Sort.RAISED, Nature.REFUSAL)
    assert record.failure.message == probed.refused[feature]


class WithoutHalf(nn.GRU):
    """Has no float16, and says so as torch does."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        data = input if isinstance(input, Tensor) else input.data
        if data.dtype is torch.float16:
            raise RuntimeError("not implemented for 'Half'")
        return super().forward(input, hx)


def test_a_dtype_that_is_refused_is_found_too() -> None:
    probed = found(WithoutHalf, Kind.GRU)
    assert set(probed.refused) == {Dtype.FLOAT16}
    assert probed.implementation.declaration.dtypes == set(Dtype) - {Dtype.FLOAT16}
    assert [record.clauses for record in failing(probed.implementation, Kind.GRU)] == [("DCL-1",)]


# What is refused together


class Parts(nn.LSTM):
    """Each feature is there; some are not together."""

    rnn_conformance: ClassVar[Any] = {"kind": "LSTM"}

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        if self.bidirectional and self.proj_size:
            raise NotImplementedError("no projection of two directions")

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, Tensor) and self.batch_first and self.num_layers > 1:
            raise NotImplementedError("no deep packed sequences, batch first")
        return super().forward(input, hx)


class SaysSo(Parts):
    rnn_conformance: ClassVar[Any] = {
        "kind": "LSTM",
        "without": ["projection+bidirectional", "packed+multi_layer+batch_first"],
    }


PARTED = {"bidirectional+projection", "batch_first+multi_layer+packed"}


def test_the_smallest_combinations_that_are_refused_are_told() -> None:
    probed = found(Parts)
    # Dropout is asked for with layers to act between, and so it is in a combination as well.
    told = {asked.value for asked in probed.refused}
    assert told - {"batch_first+dropout+packed"} == PARTED
    assert {one.value for one in probed.implementation.declaration.apart} == told


def test_a_combination_that_is_refused_is_one_finding() -> None:
    records = failing(found(Parts).implementation, Kind.LSTM)
    assert [record.clauses for record in records] == [("DCL-1",)]


def test_a_combination_that_is_left_out_and_refused_is_no_finding() -> None:
    probed = found(SaysSo)
    assert probed.refused == {}
    assert failing(probed.implementation, Kind.LSTM) == []


def test_whatever_can_be_asked_for_together_is_asked_for_in_a_call_or_two() -> None:
    for kind in Kind:
        sets = list(largest(Feature.of(kind)))
        for one, other in combinations(sorted(f for f in Feature.of(kind) if not f.is_finer), 2):
            possible = not {one, other} <= set(LAYOUTS)
            assert any({one, other} <= whole for whole in sets) == possible


@pytest.mark.parametrize(
    "text", ["packed+unbatched", "packed", "packed+unsorted", "bidirectional+initial_state", "a+b"]
)
def test_what_is_no_combination_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Combination.of(text)


def test_a_combination_that_does_not_exist_is_told_to_who_declares_it() -> None:
    with pytest.raises(UsageError, match=r"packed.unbatched.*write it as in bidirectional.packed"):
        Declaration.of(["LSTM"], without=["packed+unbatched"])


class StumblesWhenPacked(nn.GRU):
    """An accident is no refusal: the checks of packed input are to show it."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, Tensor):
            return undefined  # type: ignore[name-defined]  # noqa: F821
        return super().forward(input, hx)


class IgnoresBias(nn.GRU):
    """Takes ``bias=False`` and has biases all the same, so that nothing can be loaded."""

    def __init__(self, *args: Any, bias: bool = True, **keywords: Any) -> None:
        super().__init__(*args, **keywords)


class Unpacks(IgnoresBias):
    """Takes the parameters one by one, and meets too few of them."""

    def load_state_dict(self, state_dict: Any, **keywords: Any) -> Any:  # type: ignore[override]
        if self.num_layers == 1 and not self.bidirectional:
            _, _, _, _ = state_dict.values()
        return super().load_state_dict(state_dict, **keywords)


class RefusesToLoad(IgnoresBias):
    """Takes ``bias=False`` and says what it does not take when it is given the parameters."""

    refusal: ClassVar[Exception] = NotImplementedError("biases are needed")

    def load_state_dict(self, state_dict: Any, **keywords: Any) -> Any:  # type: ignore[override]
        if "bias_ih_l0" not in state_dict:
            raise self.refusal
        return super().load_state_dict(state_dict, **keywords)


@pytest.mark.parametrize("refusal", [NotImplementedError, ValueError, TypeError])
def test_what_is_refused_when_parameters_are_loaded_is_refused(refusal: type[Exception]) -> None:
    cls = type("Refuses", (RefusesToLoad,), {"refusal": refusal("biases are needed")})
    probed = found(cls, Kind.GRU)
    assert set(probed.refused) == {Feature.BIAS_FREE}
    assert probed.refused[Feature.BIAS_FREE].endswith(f"{refusal.__name__}: biases are needed")
    (record,) = failing(probed.implementation, Kind.GRU)
    assert record.clauses == ("DCL-1",)


def test_what_is_refused_when_parameters_are_loaded_may_be_left_out() -> None:
    cls = type("Refuses", (RefusesToLoad,), {"rnn_conformance": {"without": ["bias_free"]}})
    (check,) = (
        check
        for check in checks()
        if check.id.endswith("lack_of_biases_is_refused") and Kind.GRU in check.kinds
    )
    record = examine(check, Subject(drop_in(cls, kind="GRU"), Kind.GRU, FEW))
    assert record.outcome is Outcome.UNSUPPORTED, record.failure


@pytest.mark.parametrize("cls", [StumblesWhenPacked, IgnoresBias, Unpacks])
def test_neither_an_accident_nor_what_is_ignored_is_a_refusal(cls: type[nn.Module]) -> None:
    assert found(cls, Kind.GRU).refused == {}


# What cannot be used at all


def constructor(raised: BaseException) -> type[nn.Module]:
    class Raising(nn.LSTM):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            raise raised

    return Raising


def returning(answer: Callable[[Any], Any]) -> type[nn.Module]:
    class Returning(nn.LSTM):
        def forward(self, input: Any, hx: Any = None) -> Any:
            return answer(super().forward(input, hx))

    return Returning


def leave(returned: Any) -> Any:
    raise SystemExit(3)


UNUSABLE: Mapping[str, tuple[type[nn.Module], str]] = {
    "a constructor that raises": (constructor(TypeError("no")), "raises TypeError: no"),
    "a constructor that exits": (constructor(SystemExit(3)), "raises SystemExit: 3"),
    "no result": (returning(lambda returned: None), "returned NoneType"),
    "a list": (returning(list), "returned [2x2x4, "),
    "a generator": (returning(lambda returned: (x for x in returned)), "returned generator"),
    "three things": (
        returning(lambda returned: (returned[0], *returned[1])),
        "LSTM returns (output, (h_n, c_n))",
    ),
    "an exit": (returning(leave), "raises SystemExit: 3"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_used_is_told_in_a_sentence(what: str) -> None:
    cls, sentence = UNUSABLE[what]
    probed = found(cls)
    assert probed.unusable is not None
    assert sentence in probed.unusable
    assert probed.refused == {}
    (check,) = (check for check in checks() if check.id.endswith("declared_is_answered"))
    record = examine(check, Subject(probed.implementation, Kind.LSTM, FEW))
    assert record.outcome is Outcome.FAILED
    assert record.failure is not None
    assert record.failure.message == probed.unusable


def test_what_was_constructed_is_named_with_its_arguments() -> None:
    told = found(constructor(TypeError("no"))).unusable
    assert told == "Raising(input_size=3, hidden_size=4) raises TypeError: no"


def test_a_function_that_builds_nothing_is_a_fault_of_the_adapter() -> None:
    @implementation(kinds=["GRU"], name="nothing")
    def nothing(config: Any, parameters: Any) -> Any:
        return None

    assert "must return a callable" in (probe(nothing, Kind.GRU).unusable or "")


# Finer features


def stepping(**lacking: bool) -> Implementation:
    """A GRU over arrays that takes what its kind often lacks, but for what is ``lacking``."""

    @implementation(kinds=["GRU"], features=["initial_state", "packed"], name="stepping")
    def build(config: Any, parameters: Any) -> Any:
        if config.features:
            raise NotImplementedError("one layer in one direction")
        w_ih, w_hh, b_ih, b_hh = parameters.values()

        def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
            if input.ndim != 3 or not input.shape[1]:
                raise ValueError("whole batches")
            if lacking.get("omitted_state") and state is None:
                raise TypeError("the state is missing")
            if lacking.get("unsorted") and lengths is not None and (np.diff(lengths) > 0).any():
                raise ValueError("lengths must fall")
            size = config.hidden_size
            h = np.zeros((input.shape[1], size), input.dtype) if state is None else state[0]
            lengths = np.full(len(h), len(input)) if lengths is None else lengths
            outputs = []
            for t, x in enumerate(input):
                xr, xz, xn = np.split(x @ w_ih.T + b_ih, 3, axis=-1)
                hr, hz, hn = np.split(h @ w_hh.T + b_hh, 3, axis=-1)
                r, z = (0.5 * np.tanh(0.5 * a) + 0.5 for a in (xr + hr, xz + hz))
                new = (1 - z) * np.tanh(xn + r * hn) + z * h
                live = (t < lengths)[:, None]
                h = np.where(live, new, h)
                outputs.append(np.where(live, h, 0))
            return np.stack(outputs), h[None]

        return layer

    return build


@pytest.mark.parametrize("feature", [Feature.UNSORTED, Feature.OMITTED_STATE])
def test_a_layer_that_lacks_a_finer_feature_and_says_so_conforms(feature: Feature) -> None:
    lacking = stepping(**{feature.value: True})
    probed = probe(lacking, Kind.GRU)
    assert set(probed.refused) == {feature}
    declaration = replace(lacking.declaration, features=lacking.declaration.features - {feature})
    declared = replace(lacking, declaration=declaration)
    assert probe(declared, Kind.GRU).refused == {}
    assert failing(declared, Kind.GRU) == []


# Other defaults


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Kind.LSTM, "batch_first", True),
        (Kind.LSTM, "proj_size", 2),
        (Kind.GRU, "bias", False),
        (Kind.GRU, "dropout", 0.25),
        (Kind.GRU, "bidirectional", True),
        (Kind.RNN, "num_layers", 2),
        (Kind.RNN, "nonlinearity", "relu"),
        (Kind.RNN_CELL, "nonlinearity", "relu"),
    ],
)
def test_another_default_is_found(kind: Kind, name: str, value: Any) -> None:
    probed = found(with_default(kind, name, value), kind)
    assert probed.defaults == {name: value}
    assert probed.refused == {}


def test_an_argument_without_a_default_is_found() -> None:
    class Demanding(nn.GRU):
        def __init__(self, input_size: int, hidden_size: int, num_layers: int, **rest: Any) -> None:
            super().__init__(input_size, hidden_size, num_layers, **rest)

    assert found(Demanding, Kind.GRU).defaults == {"num_layers": None}


def test_two_other_defaults_and_a_missing_argument_are_all_found() -> None:
    class Three(nn.LSTM):
        def __init__(
            self,
            input_size: int,
            hidden_size: int,
            num_layers: int = 1,
            bias: bool = False,
            batch_first: bool = True,
            dropout: float = 0.0,
            bidirectional: bool = False,
        ) -> None:
            super().__init__(
                input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
            )

    probed = found(Three)
    assert probed.defaults == {"bias": False, "batch_first": True}
    assert set(probed.refused) == {Feature.PROJECTION}


def test_another_default_is_one_finding() -> None:
    cls = with_default(Kind.LSTM, "batch_first", True)
    records = failing(found(cls).implementation, Kind.LSTM)
    told = {record.failure.message for record in records if record.failure}
    assert [record.clauses for record in records] == [("PAR-1",)], told
    assert told == {"batch_first is True unless told"}


def test_another_default_that_is_declared_is_no_finding() -> None:
    cls = with_default(Kind.LSTM, "batch_first", True)
    cls.rnn_conformance = {"defaults": {"batch_first": True}}  # type: ignore[attr-defined]
    probed = found(cls)
    assert probed.defaults == {}
    assert failing(probed.implementation, Kind.LSTM) == []


class DrawsAnew(nn.GRU):
    """Its parameters are others each time, whatever the seed."""

    def reset_parameters(self) -> None:
        numbers = np.random.default_rng()
        for weight in self.parameters():
            weight.data = torch.tensor(numbers.uniform(-0.3, 0.3, weight.shape)).to(weight.dtype)


def test_what_differs_each_time_is_no_default() -> None:
    assert found(DrawsAnew, Kind.GRU).defaults == {}


# Other names


class Renamed(nn.Module):
    """``torch.nn``'s layer with its parameters under other names, which are passed on."""

    base: ClassVar[type[nn.RNNBase]] = nn.GRU
    takes_torchs_names = False

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()
        self.inner = self.base(*args, **keywords)
        for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "mode"):
            setattr(self, name, getattr(self.inner, name))
        self.dropout, self.proj_size = self.inner.dropout, self.inner.proj_size
        self.bidirectional = self.inner.bidirectional

    def load_state_dict(self, state_dict: Any, **keywords: Any) -> Any:  # type: ignore[override]
        if self.takes_torchs_names and "weight_ih_l0" in state_dict:
            state_dict = {f"inner.{name}": value for name, value in state_dict.items()}
        return super().load_state_dict(state_dict, **keywords)

    def flatten_parameters(self) -> None:
        self.inner.flatten_parameters()

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        return self.inner.all_weights

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self.inner(input, hx)


class RenamedAndTakingBoth(Renamed):
    takes_torchs_names = True


class RenamedAndSayingSo(Renamed):
    rnn_conformance: ClassVar = {
        "parameters": {
            role: f"inner.{role}{{suffix}}"
            for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        }
    }


@pytest.mark.parametrize("cls", [Renamed, RenamedAndTakingBoth])
def test_other_names_are_one_clause_and_no_gradient_is_cut(cls: type[nn.Module]) -> None:
    probed = found(cls, Kind.GRU)
    assert not probed.named
    assert (probed.unusable, probed.refused, probed.defaults) == (None, {}, {})
    # What is set on a wrapper, and not passed on, is PAR-7's matter.
    records = [
        record
        for record in failing(probed.implementation, Kind.GRU)
        if record.clauses != ("PAR-7",)
    ]
    assert {record.clauses for record in records} == {("PAR-1",)}
    assert all(record.outcome is Outcome.FAILED for record in records)
    due = [check for check in checks() if check.clauses[0].startswith(("GRD", "LIF"))]
    for check in due:
        record = examine(check, Subject(probed.implementation, Kind.GRU, FEW))
        assert record.outcome in RIGHT, (record.check, record.failure)


class RenamedAndClaimingLittle(Renamed):
    rnn_conformance: ClassVar = {"level": "inference"}


def test_what_cannot_be_loaded_is_told_at_every_level() -> None:
    probed = found(RenamedAndClaimingLittle, Kind.GRU)
    (record,) = failing(probed.implementation, Kind.GRU)
    assert record.clauses == ("DCL-1",)
    assert record.failure is not None
    assert "inner.weight_ih_l0" in record.failure.message


class RenamedAndStumbling(RenamedAndClaimingLittle):
    """What is to take ``torch.nn``'s parameters does not."""

    def load_state_dict(self, state_dict: Any, **keywords: Any) -> Any:  # type: ignore[override]
        raise KeyError("kernel")


def test_what_a_class_raised_when_it_was_to_take_parameters_is_told() -> None:
    (record,) = failing(found(RenamedAndStumbling, Kind.GRU).implementation, Kind.GRU)
    assert record.failure is not None
    assert "do not load under torch.nn's names (KeyError: 'kernel')" in record.failure.message


class RenamedWithOneDirection(Renamed):
    """It loads ``torch.nn``'s parameters, but for a second direction."""

    rnn_conformance: ClassVar = {"level": "inference"}

    def load_state_dict(self, state_dict: Any, **keywords: Any) -> Any:  # type: ignore[override]
        names = self.inner.state_dict()
        own = {f"inner.{name}": state_dict[name] for name in names if "reverse" not in name}
        return super().load_state_dict(own, **keywords)


def test_what_loads_in_part_is_wrong_in_the_rest() -> None:
    records = failing(found(RenamedWithOneDirection, Kind.GRU).implementation, Kind.GRU)
    assert "SHP-1" in {id for record in records for id in record.clauses}


def test_other_names_that_are_declared_are_used() -> None:
    probed = found(RenamedAndSayingSo, Kind.GRU)
    assert probed.named
    # What is set on a wrapper, and not passed on, is PAR-7's matter.
    assert {record.clauses for record in failing(probed.implementation, Kind.GRU)} <= {("PAR-7",)}
    gradients = [check for check in checks() if check.clauses == ("GRD-1",)]
    told = [examine(check, Subject(probed.implementation, Kind.GRU, FEW)) for check in gradients]
    assert any(record.outcome is Outcome.PASSED for record in told)
    assert all(record.outcome in RIGHT for record in told)


# Unbatched input


class TakesStepsForSamples(nn.LSTM):
    """Knows of no unbatched input, and meets what does not fit where there is a state alone."""

    refuses_states = True

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, Tensor) or input.dim() == 3:
            return super().forward(input, hx)
        if hx is not None and self.refuses_states:
            raise IndexError("dimension out of range")
        output, states = super().forward(input[:, None], None)
        return output, states


@pytest.mark.parametrize("refuses_states", [True, False])
def test_what_takes_steps_for_samples_has_no_unbatched_input(refuses_states: bool) -> None:
    cls = type("Takes", (TakesStepsForSamples,), {"refuses_states": refuses_states})
    probed = found(cls)
    assert set(probed.refused) == {Feature.UNBATCHED}
    told = {record.clauses: record.failure for record in failing(probed.implementation, Kind.LSTM)}
    assert set(told) == {("DCL-1",), ("SHP-6",)}
    assert told["SHP-6",] is not None
    assert told["SHP-6",].message.startswith("unbatched is declared but missing (DCL-1) and must ")
