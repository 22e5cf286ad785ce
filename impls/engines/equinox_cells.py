"""Equinox's ``LSTMCell`` and ``GRUCell``, and both in JAX's ``scan``, as documented.

Matrices and the order of gates are ``torch.nn``'s. LSTMCell has one bias; GRUCell has one for all
gates, and ``bias_n`` for what the reset gate scales. A cell takes one sample and needs its state;
batches are ``jax.vmap``. There are no lengths, no second direction and no projection.

Declared is what https://docs.kidger.site/equinox/api/nn/rnn/ says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from rnn_conformance import Config, implementation, jax_cell, jax_layers

FEATURES = {"multi_layer", "batch_first", "bias_free", "initial_state", "unbatched"}


def cell(config: Config, parameters: Any, end: str) -> Any:
    """The cell with its parameters."""
    cls = eqx.nn.LSTMCell if config.kind.has_cell_state else eqx.nn.GRUCell
    dtype = parameters["weight_ih" + end].dtype
    # Its parameters are replaced at once: they need not be drawn.
    made: Any = eqx.filter_eval_shape(
        cls,
        config.input_size,
        config.hidden_size,
        use_bias=config.bias,
        dtype=dtype,
        key=jax.random.key(0),
    )
    own = {"weight_ih": parameters["weight_ih" + end], "weight_hh": parameters["weight_hh" + end]}
    if config.bias:
        ih, hh = parameters["bias_ih" + end], parameters["bias_hh" + end]
        own["bias"] = ih + hh
        if config.kind.layer == "GRU":
            start = 2 * config.hidden_size
            own["bias"] = jnp.concatenate([own["bias"][:start], ih[start:]])
            own["bias_n"] = hh[start:]
    return eqx.tree_at(lambda made: [getattr(made, name) for name in own], made, [*own.values()])


def step(config: Config, parameters: Any, x: Any, states: Any, _: Any) -> Any:
    """``run`` for ``jax_cell``."""
    made = cell(config, parameters, "")
    call = made if x.ndim == 1 else jax.vmap(made)
    return call(x, states) if config.kind.has_cell_state else (call(x, states[0]),)


def scan(config: Config, parameters: Any, x: Any, states: Any, _: Any) -> Any:
    """``run`` for ``jax_layers``."""
    made = jax.vmap(cell(config, parameters, "_l0"))

    def of_step(state: Any, x: Any) -> Any:
        new = made(x, state)
        return new, new[0] if config.kind.has_cell_state else new

    initial = tuple(part[0] for part in states)
    final, output = jax.lax.scan(of_step, initial if config.kind.has_cell_state else initial[0], x)
    finals = final if config.kind.has_cell_state else (final,)
    return output, tuple(part[None] for part in finals)


COMMON: dict[str, Any] = {
    "without": ["omitted_state"],
    "level": "training",
    "compiles_per_shape": True,
    "packages": ["equinox", "jax"],
}
ADDED = "The two biases are added, in their own dtype, where Equinox has one."


@implementation(
    kinds=["LSTMCell", "GRUCell"],
    features=["bias_free", "initial_state", "unbatched"],
    name="equinox.cells",
    notes=[ADDED],
    **COMMON,
)
def equinox_cells(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Batches are ``jax.vmap``."""
    return jax_cell(config, parameters, step, state_needed=True)


@implementation(
    kinds=["LSTM", "GRU"],
    features=FEATURES,
    name="equinox",
    notes=[ADDED, "The scan over time is the one of Equinox's documentation; layers are chained."],
    **COMMON,
)
def equinox_scan(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, scan, state_needed=True)
