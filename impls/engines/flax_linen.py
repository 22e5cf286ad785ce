"""Flax Linen's ``RNN`` and ``Bidirectional`` around its cells.

Matrices are transposed, with a parameter of its own for each gate, and the carry of LSTM is
(c, h). LSTM's one bias stands beside the recurrent kernel and SimpleCell's beside the input's; in
GRU those of r and z stand beside the input's, and the new gate has both. Layers are chained; there
is no projection, and no cell goes without a bias.

Declared is what https://flax.readthedocs.io/en/latest/api_reference/flax.linen/layers.html says,
under "Recurrent": ``seq_lengths``, an ``initial_carry`` or none, both directions.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from rnn_conformance import Config, implementation, jax_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "initial_state", "unbatched", "packed"),
    "relu",
}
GATES = {"RNN": ("",), "LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}


def weights(config: Config, parameters: Mapping[str, Any], end: str) -> dict[str, Any]:
    """The variables of one direction's cell."""
    names = GATES[config.kind]
    own = {
        part: jnp.split(parameters[part + end], len(names))
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    cell: dict[str, Any] = {}
    for index, gate in enumerate(names):
        to_input: dict[str, Any] = {"kernel": own["weight_ih"][index].T}
        to_hidden: dict[str, Any] = {"kernel": own["weight_hh"][index].T}
        ih, hh = own["bias_ih"][index], own["bias_hh"][index]
        if gate == "n":
            to_input["bias"], to_hidden["bias"] = ih, hh
        else:
            (to_hidden if config.kind == "LSTM" else to_input)["bias"] = ih + hh
        cell |= {"i" + gate: to_input, "h" + gate: to_hidden}
    return cell


def run_with(lstm: type[nn.RNNCellBase]) -> Callable[..., Any]:
    """``run`` for ``jax_layers``, with this class for LSTM."""

    def run(config: Config, parameters: Any, x: Any, states: Any, lengths: Any) -> Any:
        arguments: dict[str, Any] = {"features": config.hidden_size, "param_dtype": x.dtype}
        if config.kind == "RNN":
            arguments["activation_fn"] = nn.relu if config.nonlinearity == "relu" else nn.tanh
        cls = {"RNN": nn.SimpleCell, "LSTM": lstm, "GRU": nn.GRUCell}[config.kind.value]
        with_memory = config.kind == "LSTM"
        cells = [
            {"cell": weights(config, parameters, config.suffix(*place))}
            for place in config.places()
        ]
        made = [nn.RNN(cls(**arguments)) for _ in cells]
        initial = None
        if states is not None:
            carries = zip(*reversed(states), strict=True) if with_memory else states[0]
            initial = tuple(carries) if config.bidirectional else next(iter(carries))
        layer: Any = nn.Bidirectional(*made) if config.bidirectional else made[0]
        names = ("forward_rnn", "backward_rnn")
        own = dict(zip(names, cells, strict=True)) if config.bidirectional else cells[0]
        carry, output = layer.apply(
            {"params": own},
            x,
            initial_carry=initial,
            seq_lengths=lengths,
            return_carry=True,
            time_major=True,
        )
        finals = carry if config.bidirectional else (carry,)
        if with_memory:
            return output, tuple(map(jnp.stack, reversed([*zip(*finals, strict=True)])))
        return output, (jnp.stack(finals),)

    return run


run_optimized = run_with(nn.OptimizedLSTMCell)
run_plain = run_with(nn.LSTMCell)

COMMON: dict[str, Any] = {
    "level": "training",
    "compiles_per_shape": True,
    "packages": ["flax", "jax"],
    "notes": [
        "Layers are chained by the adapter: RNN and Bidirectional are one layer each.",
        "The two biases are added, in their own dtype, where Flax has one.",
    ],
}


@implementation(kinds=["RNN", "LSTM", "GRU"], features=FEATURES, name="flax.linen", **COMMON)
def flax_linen(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """LSTM is ``OptimizedLSTMCell``; see ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, run_optimized)


@implementation(kinds=["LSTM"], features=FEATURES - {"relu"}, name="flax.linen.LSTMCell", **COMMON)
def flax_linen_lstm_cell(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, run_plain)
