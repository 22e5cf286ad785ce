"""Haiku's ``LSTM`` and ``GRU`` in its ``dynamic_unroll``.

LSTM has one matrix for input and state behind one another, transposed, its gates in the order
i, g, f, o, and one bias. GRU has its gates in the order z, r, a, and one bias. ``dynamic_unroll``
needs a state. There are no lengths, no projection, and no core without a bias; ``VanillaRNN`` has
relu alone, so that there is no RNN.

Declared is what https://dm-haiku.readthedocs.io/en/latest/api.html#recurrent says: a ``reverse``
unroll, of which two are both directions. Two things of it are no matter of layout, and the adapter
does as it says: 1 is added to LSTM's bias of the forget gate, so that it is handed over less 1; and
GRU's z is 1 less ``torch.nn``'s, so that its rows are negated. In its equation of GRU, unlike
``torch.nn``'s, the reset gate scales the state before the product.
"""

from collections.abc import Callable, Mapping
from typing import Any

import haiku as hk
import jax.numpy as jnp

from rnn_conformance import Config, implementation, jax_layers

FEATURES = {"bidirectional", "multi_layer", "batch_first", "initial_state", "unbatched"}


def gates(config: Config, parameters: Any, name: str) -> Any:
    """The blocks of rows of this parameter in Haiku's order."""
    own = jnp.split(parameters[name], len(config.kind.gates))
    if config.kind == "LSTM":
        i, f, g, o = own
        return [i, g, f, o]
    r, z, n = own
    return [-z, r, n]


def variables(config: Config, parameters: Any, end: str) -> dict[str, Any]:
    """One direction's parameters."""
    w_i, w_h = (
        jnp.concatenate(gates(config, parameters, name + end)).T
        for name in ("weight_ih", "weight_hh")
    )
    ih, hh = (gates(config, parameters, name + end) for name in ("bias_ih", "bias_hh"))
    bias = [first + second for first, second in zip(ih, hh, strict=True)]
    if config.kind == "GRU":
        return {"gru": {"w_i": w_i, "w_h": w_h, "b": jnp.concatenate(bias)}}
    bias[2] -= 1
    return {"lstm/linear": {"w": jnp.concatenate([w_i, w_h]), "b": jnp.concatenate(bias)}}


def run(config: Config, parameters: Any, x: Any, states: Any, _: Any) -> Any:
    """``run`` for ``jax_layers``."""
    lstm = config.kind == "LSTM"

    def unroll(x: Any, initial: Any, reverse: bool) -> Any:
        core = (hk.LSTM if lstm else hk.GRU)(config.hidden_size)
        return hk.dynamic_unroll(core, x, initial, reverse=reverse)

    unrolled = hk.without_apply_rng(hk.transform(unroll))
    outputs, finals = [], []
    for place in config.places():
        own = tuple(part[place[1]] for part in states)
        initial = hk.LSTMState(*own) if lstm else own[0]
        weights = variables(config, parameters, config.suffix(*place))
        output, final = unrolled.apply(weights, x, initial, bool(place[1]))
        outputs.append(output)
        finals.append(final if lstm else (final,))
    joined = tuple(jnp.stack(part) for part in zip(*finals, strict=True))
    return jnp.concatenate(outputs, axis=-1), joined


@implementation(
    kinds=["LSTM", "GRU"],
    features=FEATURES,
    without=["omitted_state"],
    name="haiku",
    level="training",
    compiles_per_shape=True,
    packages=["dm-haiku", "jax"],
    notes=[
        "Layers are chained, and two directions are put together, by the adapter.",
        "The two biases are added, in their own dtype; LSTM's of the forget gate is handed over "
        "less 1, which Haiku adds.",
        "GRU's rows of z are negated, as its z is 1 less torch.nn's; for the bias that torch.nn's "
        "reset gate scales there is no place, and it is added too.",
    ],
)
def haiku_cores(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return jax_layers(config, FEATURES, parameters, run, state_needed=True)
