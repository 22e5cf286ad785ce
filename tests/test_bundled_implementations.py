"""What is bundled in ``impls/``: the correct are correct, the wrong are wrong as they say."""

import ast
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from rnn_conformance.checking.drawing import examples
from rnn_conformance.checking.strategies import cases
from rnn_conformance.errors import NonConforming
from rnn_conformance.implementations.interface import Declaration, Implementation
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.registry import load
from rnn_conformance.locations import bundled
from rnn_conformance.reference.expected import Expected, expected
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import Config, Feature, Kind
from rnn_conformance.spec.result import Result

IMPLS = bundled("impls")
REFUSALS = (ValueError, TypeError, RuntimeError, NotImplementedError)

# torch says so of its own LSTM in bfloat16; the results are right.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")


def load_folder(folder: Path) -> list[Implementation]:
    return [loaded for path in sorted(folder.glob("*.py")) for loaded in load(str(path))]


CORRECT = load_folder(IMPLS)
WRONG = load_folder(IMPLS / "failing_on_purpose")


def subjects(implementations: Sequence[Implementation]) -> pytest.MarkDecorator:
    """One parameter set a kind."""
    pairs = [
        (loaded, kind) for loaded in implementations for kind in sorted(loaded.declaration.kinds)
    ]
    ids = [f"{loaded.name}-{kind}" for loaded, kind in pairs]
    return pytest.mark.parametrize(("implementation", "kind"), pairs, ids=ids)


FUNCTIONS = [loaded for loaded in CORRECT if isinstance(loaded, FunctionImplementation)]


def named(name: str) -> Implementation:
    (implementation,) = [loaded for loaded in CORRECT + WRONG if loaded.name == name]
    return implementation


def build(name: str, config: Config, parameters: dict[str, Any]) -> Any:
    """The function's own layer, without the suite's adapter."""
    implementation = named(name)
    assert isinstance(implementation, FunctionImplementation)
    return implementation(config, parameters)


