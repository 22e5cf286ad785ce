"""JAX's ``jax.experimental.rnn.lstm_ref``, all layers and directions in one call.

Parameters are ``torch.nn``'s, counted by layer and direction; time is the second dimension. It
needs states and lengths. There is no projection, no dropout, and no layer without biases.

Declared is what https://docs.jax.dev/en/latest/jax.experimental.rnn.html says of its arguments.
``lstm``, which is documented beside it, is cuDNN's and has no CPU. Although "other than float32"
and "ragged inputs" are among what is to be done there, the reference has both.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax.experimental.rnn import lstm_ref

from rnn_conformance import Config, implementation, jax_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "initial_state", "unbatched", "packed")
}


def run(config: Config, parameters: Any, x: Any, states: Any, lengths: Any) -> Any:
    """``run`` for ``jax_layers``."""
    if lengths is None:
        lengths = jnp.full(x.shape[1], len(x), "int32")
    ends = [config.suffix(*place) for place in config.places()]
    weights = [
        {index: parameters[name + end] for index, end in enumerate(ends)}
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    sizes = (config.input_size, config.hidden_size, config.num_layers, 0.0, config.bidirectional)
    output, *finals = lstm_ref(x.swapaxes(0, 1), *states, *weights, lengths, *sizes)
    return output.swapaxes(0, 1), tuple(finals)


@implementation(
    kinds=["LSTM"],
    features=FEATURES,
    without=["omitted_state"],
    level="training",
    compiles_per_shape=True,
    packages=["jax"],
    notes=["Where the caller gives no lengths, each sequence has all steps."],
)
def jax_lstm(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, run, state_needed=True, whole=True)
