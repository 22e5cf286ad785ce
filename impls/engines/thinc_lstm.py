"""thinc's ``LSTM`` in NumPy and Cython: the operation beneath ``thinc.api.LSTM``.

Parameters are one flat array, for each direction the input's matrix, its bias, the state's
matrix, its bias; gates are f, i, o, c. Sequences are packed, time first and longest first, as
``torch.nn.utils.rnn.pack_padded_sequence`` has them, with ``batch_sizes`` as ``size_at_t``. The
initial state is a parameter, one for all samples, and zero unless trained, so there is no
initial state of a call; there are always biases, and no projection. The cell states are in what
is kept for the backward pass, which has no way in for gradients of them: there are no gradients.

Declared is what https://thinc.ai/docs/api-layers#lstm says: two directions, and ``Padded``
sequences of any lengths.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from thinc.api import NumpyOps

from rnn_conformance import Config, implementation, stacked

FEATURES = {"bidirectional", "multi_layer", "batch_first", "unbatched", "packed"}
GATES = (1, 0, 3, 2)


def flat(config: Config, parameters: Mapping[str, Any], index: int) -> Any:
    """The parameters of the layer of this ``index``."""
    arrays = []
    for direction in range(config.num_directions):
        for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh"):
            gates = np.split(parameters[name + config.suffix(index, direction)], len(GATES))
            arrays += [gates[gate].ravel() for gate in GATES]
    return np.concatenate(arrays)


@implementation(
    kinds=["LSTM"],
    features=FEATURES,
    dtypes=["float32"],
    name="thinc",
    packages=["thinc"],
    notes=[
        "Layers are chained by the adapter.",
        "Final states, which the layer does not return, are read at each sequence's own end.",
    ],
)
def thinc_lstm(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    dtype = parameters["weight_ih_l0"].dtype
    if dtype != "float32":
        raise NotImplementedError(f"no {dtype}")
    ops = NumpyOps()

    def one_layer(index: int, x: Any, states: Any, lengths: Any) -> Any:
        steps, batch = x.shape[:2]
        if lengths is None:
            lengths = np.full(batch, steps)
        order = np.argsort(-lengths, kind="stable")
        running = np.arange(steps)[:, None] < lengths[order]
        zeros = np.zeros((1, config.num_directions, config.hidden_size), dtype=dtype)
        packed, kept = ops.lstm_forward_training(
            flat(config, parameters, index),
            zeros,
            zeros,
            np.ascontiguousarray(x[:, order][running]),
            running.sum(axis=1)[: lengths.max()].astype("int32"),
        )

        def padded(array: Any) -> Any:
            """``(L, N, features)`` in the caller's order."""
            whole = np.zeros((steps, batch, array.shape[-1]), dtype=dtype)
            whole[running] = array
            return whole[:, np.argsort(order)]

        def finals(per_direction: Any) -> Any:
            ends = [lengths - 1, np.zeros_like(lengths)]
            return np.stack(
                [
                    padded(array)[end, np.arange(batch)]
                    for array, end in zip(per_direction, ends, strict=False)
                ]
            )

        hidden = np.split(packed, config.num_directions, axis=-1)
        # Of one layer, each (directions, packed steps, units).
        _, _, cells, _ = kept
        return padded(packed), (finals(hidden), finals(cells[0]))

    return stacked(config, FEATURES, dtype, one_layer)
