"""Every kind in loops that Numba compiles, faster than ``torch.nn`` where layers are small.

The products with the input are one for all steps; a step is a product with the states and one
pass over the gates, whose activations are written so that the compiler makes vectors of them.
A call is one call of compiled code, whatever the number of layers and directions.
"""

from collections.abc import Callable, Mapping
from functools import cache
from math import factorial, log
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

# Multiply-adds may be fused. Sums are not reordered: rounding to an integer by adding a large
# number would be taken for nothing. NaN and infinity stay as they are.
COMPILED: Mapping[str, Any] = {
    "fastmath": {"contract"},
    "error_model": "numpy",
    "nogil": True,
}

# Samples from which a BLAS, which keeps tiles of the weights, overtakes a plain loop.
MANY = 32

# No lengths: every sequence has all steps.
WHOLE = np.empty(0, np.int64)


@cache
def activations(name: str) -> tuple[Any, Any]:
    """``sigmoid`` and ``tanh`` in a dtype, without branches; NaN gives NaN.

    Both rest on ``e^x = 2^n (1 + p)``, where ``p = e^r - 1`` is a Taylor polynomial in the
    remainder ``r``, at most half a logarithm of 2; it ends where the next term is below a
    quarter of a rounding. As ``1 + p`` is not formed, a small ``tanh`` has all its digits.
    """
    double = name == "float64"
    dtype: Any = np.float64 if double else np.float32
    integer: Any = np.int64 if double else np.int32
    bits, middle = (52, 1023) if double else (23, 127)
    terms = np.array([1 / factorial(k) for k in range(13 if double else 7, 1, -1)], dtype)
    count = terms.size
    one, two = dtype(1), dtype(2)
    # Where 2^n is still a normal number, and where tanh has long been 1.
    least, most, saturated = dtype(-708 if double else -87), dtype(709 if double else 88), dtype(40)
    per_octave = dtype(1 / log(2))
    # ln 2 in two parts, of which the products of the first with n are exact.
    high = np.float64(0.693147180369123816490) if double else np.float32(0.693359375)
    low = dtype(1.90821492927058770002e-10 if double else -2.12194440e-4)
    shift = dtype(1.5 * 2**bits)
    bias, mantissa = integer(middle), integer(bits)

    @numba.njit(forceinline=True, **COMPILED)
    def split(x: Any) -> Any:
        """``p`` and ``2^n``."""
        shifted = dtype(x * per_octave + shift)
        n = shifted - shift
        r = (x - n * high) - n * low
        p = terms[0]
        for k in range(1, count):
            p = p * r + terms[k]
        power = integer((shifted.view(integer) + bias) << mantissa)
        return r * r * p + r, power.view(dtype)

    @numba.njit(forceinline=True, **COMPILED)
    def sigmoid(x: Any) -> Any:
        x = -x
        x = least if x < least else x
        x = most if x > most else x
        p, power = split(x)
        return one / (one + (power * p + power))

    @numba.njit(forceinline=True, **COMPILED)
    def tanh(x: Any) -> Any:
        doubled = two * abs(x)
        p, power = split(saturated if doubled > saturated else doubled)
        rest = power * p + (power - one)
        return np.copysign(rest / (rest + two), x)

    return sigmoid, tanh


@numba.njit(**COMPILED)
def product(left: Any, right: Any, into: Any) -> None:
    """``into = left @ right``, of few rows: four columns of ``left`` in each pass over a row."""
    size = right.shape[0]
    blocked = size - size % 4
    for n in range(left.shape[0]):
        for j in range(right.shape[1]):
            into[n, j] = 0
        for k in range(0, blocked, 4):
            a, b, c, d = left[n, k], left[n, k + 1], left[n, k + 2], left[n, k + 3]
            for j in range(right.shape[1]):
                # In pairs, which do not wait for one another.
                first = a * right[k, j] + b * right[k + 1, j]
                into[n, j] += first + (c * right[k + 2, j] + d * right[k + 3, j])
        for k in range(blocked, size):
            a = left[n, k]
            for j in range(right.shape[1]):
                into[n, j] += a * right[k, j]


