"""Flax's ``RNN`` and ``Bidirectional`` around its cells, of its two interfaces, Linen and NNX.

Matrices are transposed and the carry of LSTM is (c, h). Linen has parameters of their own for each
gate, and NNX one kernel with the gates in ``torch.nn``'s order. There is one bias: LSTM's beside
the recurrent kernel, the others' beside the input's; Linen's GRU has both in the new gate. Layers
are chained; there is no projection, and no cell goes without a bias.

Declared is what "Recurrent" under https://flax.readthedocs.io/en/latest/api_reference/ says:
``seq_lengths``, an ``initial_carry`` or none, both directions, dtypes; and for GRU, in both
interfaces, an equation that is ``torch.nn``'s, with a ``b_hn`` that the reset gate scales.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax import nnx

from rnn_conformance import Config, implementation, jax_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "initial_state", "unbatched", "packed"),
    "relu",
}
GATES = {"RNN": ("",), "LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}


def linen_variables(config: Config, parameters: Mapping[str, Any], end: str) -> dict[str, Any]:
    """Those of one direction's ``RNN``."""
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
    return {"cell": cell}


def linen(lstm: type[nn.RNNCellBase]) -> Callable[..., Any]:
    """What applies a layer of Linen, with this class for LSTM."""

    def apply(config: Config, parameters: Any, x: Any, **asked: Any) -> Any:
        arguments: dict[str, Any] = {"features": config.hidden_size, "param_dtype": x.dtype}
        if config.kind == "RNN":
            arguments["activation_fn"] = nn.relu if config.nonlinearity == "relu" else nn.tanh
        cls = {"RNN": nn.SimpleCell, "LSTM": lstm, "GRU": nn.GRUCell}[config.kind.value]
        made = [nn.RNN(cls(**arguments)) for _ in config.places()]
        own = [
            linen_variables(config, parameters, config.suffix(*place)) for place in config.places()
        ]
        if not config.bidirectional:
            return made[0].apply({"params": own[0]}, x, **asked)
        both = dict(zip(("forward_rnn", "backward_rnn"), own, strict=True))
        return nn.Bidirectional(*made).apply({"params": both}, x, **asked)

    return apply


def nnx_direction(config: Config, parameters: Any, end: str) -> Any:
    """The ``RNN`` of one direction with its parameters."""
    cells: dict[str, Any] = {
        "RNN": nnx.SimpleCell,
        "LSTM": nnx.OptimizedLSTMCell,
        "GRU": nnx.GRUCell,
    }
    dtype = parameters["weight_ih" + end].dtype
    # What is drawn at first is replaced at once: zeros are cheaper.
    zeros = nnx.initializers.zeros_init()
    arguments: dict[str, Any] = {"kernel_init": zeros, "recurrent_kernel_init": zeros}
    arguments |= {"dtype": dtype, "param_dtype": dtype, "rngs": nnx.Rngs(0)}
    if config.kind == "RNN":
        arguments["activation_fn"] = nnx.relu if config.nonlinearity == "relu" else nnx.tanh
    cell = cells[config.kind](config.input_size, config.hidden_size, **arguments)
    cell.dense_i.kernel.set_value(parameters["weight_ih" + end].T)
    cell.dense_h.kernel.set_value(parameters["weight_hh" + end].T)
    bias = parameters["bias_ih" + end] + parameters["bias_hh" + end]
    if config.kind == "GRU":
        # There is no b_hn.
        start = 2 * config.hidden_size
        bias = jnp.concatenate([bias[:start], parameters["bias_ih" + end][start:]])
    (cell.dense_h if config.kind == "LSTM" else cell.dense_i).bias.set_value(bias)
    return nnx.RNN(cell)


def apply_nnx(config: Config, parameters: Any, x: Any, **asked: Any) -> Any:
    """Applies a layer of NNX."""
    made = [nnx_direction(config, parameters, config.suffix(*place)) for place in config.places()]
    return (nnx.Bidirectional(*made) if config.bidirectional else made[0])(x, **asked)


def run_by(apply: Callable[..., Any]) -> Callable[..., Any]:
    """``run`` for ``jax_layers``: what both interfaces have in common."""

    def run(config: Config, parameters: Any, x: Any, states: Any, lengths: Any) -> Any:
        asked: dict[str, Any] = {"seq_lengths": lengths, "return_carry": True, "time_major": True}
        if states is not None:
            parts = reversed(states)
            carries = [*zip(*parts, strict=True)] if len(states) == 2 else [*states[0]]
            asked["initial_carry"] = tuple(carries) if config.bidirectional else carries[0]
        carry, output = apply(config, parameters, x, **asked)
        finals = carry if config.bidirectional else (carry,)
        if config.kind != "LSTM":
            return output, (jnp.stack(finals),)
        c, h = (jnp.stack(part) for part in zip(*finals, strict=True))
        return output, (h, c)

    return run


RUN_LINEN, RUN_LINEN_LSTM_CELL = run_by(linen(nn.OptimizedLSTMCell)), run_by(linen(nn.LSTMCell))
RUN_NNX = run_by(apply_nnx)

COMMON: dict[str, Any] = {
    "level": "training",
    "compiles_per_shape": True,
    "packages": ["flax", "jax"],
}
CHAINED = "Layers are chained by the adapter: RNN and Bidirectional are one layer each."
ADDED = "The two biases are added, in their own dtype, where Flax has one."


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    name="flax.linen",
    notes=[CHAINED, ADDED],
    **COMMON,
)
def flax_linen(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """LSTM is ``OptimizedLSTMCell``; see ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, RUN_LINEN)


@implementation(
    kinds=["LSTM"],
    features=FEATURES - {"relu"},
    name="flax.linen.LSTMCell",
    notes=[CHAINED, ADDED],
    **COMMON,
)
def flax_linen_lstm_cell(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, RUN_LINEN_LSTM_CELL)


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    name="flax.nnx",
    notes=[CHAINED, ADDED, "GRU's b_hn, for which GRUCell has no parameter, is left out."],
    **COMMON,
)
def flax_nnx(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """LSTM is ``OptimizedLSTMCell``; see ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, RUN_NNX)
