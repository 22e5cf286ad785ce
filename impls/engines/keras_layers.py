"""Keras 3's ``SimpleRNN``, ``LSTM`` and ``GRU`` on its torch backend.

Matrices are transposed and time is the second dimension. LSTM has ``torch.nn``'s order of gates
and one bias, the sum of ``torch.nn``'s two; GRU has z, r, h, and with ``reset_after=True``, its
default, both biases as rows. SimpleRNN has one bias. Lengths are a mask; two directions are a
``Bidirectional``. There is no projection; layers are chained.

Declared is what https://keras.io/api/layers/recurrent_layers/ says: masks, initial states and a
``dtype`` for every layer. Gradients are those of torch's autograd, through Keras's operations.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Read once, when keras is imported.
os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch

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


def gradients(config: Config, found: list[Any], end: str) -> dict[str, Any]:
    """The gradients of one direction's parameters, of those of what ``weights`` gives."""
    names = ["weight_ih", "weight_hh"]
    arrays = [found[0].T, found[1].T]
    if config.bias:
        names += ["bias_ih", "bias_hh"]
        arrays += list(found[2]) if config.kind == "GRU" else [found[2]] * 2
    order = np.argsort(GATES[config.kind])
    split = ([np.split(array, len(order))[gate] for gate in order] for array in arrays)
    return {name + end: np.concatenate(gates) for name, gates in zip(names, split, strict=True)}


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
    level="training",
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
    # Made with the layer and not by its first call: making one draws random numbers.
    built = [keras_layer(config, parameters, index) for index in range(config.num_layers)]

    def tensor(array: Any) -> Any:
        return keras.ops.convert_to_tensor(array, dtype=str(dtype))

    def called(index: int, x: Any, states: Any, lengths: Any) -> list[Any]:
        """The output, samples first, and the final states of each direction, one by one."""
        mask = None
        if lengths is not None:
            mask = keras.ops.convert_to_tensor(np.arange(x.shape[1]) < lengths[:, None])
        return list(built[index](x, mask=mask, initial_state=states, training=False))

    def separate(states: Any) -> list[Any] | None:
        """Bidirectional takes the forward direction's states, then the backward one's."""
        if states is None:
            return None
        directions = range(config.num_directions)
        return [tensor(part[direction]) for direction in directions for part in states]

    def together(arrays: list[Any]) -> tuple[Any, ...]:
        """States as ``torch.nn`` has them, of what stands one direction after the other."""
        count = 1 + config.kind.has_cell_state
        return tuple(np.stack(arrays[part::count]) for part in range(count))

    def one_layer(index: int, x: Any, states: Any, lengths: Any) -> Any:
        returned = called(index, tensor(x.swapaxes(0, 1)), separate(states), lengths)
        output, *finals = (keras.ops.convert_to_numpy(part) for part in returned)
        return output.swapaxes(0, 1), together(finals)

    def back(index: int, x: Any, states: Any, lengths: Any, output: Any, finals: Any) -> Any:
        with torch.enable_grad():
            given = tensor(x.swapaxes(0, 1)).requires_grad_()
            initial = separate(states)
            for state in initial or []:
                state.requires_grad_()
            returned = called(index, given, initial, lengths)
        variables = [variable.value for variable in built[index].trainable_variables]
        cotangents = [tensor(output.swapaxes(0, 1)), *(separate(finals) or [])]
        wanted = [given, *(initial or []), *variables]
        found = torch.autograd.grad(
            returned,
            wanted,
            # A result of another dtype takes a cotangent of its own.
            [part.to(one.dtype) for part, one in zip(cotangents, returned, strict=True)],
            materialize_grads=True,
        )
        arrays = [array.numpy() for array in found]
        first = 1 + len(initial or [])
        own: dict[str, Any] = {}
        each = len(variables) // config.num_directions
        for direction in range(config.num_directions):
            start = first + direction * each
            end = config.suffix(index, direction)
            own |= gradients(config, arrays[start : start + each], end)
        to_states = None if initial is None else together(arrays[1:first])
        return arrays[0].swapaxes(0, 1), to_states, own

    return stacked(config, FEATURES, dtype, one_layer, back)