@numba.njit(**COMPILED)
def multiply(left: Any, right: Any, into: Any) -> None:
    """``into = left @ right``, in the way that is fast for so many rows."""
    if left.shape[0] < MANY:
        product(left, right, into)
    else:
        np.dot(left, right, into)


def lstm(sigmoid: Any, tanh: Any) -> Any:
    """One step of a sample: ``z`` are the gates' sums with the input, ``a`` those with the state.

    All gates in one loop: their chains of operations do not wait for one another.
    """

    @numba.njit(**COMPILED)
    def step(z: Any, a: Any, b: Any, h: Any, c: Any) -> None:
        size = h.shape[0]
        for j in range(size):
            i, f, g, o = j, j + size, j + 2 * size, j + 3 * size
            kept = sigmoid(z[f] + a[f] + b[f]) * c[j]
            c[j] = kept + sigmoid(z[i] + a[i] + b[i]) * tanh(z[g] + a[g] + b[g])
            h[j] = sigmoid(z[o] + a[o] + b[o]) * tanh(c[j])

    return step


def gru(sigmoid: Any, tanh: Any) -> Any:
    """See :func:`lstm`; ``scaled`` is the bias that the reset gate scales."""

    @numba.njit(**COMPILED)
    def step(z: Any, a: Any, b: Any, scaled: Any, h: Any) -> None:
        size = h.shape[0]
        for j in range(size):
            r, u, g = j, j + size, j + 2 * size
            reset = sigmoid(z[r] + a[r] + b[r])
            update = sigmoid(z[u] + a[u] + b[u])
            new = tanh(z[g] + b[g] + reset * (a[g] + scaled[j]))
            h[j] = (1 - update) * new + update * h[j]

    return step


def rnn(_: Any, tanh: Any) -> Any:
    """See :func:`lstm`."""

    @numba.njit(**COMPILED)
    def step(z: Any, a: Any, b: Any, h: Any) -> None:
        for j in range(h.shape[0]):
            h[j] = tanh(z[j] + a[j] + b[j])

    return step


@numba.njit(**COMPILED)
def relu_step(z: Any, a: Any, b: Any, h: Any) -> None:
    """See :func:`lstm`; NaN, which is not below zero, stays."""
    for j in range(h.shape[0]):
        total = z[j] + a[j] + b[j]
        h[j] = total if not total < 0 else 0


@cache
def compiled(name: str) -> Any:
    """The whole of a call in a dtype, of any kind: compiled at the first one."""
    functions = activations(name)
    lstm_step, gru_step, rnn_step = lstm(*functions), gru(*functions), rnn(*functions)

    @numba.njit(**COMPILED)
    def run(
        equations: int,
        weights: Any,
        rows: int,
        directions: int,
        x: Any,
        lengths: Any,
        h: Any,
        c: Any,
        output: Any,
    ) -> None:
        """Every layer over ``x`` ``(L, N, H_in)``, which writes ``output`` ``(L, N, D * H_out)``.

        ``weights`` are those of :func:`prepared`, ``rows`` those of all gates. ``h`` and ``c``
        ``(D * K, N, ·)`` hold the initial states and receive the final ones. A sequence's steps
        end, or in the reverse direction begin, at its own last element.
        """
        length, batch = x.shape[:2]
        size, width = c.shape[2], h.shape[2]
        projected = width != size
        packed = lengths.shape[0] > 0
        sums = np.empty((batch, rows), x.dtype)
        raw = np.empty((batch, size), x.dtype)
        narrow = np.empty((batch, width), x.dtype)
        layers = h.shape[0] // directions
        at = 0
        for layer in range(layers):
            features = x.shape[2]
            last = layer == layers - 1
            above = output if last else np.empty((length, batch, directions * width), x.dtype)
            for direction in range(directions):
                w_ih = weights[at : at + features * rows].reshape((features, rows))
                at += features * rows
                w_hh = weights[at : at + width * rows].reshape((width, rows))
                at += width * rows
                bias = weights[at : at + rows]
                at += rows
                scaled = weights[at : at + size]
                at += size
                if projected:
                    w_hr = weights[at : at + size * width].reshape((size, width))
                    at += size * width
                z = np.empty((length * batch, rows), x.dtype)
                multiply(x.reshape((length * batch, features)), w_ih, z)
                state, cells = h[layer * directions + direction], c[layer * directions + direction]
                first = direction * width
                for s in range(length):
                    t = length - 1 - s if direction else s
                    multiply(state, w_hh, sums)
                    for n in range(batch):
                        if packed and lengths[n] <= t:
                            continue
                        into = raw[n] if projected else state[n]
                        gates, own = z[t * batch + n], cells[n]
                        if equations == LSTM:
                            lstm_step(gates, sums[n], bias, into, own)
                        elif equations == GRU:
                            gru_step(gates, sums[n], bias, scaled, into)
                        elif equations == TANH:
                            rnn_step(gates, sums[n], bias, into)
                        else:
                            relu_step(gates, sums[n], bias, into)
                    if projected:
                        multiply(raw, w_hr, narrow)
                    for n in range(batch):
                        padding = packed and lengths[n] <= t
                        for j in range(width):
                            if projected and not padding:
                                state[n, j] = narrow[n, j]
                            above[t, n, first + j] = 0 if padding else state[n, j]
            x = above

    return run


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
    """``(N,)``: the steps of each sequence; nothing where the caller says nothing."""
    if lengths is None:
        return WHOLE
    if np.shape(lengths) != (batch,) or np.min(lengths) < 1 or np.max(lengths) > length:
        raise ValueError(f"lengths {lengths} do not fit {batch} sequences of {length} steps")
    return np.array(lengths, np.int64)


