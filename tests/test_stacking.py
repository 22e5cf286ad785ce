"""What adapters of engines have in common: layouts, layers in a chain, refusals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_conformance import implementation, stacked
from rnn_conformance.checking.drawing import examples
from rnn_conformance.checking.strategies import cases
from rnn_conformance.errors import UsageError
from rnn_conformance.reference.expected import expected
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "relu"),
}


def torch_layers(config: Config, parameters: Mapping[str, Any], *, whole: bool) -> Any:
    """``torch.nn``'s layers, of which each has one layer, or all of them."""
    dtype = parameters["weight_ih_l0"].dtype

    def single(index: int) -> torch.nn.Module:
        arguments: dict[str, Any] = {"bias": config.bias, "bidirectional": config.bidirectional}
        if config.kind == "RNN":
            arguments["nonlinearity"] = config.nonlinearity
        layer: torch.nn.Module = getattr(torch.nn, config.kind)(
            config.layer_input_size(index),
            config.hidden_size,
            config.num_layers if whole else 1,
            **arguments,
        ).to(getattr(torch, str(dtype)))
        own = {
            name if whole else name.replace(f"_l{index}", "_l0"): torch.tensor(array)
            for name, array in parameters.items()
            if whole or f"_l{index}" in name
        }
        layer.load_state_dict(own)
        return layer

    def called(layer: torch.nn.Module, x: Any, states: Any, lengths: Any) -> tuple[Any, ...]:
        given = x
        if lengths is not None:
            given = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        output, final = layer(given, states[0] if states and len(states) == 1 else states)
        if lengths is not None:
            output, _ = pad_packed_sequence(output, total_length=len(x))
        return output, *(final if isinstance(final, tuple) else (final,))

    def one_layer(index: int, x: Any, states: Any, lengths: Any) -> Any:
        state = None if states is None else tuple(map(torch.tensor, states))
        with torch.no_grad():
            output, *finals = called(single(index), torch.tensor(x), state, lengths)
        return output.numpy(), tuple(part.numpy() for part in finals)

    def back(index: int, x: Any, states: Any, lengths: Any, output: Any, finals: Any) -> Any:
        layer = single(index)
        leaves = [torch.tensor(array, requires_grad=True) for array in (x, *(states or ()))]
        parts = called(layer, leaves[0], tuple(leaves[1:]) or None, lengths)
        names = [
            name if whole else name.replace("_l0", f"_l{index}")
            for name, _ in layer.named_parameters()
        ]
        asked = [*leaves, *layer.parameters()]
        found = torch.autograd.grad(parts, asked, list(map(torch.tensor, (output, *finals))))
        arrays = [gradient.numpy() for gradient in found]
        to_states = tuple(arrays[1 : len(leaves)]) or None
        return arrays[0], to_states, dict(zip(names, arrays[len(leaves) :], strict=True))

    return stacked(config, FEATURES, dtype, one_layer, back, whole=whole)


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    level="training",
    packages=["torch"],
    notes=["One."],
)
def one_at_a_time(config: Config, parameters: Mapping[str, Any]) -> Any:
    """A layer a call."""
    return torch_layers(config, parameters, whole=False)


@implementation(kinds=["RNN", "LSTM", "GRU"], features=FEATURES, level="training")
def all_at_once(config: Config, parameters: Mapping[str, Any]) -> Any:
    """All layers in one call."""
    return torch_layers(config, parameters, whole=True)


@pytest.mark.parametrize("stack", [one_at_a_time, all_at_once])
@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_an_engines_layers_are_a_stack_in_every_layout(kind: Kind, stack: Any) -> None:
    declaration = stack.declaration
    declared = sorted(declaration.features & Feature.of(kind))
    for seed, feature in enumerate(declared):
        family = cases(feature, layers=(1, 3), dtypes=sorted(declaration.dtypes))
        for case in examples(family.strategy(kind, declaration), 4, seed):
            call = case.call()
            due = expected(call)
            got = stack.build(call.layer)(call.arguments)
            for name in call.results:
                bound = due.bounds[name]
                inside = np.isinf(bound) | (np.abs(got[name] - due[name]) <= bound)
                assert inside.all(), f"{call}: {name}"


@pytest.mark.parametrize("stack", [one_at_a_time, all_at_once])
@pytest.mark.parametrize("kind", [Kind.RNN, Kind.LSTM, Kind.GRU])
def test_the_way_back_goes_through_all_layers_in_every_layout(kind: Kind, stack: Any) -> None:
    declaration = stack.declaration
    for seed, feature in enumerate(sorted(declaration.features & Feature.of(kind))):
        family = cases(feature, layers=(1, 3), dtypes=[Dtype.FLOAT64])
        for case in examples(family.strategy(kind, declaration), 2, seed):
            backward = drawn(case.call(), seed)
            due = expected(backward)
            got = stack.pullback(backward.call.layer)(backward)
            for name in backward.arguments:
                bound = due.bounds[name]
                inside = np.isinf(bound) | (np.abs(got[name] - due[name]) <= bound)
                assert inside.all(), f"{backward.call}: {name}"


def test_what_is_not_among_the_features_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="projection"):
        stacked(Config(Kind.LSTM, 3, 4, proj_size=2), FEATURES, np.float32, lambda *_: None)  # type: ignore[arg-type]


def test_the_versions_of_what_an_implementation_stands_on_are_recorded_with_it() -> None:
    assert dict(one_at_a_time.declaration.versions) == {"torch": torch.__version__}
    assert one_at_a_time.declaration.notes == ("One.",)


def test_a_package_that_is_not_installed_is_no_package_to_declare() -> None:
    with pytest.raises(UsageError, match="not installed"):
        implementation(kinds=["GRU"], packages=["no-such-engine"])
