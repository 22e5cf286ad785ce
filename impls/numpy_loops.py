"""Every kind in plain NumPy: the equations, and one Python loop over time.

Computed in the dtype of the parameters; float16 is read and returned, float32 between.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance import Config, implementation

Array: TypeAlias = NDArray[np.floating[Any]]
Step: TypeAlias = Callable[[Array, Array, Array, Array], tuple[Array, Array]]

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "projection", "relu", "empty_batch"),
}


def sigmoid(z: Array) -> Array:
    """Without overflow for any ``z``."""
    half: Array = 0.5 * np.tanh(0.5 * z)
    return half + 0.5


def tanh_step(zx: Array, zh: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """``h' = tanh(zx + zh)``."""
    return np.tanh(zx + zh), c


def relu_step(zx: Array, zh: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """``h' = relu(zx + zh)``."""
    return np.maximum(zx + zh, 0), c


def lstm_step(zx: Array, zh: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """``c' = f c + i g``, ``h' = o tanh(c')``."""
    i, f, g, o = np.split(zx + zh, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_step(zx: Array, zh: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """``h' = (1 - z) n + z h``; the reset gate comes after the matrix product."""
    xr, xz, xn = np.split(zx, 3, axis=-1)
    hr, hz, hn = np.split(zh, 3, axis=-1)
    z, n = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
    return (1 - z) * n + z * h, c


STEPS: dict[str, Step] = {
    "tanh": tanh_step,
    "relu": relu_step,
    "LSTM": lstm_step,
    "GRU": gru_step,
}


def scan(
    step: Step,
    weights: Mapping[str, Array],
    x: Array,
    here: NDArray[np.bool_],
    h: Array,
    c: Array,
) -> tuple[Array, Array, Array]:
    """One layer in one direction over ``x`` ``(L, N, ·)``, in the order of ``x``.

    Where ``here`` ``(L, N)`` is false there is padding: the state stands still, so that
    the reverse direction starts at each sequence's own last element.
    """
    zeros = np.zeros(len(weights["weight_ih"]), x.dtype)
    zx = x @ weights["weight_ih"].T + weights.get("bias_ih", zeros)
    output = np.zeros((*x.shape[:2], h.shape[-1]), x.dtype)
    for t, mask in enumerate(here[:, :, None]):
        zh = h @ weights["weight_hh"].T + weights.get("bias_hh", zeros)
        new_h, new_c = step(zx[t], zh, h, c)
        if "weight_hr" in weights:
            new_h = new_h @ weights["weight_hr"].T
        h, c = np.where(mask, new_h, h), np.where(mask, new_c, c)
        output[t] = np.where(mask, new_h, 0)
    return output, h, c


def time_major(config: Config, array: Array, *, is_state: bool = False) -> Array:
    """Steps by samples: a cell is one step, an unbatched call a batch of one."""
    if config.kind.is_cell:
        array = array[None]
    if array.ndim == 2:
        return array[:, None]
    return array.swapaxes(0, 1) if config.batch_first and not is_state else array


def as_asked(
    config: Config, array: Array, unbatched: bool, dtype: Any, *, is_state: bool = False
) -> Array:
    """The inverse of :func:`time_major`, in ``dtype``."""
    if unbatched:
        array = array[:, 0]
    elif config.batch_first and not is_state:
        array = array.swapaxes(0, 1)
    return (array[0] if config.kind.is_cell else array).astype(dtype)


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
        states[k] = initial
    return states


def own_steps(length: int, batch: int, lengths: Any) -> NDArray[np.bool_]:
    """``(L, N)``: which steps belong to a sequence, not to its padding."""
    if lengths is None:
        return np.ones((length, batch), bool)
    if np.shape(lengths) != (batch,) or np.min(lengths) < 1 or np.max(lengths) > length:
        raise ValueError(f"lengths {lengths} do not fit {batch} sequences of {length} steps")
    here: NDArray[np.bool_] = np.arange(length)[:, None] < np.asarray(lengths)
    return here


@implementation(
    kinds=["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"],
    features=FEATURES,
    dtypes=["float16", "float32", "float64"],
)
def numpy_loops(config: Config, parameters: Mapping[str, Array]) -> Callable[..., Any]:
    """See ``FunctionImplementation`` in ``numpy_function`` for the layouts."""
    if missing := config.features - FEATURES:
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")
    dtype = parameters["weight_ih" + config.suffix(0, 0)].dtype
    working = np.promote_types(dtype, np.float32)
    step = STEPS[config.nonlinearity if config.kind.layer == "RNN" else config.kind.layer]
    weights = [
        {
            name.removesuffix(end): array.astype(working)
            for name, array in parameters.items()
            if name.endswith(end)
        }
        for end in (config.suffix(layer, direction) for layer, direction in config.places())
    ]

    # Infinite and huge inputs saturate the gates; that is no reason to warn.
    @np.errstate(over="ignore", invalid="ignore")
    def layer(input: Array, state: Any = None, lengths: Any = None) -> Any:
        x = time_major(config, input)
        if x.ndim != 3 or x.shape[0] == 0 or x.shape[2] != config.input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if input.dtype != dtype:
            raise TypeError(f"an input of {input.dtype} for weights of {dtype}")
        unbatched = input.ndim == 2 - config.kind.is_cell
        if lengths is not None and (unbatched or config.kind.is_cell):
            raise ValueError("lengths are for batches of sequences")
        here = own_steps(x.shape[0], x.shape[1], lengths)
        h, c = (s.astype(working) for s in initial_states(config, input, state, x.shape[1]))
        x = x.astype(working)
        for below in range(0, config.num_states, config.num_directions):
            halves = []
            for direction in range(config.num_directions):
                k, order = below + direction, slice(None, None, -1 if direction else 1)
                half, h[k], c[k] = scan(step, weights[k], x[order], here[order], h[k], c[k])
                halves.append(half[order])
            x = np.concatenate(halves, axis=-1)
        output = as_asked(config, x, unbatched, dtype)
        h_n, c_n = (as_asked(config, s, unbatched, dtype, is_state=True) for s in (h, c))
        h_or_pair = (h_n, c_n) if config.kind.has_cell_state else h_n
        return h_or_pair if config.kind.is_cell else (output, h_or_pair)

    return layer
