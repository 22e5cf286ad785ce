"""Every kind in loops that Numba compiles: one kernel, once for each dtype.

Sample by sample and step by step, so lengths cost nothing: a sequence's loop ends, or in
the reverse direction begins, at its own last element.
"""

from collections.abc import Callable, Mapping
from math import tanh
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from rnn_conformance import Config, implementation

Array: TypeAlias = NDArray[np.floating[Any]]

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "projection", "relu", "empty_batch"),
}
TANH, RELU, LSTM, GRU = range(4)

# Sums may be taken in any order and multiply-adds fused; NaN and infinity stay as they are.
FASTMATH = {"reassoc", "contract"}


@numba.njit(inline="always")
def sigmoid(z: Any, half: Any) -> Any:
    """``half`` is 1/2 in the dtype of ``z``: a literal would make it float64."""
    return half * tanh(half * z) + half


@numba.njit(fastmath=FASTMATH, nogil=True)
def affine(weight: Any, x: Any, bias: Any, out: Any) -> None:
    """``out = weight @ x + bias``."""
    for row in range(weight.shape[0]):
        total = bias[row]
        for column in range(weight.shape[1]):
            total += weight[row, column] * x[column]
        out[row] = total


@numba.njit(fastmath=FASTMATH, nogil=True)
def scan(
    equations: int,
    reverse: bool,
    x: Any,
    lengths: Any,
    weights: Any,
    h: Any,
    c: Any,
    output: Any,
) -> None:
    """One layer in one direction over ``x`` ``(L, N, ·)``.

    ``h`` and ``c`` ``(N, ·)`` hold the initial states and receive the final ones;
    ``output`` ``(L, N, H_out)`` is written up to each sequence's own length. Without a
    projection its matrix has no rows.
    """
    w_ih, w_hh, b_ih, b_hh, w_hr = weights
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    size = c.shape[1]
    zx, zh = np.empty_like(b_ih), np.empty_like(b_hh)
    unprojected, nothing = np.empty(size, x.dtype), np.zeros(w_hr.shape[0], x.dtype)
    for n in range(x.shape[1]):
        for step in range(lengths[n]):
            t = lengths[n] - 1 - step if reverse else step
            affine(w_ih, x[t, n], b_ih, zx)
            affine(w_hh, h[n], b_hh, zh)
            for j in range(size):
                if equations == TANH:
                    h[n, j] = tanh(zx[j] + zh[j])
                elif equations == RELU:
                    h[n, j] = np.maximum(zx[j] + zh[j], x.dtype.type(0))
                elif equations == LSTM:
                    i, f, g, o = j, j + size, j + 2 * size, j + 3 * size
                    kept = sigmoid(zx[f] + zh[f], half) * c[n, j]
                    c[n, j] = kept + sigmoid(zx[i] + zh[i], half) * tanh(zx[g] + zh[g])
                    unprojected[j] = sigmoid(zx[o] + zh[o], half) * tanh(c[n, j])
                else:
                    reset = sigmoid(zx[j] + zh[j], half)
                    update = sigmoid(zx[j + size] + zh[j + size], half)
                    new = tanh(zx[j + 2 * size] + reset * zh[j + 2 * size])
                    h[n, j] = (one - update) * new + update * h[n, j]
            if w_hr.shape[0]:
                affine(w_hr, unprojected, nothing, h[n])
            elif equations == LSTM:
                h[n] = unprojected
            output[t, n] = h[n]


def time_major(config: Config, array: Array, *, is_state: bool = False) -> Array:
    """Steps by samples: a cell is one step, an unbatched call a batch of one."""
    if config.kind.is_cell:
        array = array[None]
    if array.ndim == 2:
        return array[:, None]
    return array.swapaxes(0, 1) if config.batch_first and not is_state else array


def as_asked(config: Config, array: Array, unbatched: bool, *, is_state: bool = False) -> Array:
    """The inverse of :func:`time_major`."""
    if unbatched:
        array = array[:, 0]
    elif config.batch_first and not is_state:
        array = array.swapaxes(0, 1)
    return array[0] if config.kind.is_cell else array


