"""Keras 3's ``SimpleRNN``, ``LSTM`` and ``GRU`` on its torch backend.

Matrices are transposed and time is the second dimension. LSTM has ``torch.nn``'s order of gates
and one bias, the sum of ``torch.nn``'s two; GRU has z, r, h, and with ``reset_after=True``, its
default, both biases as rows. SimpleRNN has one bias. Lengths are a mask; two directions are a
``Bidirectional``. There is no projection; layers are chained.

Declared is what https://keras.io/api/layers/recurrent_layers/ says: masks, initial states and a
``dtype`` for every layer. Gradients are torch's, of which this adapter makes no use.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Read once, when keras is imported.
os.environ["KERAS_BACKEND"] = "torch"
import keras

from rnn_conformance import Config, implementation, stacked

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "relu"),
}
GATES = {"RNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}


def weights(config: Config, parameters: Mapping[str, Any], end: str) -> list[Any]:
    """What ``set_weights`` takes for one direction: kernel, recurrent kernel, bias."""

    def ordered(name: str) -> Any:
        gates = np.split(parameters[name + end], len(GATES[config.kind]))
        return np.concatenate([gates[gate] for gate in GATES[config.kind]])

    own = [ordered("weight_ih").T, ordered("weight_hh").T]
    if config.bias:
        biases = np.stack([ordered("bias_ih"), ordered("bias_hh")])
        own.append(biases if config.kind == "GRU" else biases.sum(axis=0))
    return own


def keras_layer(config: Config, parameters: Mapping[str, Any], index: int) -> Any:
    """The layer of this ``index``, in all of its directions, with its parameters."""
    dtype = str(parameters["weight_ih_l0"].dtype)
    arguments: dict[str, Any] = {"return_sequences": True, "return_state": True}
    arguments |= {"zero_output_for_mask": True, "use_bias": config.bias, "dtype": dtype}
    if config.kind == "RNN":
        arguments["activation"] = config.nonlinearity
    cls = {"RNN": keras.layers.SimpleRNN, "LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}
    layer = cls[config.kind.value](config.hidden_size, **arguments)
    if config.bidirectional:
        layer = keras.layers.Bidirectional(layer, dtype=dtype)
    layer.build((None, None, config.layer_input_size(index)))
    ends = [config.suffix(index, direction) for direction in range(config.num_directions)]
    layer.set_weights([array for end in ends for array in weights(config, parameters, end)])
    return layer


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    name="keras",
    packages=["keras", "torch"],
    notes=[
        "Layers are made with zero_output_for_mask=True: the default repeats the last output "
        "in the padding.",
        "The two biases are added, in their own dtype, where Keras has one.",
    ],
)
def keras_layers(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    dtype = parameters["weight_ih_l0"].dtype
    built: dict[int, Any] = {}

    def one_layer(index: int, x: Any, states: Any, lengths: Any) -> Any:
        if index not in built:
            built[index] = keras_layer(config, parameters, index)
        initial = None
        if states is not None:
            # Bidirectional takes the forward direction's states, then the backward one's.
            initial = [
                keras.ops.convert_to_tensor(part[direction], dtype=str(dtype))
                for direction in range(config.num_directions)
                for part in states
            ]
        mask = None if lengths is None else np.arange(len(x)) < lengths[:, None]
        given = keras.ops.convert_to_tensor(x.swapaxes(0, 1), dtype=str(dtype))
        returned = built[index](
            given,
            mask=None if mask is None else keras.ops.convert_to_tensor(mask),
            initial_state=initial,
            training=False,
        )
        output, *finals = (keras.ops.convert_to_numpy(part) for part in returned)
        count = 1 + config.kind.has_cell_state
        joined = tuple(np.stack(finals[part::count]) for part in range(count))
        return output.swapaxes(0, 1), joined

    return stacked(config, FEATURES, dtype, one_layer)
