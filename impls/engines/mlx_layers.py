"""Apple's MLX on the CPU: ``mlx.nn.RNN``, ``LSTM`` and ``GRU``.

Order of gates and matrices are ``torch.nn``'s, batch first. RNN and LSTM have one bias, the sum
of ``torch.nn``'s two; GRU has ``b`` of all gates and ``bhn``, ``torch.nn``'s ``b_hn``. RNN and
GRU return outputs alone, of which the last is the final state; LSTM returns every cell state
too. There is one direction, one layer, no lengths and no projection. Gradients are ``mx.vjp``'s.

Declared is what https://ml-explore.github.io/mlx/build/html/python/nn/layers.html says; float64
is available on the CPU (https://ml-explore.github.io/mlx/build/html/python/data_types.html).
"""

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np

from rnn_conformance import Config, implementation, stacked

FEATURES = {"multi_layer", "batch_first", "bias_free", "initial_state", "unbatched", "relu"}
# Arrays come from NumPy, and float64 is of the CPU alone.
mx.set_default_device(mx.cpu)


def weights(config: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """MLX's parameters of one layer, computed by MLX of ``torch.nn``'s."""
    matrices = ("Wxh", "Whh") if config.kind == "RNN" else ("Wx", "Wh")
    own = dict(zip(matrices, (given["weight_ih"], given["weight_hh"]), strict=True))
    if config.bias and config.kind == "GRU":
        of_r_and_z, of_n = mx.split(given["bias_hh"], [2 * config.hidden_size])
        own["b"] = given["bias_ih"] + mx.concatenate([of_r_and_z, mx.zeros_like(of_n)])
        own["bhn"] = of_n
    elif config.bias:
        own["bias"] = given["bias_ih"] + given["bias_hh"]
    return own


def returned(
    config: Config, index: int, x: Any, states: list[Any], given: Mapping[str, Any]
) -> list[Any]:
    """Output and final states of a layer, all batch first."""
    sizes = (config.layer_input_size(index), config.hidden_size, config.bias)
    layer: Any
    if config.kind == "RNN":
        activation = {"tanh": mx.tanh, "relu": mlx.nn.relu}[config.nonlinearity]
        layer = mlx.nn.RNN(*sizes, nonlinearity=activation)
    else:
        layer = {"LSTM": mlx.nn.LSTM, "GRU": mlx.nn.GRU}[config.kind.value](*sizes)
    layer.update(weights(config, given))
    sequences = layer(x, *states)
    parts = list(sequences) if config.kind.has_cell_state else [sequences]
    return [parts[0], *(part[:, -1] for part in parts)]


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    level="training",
    name="mlx",
    packages=["mlx"],
    notes=[
        "Layers are chained by the adapter: MLX's are one layer each.",
        "The two biases are added, in their own dtype, where MLX has one.",
    ],
)
def mlx_layers(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    dtype = parameters["weight_ih_l0"].dtype
    roles = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if config.bias else [])]
    count = 1 + config.kind.has_cell_state

    def prepared(index: int, x: Any, states: Any) -> tuple[Callable[..., Any], list[Any]]:
        """A function of input, states and parameters, and what to call it with."""
        initial = [] if states is None else [part[0] for part in states]
        own = [parameters[role + config.suffix(index, 0)] for role in roles]

        def function(x: Any, *rest: Any) -> list[Any]:
            given = dict(zip(roles, rest[len(initial) :], strict=True))
            return returned(config, index, x, list(rest[: len(initial)]), given)

        return function, [array(one) for one in (x.swapaxes(0, 1), *initial, *own)]

    def array(one: Any) -> Any:
        return mx.array(np.ascontiguousarray(one), dtype=getattr(mx, str(dtype)))

    def one_layer(index: int, x: Any, states: Any, lengths: Any) -> Any:
        function, arguments = prepared(index, x, states)
        output, *finals = (np.array(part) for part in function(*arguments))
        return output.swapaxes(0, 1), tuple(part[None] for part in finals)

    def back(index: int, x: Any, states: Any, lengths: Any, output: Any, finals: Any) -> Any:
        function, arguments = prepared(index, x, states)
        above = [output.swapaxes(0, 1), *(part[0] for part in finals)]
        _, gradients = mx.vjp(function, arguments, [array(one) for one in above])
        to_x, *rest = (np.array(gradient) for gradient in gradients)
        to_states = None if states is None else tuple(part[None] for part in rest[:count])
        names = [role + config.suffix(index, 0) for role in roles]
        to_parameters = dict(zip(names, rest[-len(roles) :], strict=True))
        return to_x.swapaxes(0, 1), to_states, to_parameters

    return stacked(config, FEATURES, dtype, one_layer, back)