def prepared(config: Config, parameters: Mapping[str, Array], dtype: Any) -> Array:
    """All weights in the order in which ``run`` reads them, once a layer.

    Transposed, so that the rows of all gates lie beside one another. Both biases are one, but
    for that of GRU's new gate, of which the reset gate scales one half.
    """
    size, rows = config.hidden_size, len(config.kind.gates) * config.hidden_size
    parts: list[Array] = []
    for layer, direction in config.places():
        end = config.suffix(layer, direction)
        bias, scaled = np.zeros(rows, dtype), np.zeros(size, dtype)
        if config.bias:
            bias, recurrent = parameters["bias_ih" + end].copy(), parameters["bias_hh" + end]
            if config.kind.layer == "GRU":
                bias[: 2 * size] += recurrent[: 2 * size]
                scaled = recurrent[2 * size :]
            else:
                bias += recurrent
        parts += [parameters["weight_ih" + end].T, parameters["weight_hh" + end].T, bias, scaled]
        if config.proj_size:
            parts.append(parameters["weight_hr" + end].T)
    return np.concatenate([part.ravel() for part in parts])


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
    run = compiled(dtype.name)
    weights = prepared(config, parameters, dtype)
    rows, directions = len(config.kind.gates) * config.hidden_size, config.num_directions
    input_size, width = config.input_size, config.num_directions * config.output_size
    is_cell, has_cell_state = config.kind.is_cell, config.kind.has_cell_state

    def layer(input: Array, state: Any = None, lengths: Any = None) -> Any:
        x = time_major(config, input)
        if x.ndim != 3 or x.shape[0] == 0 or x.shape[2] != input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if input.dtype != dtype:
            raise TypeError(f"an input of {input.dtype} for weights of {dtype}")
        unbatched = input.ndim == 2 - is_cell
        if lengths is not None and (unbatched or is_cell):
            raise ValueError("lengths are for batches of sequences")
        length, batch = x.shape[:2]
        steps = own_lengths(length, batch, lengths)
        h, c = initial_states(config, input, state, batch)
        output = np.empty((length, batch, width), dtype)
        if batch:
            # Every other layout would be compiled anew.
            x = x if x.flags.carray else np.array(x, order="C")
            run(equations, weights, rows, directions, x, steps, h, c, output)
        h_n = as_asked(config, h, unbatched, is_state=True)
        h_or_pair = (h_n, as_asked(config, c, unbatched, is_state=True)) if has_cell_state else h_n
        return h_or_pair if is_cell else (as_asked(config, output, unbatched), h_or_pair)

    return layer