def initial_states(config: Config, input: Array, state: Any, batch: int) -> list[Array]:
    """``h_0`` and ``c_0`` (which LSTM alone uses), zeros where the caller passes none."""
    widths = (config.output_size, config.hidden_size)
    states = [np.zeros((config.num_states, batch, width), input.dtype) for width in widths]
    if state is None:
        return states
    pair = isinstance(state, tuple)
    if pair != config.kind.has_cell_state or (pair and len(state) != 2):
        raise ValueError("the state is a pair (h_0, c_0) for LSTM, h_0 for the others")
    for k, given in enumerate(state if pair else [state]):
        initial = time_major(config, given, is_state=True)
        if given.ndim != input.ndim or initial.shape != states[k].shape:
            raise ValueError(f"a state of shape {given.shape} does not fit {input.shape}")
        if given.dtype != input.dtype:
            raise TypeError(f"a state of {given.dtype} beside an input of {input.dtype}")
        # The kernel writes the final state over it.
        states[k] = np.array(initial, order="C")
    return states


def own_lengths(length: int, batch: int, lengths: Any) -> NDArray[np.int64]:
    """``(N,)``: the steps of each sequence, all of them where the caller says nothing."""
    if lengths is None:
        return np.full(batch, length, np.int64)
    if np.shape(lengths) != (batch,) or np.min(lengths) < 1 or np.max(lengths) > length:
        raise ValueError(f"lengths {lengths} do not fit {batch} sequences of {length} steps")
    return np.array(lengths, np.int64)


@implementation(
    kinds=["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"],
    features=FEATURES,
    dtypes=["float32", "float64"],
)
def numba_loops(config: Config, parameters: Mapping[str, Array]) -> Callable[..., Any]:
    """See ``FunctionImplementation`` in ``numpy_function`` for the layouts."""
    if missing := config.features - FEATURES:
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")
    dtype = parameters["weight_ih" + config.suffix(0, 0)].dtype
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"compiled for float32 and float64, not {dtype}")
    equations = {"LSTM": LSTM, "GRU": GRU, "RNN": TANH}[config.kind.layer]
    if config.nonlinearity == "relu":
        equations = RELU
    no_bias = np.zeros(len(config.kind.gates) * config.hidden_size, dtype)
    no_projection = np.zeros((0, config.hidden_size), dtype)
    weights = []
    for layer_index, direction in config.places():
        end = config.suffix(layer_index, direction)
        arrays = (
            parameters["weight_ih" + end],
            parameters["weight_hh" + end],
            parameters.get("bias_ih" + end, no_bias),
            parameters.get("bias_hh" + end, no_bias),
            parameters.get("weight_hr" + end, no_projection),
        )
        # Always contiguous and writeable: every other layout would be compiled anew.
        weights.append(tuple(np.array(array, order="C") for array in arrays))

    def layer(input: Array, state: Any = None, lengths: Any = None) -> Any:
        x = time_major(config, input)
        if x.ndim != 3 or x.shape[0] == 0 or x.shape[2] != config.input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if input.dtype != dtype:
            raise TypeError(f"an input of {input.dtype} for weights of {dtype}")
        unbatched = input.ndim == 2 - config.kind.is_cell
        if lengths is not None and (unbatched or config.kind.is_cell):
            raise ValueError("lengths are for batches of sequences")
        steps = own_lengths(x.shape[0], x.shape[1], lengths)
        h, c = initial_states(config, input, state, x.shape[1])
        x = np.array(x, order="C")
        for below in range(0, config.num_states, config.num_directions):
            halves = np.zeros((config.num_directions, *x.shape[:2], config.output_size), dtype)
            for direction, half in enumerate(halves):
                k = below + direction
                scan(equations, direction == 1, x, steps, weights[k], h[k], c[k], half)
            x = np.concatenate(halves, axis=-1)
        output = as_asked(config, x, unbatched)
        h_n, c_n = (as_asked(config, s, unbatched, is_state=True) for s in (h, c))
        h_or_pair = (h_n, c_n) if config.kind.has_cell_state else h_n
        return h_or_pair if config.kind.is_cell else (output, h_or_pair)

    return layer
