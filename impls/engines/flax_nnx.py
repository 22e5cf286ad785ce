"""Flax NNX's ``RNN`` and ``Bidirectional`` around its cells.

Matrices are transposed; the optimized LSTM cell and GRU have ``torch.nn``'s order of gates in one
kernel, and the carry of LSTM is (c, h). There is one bias: LSTM's beside the recurrent kernel, the
others' beside the input's. Layers are chained; there is no projection, and no cell goes without
a bias.

Declared is what https://flax.readthedocs.io/en/latest/api_reference/flax.nnx/nn/recurrent.html
says: ``seq_lengths``, an ``initial_carry`` or none, both directions, a ``dtype``; and for GRU an
equation that is ``torch.nn``'s, with a ``b_hn`` inside of the reset gate.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx

from rnn_conformance import Config, implementation, jax_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "initial_state", "unbatched", "packed"),
    "relu",
}
CELLS = {"RNN": nnx.SimpleCell, "LSTM": nnx.OptimizedLSTMCell, "GRU": nnx.GRUCell}


def layer(config: Config, parameters: Any, end: str) -> Any:
    """One direction with its parameters."""
    # What is drawn at first is replaced at once: zeros are cheaper.
    arguments: dict[str, Any] = dict.fromkeys(
        ("kernel_init", "recurrent_kernel_init"), nnx.initializers.zeros_init()
    )
    dtype = parameters["weight_ih" + end].dtype
    if config.kind == "RNN":
        arguments["activation_fn"] = nnx.relu if config.nonlinearity == "relu" else nnx.tanh
    cell: Any = CELLS[config.kind.value](
        config.input_size,
        config.hidden_size,
        dtype=dtype,
        param_dtype=dtype,
        rngs=nnx.Rngs(0),
        **arguments,
    )
    cell.dense_i.kernel.set_value(parameters["weight_ih" + end].T)
    cell.dense_h.kernel.set_value(parameters["weight_hh" + end].T)
    bias = parameters["bias_ih" + end] + parameters["bias_hh" + end]
    (cell.dense_h if config.kind == "LSTM" else cell.dense_i).bias.set_value(bias)
    return nnx.RNN(cell)


def run(config: Config, parameters: Any, x: Any, states: Any, lengths: Any) -> Any:
    """``run`` for ``jax_layers``."""
    lstm = config.kind == "LSTM"
    made = [layer(config, parameters, config.suffix(*place)) for place in config.places()]
    initial = None
    if states is not None:
        carries = zip(*reversed(states), strict=True) if lstm else states[0]
        initial = tuple(carries) if config.bidirectional else next(iter(carries))
    whole: Any = nnx.Bidirectional(*made) if config.bidirectional else made[0]
    carry, output = whole(
        x, initial_carry=initial, seq_lengths=lengths, return_carry=True, time_major=True
    )
    finals = carry if config.bidirectional else (carry,)
    if lstm:
        return output, tuple(jnp.stack(part) for part in reversed([*zip(*finals, strict=True)]))
    return output, (jnp.stack(finals),)


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    name="flax.nnx",
    level="training",
    compiles_per_shape=True,
    packages=["flax", "jax"],
    notes=[
        "Layers are chained by the adapter: RNN and Bidirectional are one layer each.",
        "The two biases are added, in their own dtype: each cell has one, GRU's new gate too.",
    ],
)
def flax_nnx(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """LSTM is ``OptimizedLSTMCell``; see ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, run)