def drawn(kind: Kind, declaration: Declaration, count: int) -> list[Case]:
    """Cases within what is declared, of every size down to one, every feature and dtype.

    About so many, the same number for any feature that is declared.
    """
    declared = declaration.features & Feature.of(kind)
    needs: list[tuple[Feature, ...]] = [(), *((feature,) for feature in sorted(declared))]
    every = []
    for seed, features in enumerate(needs):
        # Dropout without a second layer is legal, and torch warns of it.
        layers = (2, 3) if Feature.DROPOUT in features else (1, 3)
        family = cases(*features, layers=layers, dtypes=sorted(declaration.dtypes))
        every += examples(family.strategy(kind, declaration), -(-count // len(needs)), seed)
    return every


def deviation(implementation: Implementation, case: Case) -> float:
    """The largest error as a multiple of what is allowed there."""
    call = case.call()
    due, got = expected(call), implementation.build(call.layer)(call.arguments)
    return max(excess(due, got, name) for name in call.results)


def excess(due: Expected, got: Result, name: str) -> float:
    bound = due.bounds[name]
    # In the padding nothing is claimed: the bound is infinite, whatever stands there.
    error = np.where(np.isinf(bound), 0.0, np.abs(got[name] - due[name]))
    # A relu that is off is off exactly: no error where none is allowed is a ratio of 0.
    ratio = np.divide(error, bound, out=np.where(error == 0, 0.0, np.inf), where=bound > 0)
    return float(np.max(np.where(np.isnan(ratio), np.inf, ratio), initial=0.0))


@subjects(CORRECT)
def test_whatever_is_declared_holds_within_the_bound(
    implementation: Implementation, kind: Kind
) -> None:
    cases = list(drawn(kind, implementation.declaration, 80))
    for case in cases:
        ratio = deviation(implementation, case)
        assert ratio <= 1, f"{case.call()} is off by {ratio:.3g} times its bound ({case})"
    declared = implementation.declaration.features & Feature.of(kind)
    tried = frozenset().union(*(case.features for case in cases))
    assert tried == declared, f"never tried: {', '.join(sorted(declared - tried))}"


@subjects(FUNCTIONS)
def test_whatever_is_not_declared_is_refused(implementation: Implementation, kind: Kind) -> None:
    asked: dict[Feature, dict[str, Any]] = {
        Feature.BIDIRECTIONAL: {"bidirectional": True},
        Feature.MULTI_LAYER: {"num_layers": 2},
        Feature.BATCH_FIRST: {"batch_first": True},
        Feature.BIAS_FREE: {"bias": False},
        Feature.PROJECTION: {"proj_size": 2},
        Feature.DROPOUT: {"dropout": 0.5},
        Feature.UNBATCHED: {"batch": None},
        Feature.PACKED: {"lengths": (2, 4, 1)},
    }
    for feature in Feature.of(kind) - implementation.declaration.features:
        if not feature.within <= implementation.declaration.features:
            continue
        batch, lengths = asked[feature].pop("batch", 3), asked[feature].pop("lengths", None)
        config = Config(kind, input_size=3, hidden_size=5, **asked[feature])
        call = Case(config, 1 if kind.is_cell else 4, batch, lengths=lengths).call()
        assert feature in call.features, f"this call does not ask for {feature}"
        with pytest.raises(NotImplementedError):
            implementation.build(call.layer)(call.arguments)


def illegal_calls(kind: Kind, features: frozenset[Feature]) -> dict[str, tuple[Any, ...]]:
    """Arguments that do not fit a layer of 3 features, 5 units, one layer, in float32."""
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    def state(*shape: int) -> Any:
        return (array(*shape), array(*shape)) if kind.has_cell_state else array(*shape)

    steps = () if kind.is_cell else (4,)
    places = () if kind.is_cell else (1,)
    x, legal = array(*steps, 2, 3), array(*places, 2, 5)
    calls: dict[str, tuple[Any, ...]] = {
        "too many features": (array(*steps, 2, 4),),
        "too few features": (array(*steps, 2, 2),),
        "one axis too many": (array(1, *steps, 2, 3),),
        "float64 input": (x.astype(np.float64),),
        "a state of another width": (x, state(*places, 2, 4)),
        "a state of another batch": (x, state(*places, 3, 5)),
        "a state of a batch of one": (x, state(*places, 1, 5)),
        "a state of one axis too few": (x, state(*legal.shape[1:])),
        "a state of one axis too many": (x, state(1, *legal.shape)),
        "a float64 state": (
            x,
            tuple(s.astype(np.float64) for s in state(*legal.shape))
            if kind.has_cell_state
            else legal.astype(np.float64),
        ),
        "a pair for a tensor or a tensor for a pair": (
            x,
            legal if kind.has_cell_state else (legal, legal),
        ),
    }
    if kind.has_cell_state:
        calls["a right h_0 and a wrong c_0"] = (x, (legal, array(*places, 2, 4)))
        calls["a wrong h_0 and a right c_0"] = (x, (array(*places, 2, 4), legal))
        calls["a float64 c_0"] = (x, (legal, legal.astype(np.float64)))
        calls["three states"] = (x, (legal, legal, legal))
    if not kind.is_cell:
        calls["no steps"] = (array(0, 2, 3),)
        calls["a state of two layers"] = (x, state(2, 2, 5))
    if Feature.PACKED in features:
        for name, lengths in {
            "lengths of another batch": [4, 1, 2],
            "a length of zero": [4, 0],
            "a length beyond the steps": [4, 5],
            "a negative length": [4, -1],
        }.items():
            calls[name] = (x, None, np.array(lengths))
        calls["lengths of an unbatched call"] = (array(4, 3), None, np.array([4]))
    if Feature.UNBATCHED in features and not kind.is_cell:
        calls["a batched state of an unbatched call"] = (array(4, 3), state(1, 1, 5))
    return calls


@subjects(FUNCTIONS)
def test_illegal_calls_are_refused(implementation: Implementation, kind: Kind) -> None:
    call = Case(Config(kind, input_size=3, hidden_size=5), 1 if kind.is_cell else 4, 2).call()
    parameters = {name: array.astype(np.float32) for name, array in call.parameters.items()}
    layer = build(implementation.name, call.config, parameters)
    for name, arguments in illegal_calls(kind, implementation.declaration.features).items():
        try:
            layer(*arguments)
        except REFUSALS:
            continue
        pytest.fail(f"{implementation.name} answered a {kind} call with {name}")


@subjects(FUNCTIONS)
def test_arguments_are_left_alone_and_results_are_fresh(
    implementation: Implementation, kind: Kind
) -> None:
    config = Config(kind, input_size=3, hidden_size=5)
    call = Case(config, 1 if kind.is_cell else 4, 2, state=State.GIVEN).call()
    parameters = {name: array.astype(np.float32) for name, array in call.parameters.items()}
    x = call.give("input", call.input).astype(np.float32)
    assert call.h_0 is not None
    given = call.give("h_0", call.h_0).astype(np.float32)
    state = (given, given.copy()) if kind.has_cell_state else given
    arrays = [*parameters.values(), x, *(state if isinstance(state, tuple) else (state,))]
    before = [array.copy() for array in arrays]
    layer = build(implementation.name, config, parameters)

    def flat(result: Any) -> list[Any]:
        return [a for part in result for a in flat(part)] if isinstance(result, tuple) else [result]

    results = flat(layer(x, state)) + flat(layer(x, state))
    for array, copy in zip(arrays, before, strict=True):
        assert np.array_equal(array, copy), "an argument or a parameter was modified"
    for i, result in enumerate(results):
        for other in arrays + results[:i]:
            assert not np.shares_memory(result, other), "a result shares memory"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("proj_size", [0, 4])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_the_handmade_bidirectional_stack_and_its_gradients_equal_torchs(
    num_layers: int, proj_size: int, packed: bool
) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(
        3, 6, num_layers, bidirectional=True, batch_first=True, proj_size=proj_size
    ).double()
    ours = (
        named("handmade_bidirectional")
        .cls(  # type: ignore[attr-defined]
            3, 6, num_layers, bidirectional=True, batch_first=True, proj_size=proj_size
        )
        .double()
    )
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    data: Any = x
    if packed:
        data = pack_padded_sequence(x, torch.tensor([2, 7, 1, 5]), True, enforce_sorted=False)
    h_0 = torch.randn(2 * num_layers, 4, proj_size or 6, dtype=torch.float64)
    c_0 = torch.randn(2 * num_layers, 4, 6, dtype=torch.float64)
    tensors = []
    for module in (theirs, ours):
        output, (h_n, c_n) = module(data, (h_0, c_0))
        if packed:
            assert output.batch_sizes.equal(data.batch_sizes)
            assert output.sorted_indices.equal(data.sorted_indices)
            output = output.data
        (output.square().sum() + h_n.sin().sum() + c_n.cos().sum()).backward()
        tensors.append([output, h_n, c_n, *(p.grad for p in module.parameters())])
    for their_result, our_result in zip(*tensors, strict=True):
        # Rounding in float64 is below 1e-13 here; a flip, a bias or a gate is above 1e-3.
        difference = (their_result - our_result).abs().max() / their_result.abs().max()
        assert difference < 1e-12, f"off by {difference:.3g}"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("form", ["batched", "batch_first", "unbatched", "packed"])
def test_the_wrapper_makes_the_zero_state_of_its_kind(
    kind: str, bidirectional: bool, form: str
) -> None:
    module = (
        named(f"wrapped_zero_state.{kind}")
        .cls(  # type: ignore[attr-defined]
            3, 5, num_layers=2, bidirectional=bidirectional, batch_first=form == "batch_first"
        )
        .double()
    )
    shapes = {
        "batched": (7, 4, 3),
        "batch_first": (4, 7, 3),
        "unbatched": (7, 3),
        "packed": (7, 4, 3),
    }
    data: Any = torch.zeros(shapes[form], dtype=torch.float64)
    if form == "packed":
        data = pack_padded_sequence(data, torch.tensor([7, 5, 5, 2]))
    state = module.zero_state(data)
    assert isinstance(state, tuple) == (kind == "LSTM"), "a pair for LSTM and a tensor otherwise"
    for part in state if isinstance(state, tuple) else (state,):
        places = 4 if bidirectional else 2
        assert part.shape == ((places, 5) if form == "unbatched" else (places, 4, 5))
        assert part.dtype == torch.float64
        assert not part.any(), "the state is not zero"


def test_the_wrappers_projected_state_is_narrow_and_its_cell_state_is_not() -> None:
    module = named("wrapped_zero_state.LSTM").cls(3, 5, proj_size=2)  # type: ignore[attr-defined]
    h_0, c_0 = module.zero_state(torch.zeros(7, 4, 3))
    assert (h_0.shape, c_0.shape) == ((1, 4, 2), (1, 4, 5))


@pytest.mark.parametrize("name", ["wrapped_zero_state.LSTM", "handmade_bidirectional"])
def test_state_dicts_go_both_ways(name: str) -> None:
    theirs = torch.nn.LSTM(3, 5, 2, bidirectional=True)
    ours = named(name).cls(3, 5, 2, bidirectional=True)  # type: ignore[attr-defined]
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_what_fails_on_purpose_says_so_and_nothing_else_does() -> None:
    assert WRONG, "no example of what goes wrong"
    assert all(loaded.declaration.fails_on_purpose for loaded in WRONG)
    assert not any(loaded.declaration.fails_on_purpose for loaded in CORRECT)


@subjects(WRONG)
def test_what_fails_on_purpose_exceeds_the_bound_or_the_shapes(
    implementation: Implementation, kind: Kind
) -> None:
    def conforms(case: Case) -> bool:
        try:
            return deviation(implementation, case) <= 1
        except NonConforming:
            return False
        except RuntimeError as error:
            # States laid out in another way may not even fit; anything else is a fault.
            if "hidden size" not in str(error):
                raise
            return False

    verdicts = [conforms(case) for case in drawn(kind, implementation.declaration, 40)]
    assert not all(verdicts), "it conforms"


def test_the_tutorial_concatenates_over_time_and_returns_flat_states() -> None:
    call = Case(Config(Kind.LSTM, 3, 5), length=4, batch=2).call()
    parameters = {name: array.astype(np.float32) for name, array in call.parameters.items()}
    layer = build("tutorial_time_concatenated", call.config, parameters)
    output, (h, c) = layer(call.input.astype(np.float32))
    assert (output.shape, h.shape, c.shape) == ((8, 5), (2, 5), (2, 5))
    due = expected(call)
    # The recurrence itself is right: only what is made of it is not.
    assert np.all(np.abs(h - due["h_n"][0]) <= due.bounds["h_n"][0])


@pytest.mark.parametrize("kind", [Kind.LSTM, Kind.GRU])
def test_the_random_initial_state_is_drawn_anew_unless_one_is_given(kind: Kind) -> None:
    implementation = named(f"random_initial_state.{kind}")
    call = Case(Config(kind, 3, 5), length=4, batch=2).call()
    layer = implementation.build(call.layer)
    assert not np.array_equal(layer(call.arguments).output, layer(call.arguments).output)
    assert deviation(implementation, Case(call.config, 4, 2, state=State.GIVEN)) <= 1


def test_batch_first_moves_the_states_of_the_example() -> None:
    module = named("batch_first_states").cls(3, 5, 2, batch_first=True)  # type: ignore[attr-defined]
    assert module(torch.zeros(4, 7, 3))[1].shape == (4, 2, 5)
    assert deviation(named("batch_first_states"), Case(Config(Kind.GRU, 3, 5, 2), 7, 4)) <= 1


def test_the_last_output_is_the_state_of_the_example() -> None:
    implementation = named("last_output_as_state")
    call = Case(Config(Kind.GRU, 3, 5, bidirectional=True), length=4, batch=2).call()
    due, got = expected(call), implementation.build(call.layer)(call.arguments)
    assert np.array_equal(got.h_n[1], got.output[-1, :, 5:])
    assert excess(due, got, "h_n") > 1
    assert excess(due, got, "output") <= 1
    # With one direction there is nothing wrong with it.
    assert deviation(implementation, Case(Config(Kind.GRU, 3, 5), 4, 2)) <= 1


@pytest.fixture(scope="module")
def smallest() -> str:
    blocks = re.findall(r"```python\n(.*?)```", (IMPLS / "README.md").read_text("utf-8"), re.S)
    assert len(blocks) == 1, "the README shows one plugin"
    return str(blocks[0])


def test_the_smallest_plugin_takes_fifteen_lines_beside_its_mathematics(smallest: str) -> None:
    lines = [line.split("#")[0].strip() for line in smallest.splitlines()]
    mathematics: set[int] = set()
    for node in ast.parse(smallest).body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            assert node.end_lineno is not None
            mathematics.update(range(node.lineno - 1, node.end_lineno))
    plugin = [line for at, line in enumerate(lines) if line and at not in mathematics]
    assert mathematics, "the mathematics is a function of its own"
    assert len(plugin) <= 15, "\n".join(plugin)


def test_the_smallest_plugin_conforms(smallest: str, tmp_path: Path) -> None:
    path = tmp_path / "smallest.py"
    path.write_text(smallest, "utf-8")
    (implementation,) = load(str(path))
    for case in drawn(Kind.GRU, implementation.declaration, 200):
        assert deviation(implementation, case) <= 1, str(case)
    bidirectional = Config(Kind.GRU, 3, 5, bidirectional=True)
    for config in (bidirectional, Config(Kind.GRU, 3, 5, batch_first=True)):
        call = Case(config, 4, 2).call()
        with pytest.raises(NotImplementedError):
            implementation.build(call.layer)(call.arguments)
    for case in (
        Case(Config(Kind.GRU, 3, 5), 4, None),
        Case(Config(Kind.GRU, 3, 5), 4, 2, lengths=(4, 1)),
    ):
        call = case.call()
        with pytest.raises(NotImplementedError):
            implementation.build(call.layer)(call.arguments)
