"""The operators beneath ``torch.nn``, called with a flat list of weights.

What remains of ``torch.nn``'s modules without their Python: the checks and the layouts
that those do are done here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import _VF, Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_conformance import Config, implementation

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "projection", "relu", "empty_batch"),
}
OPERATORS: dict[str, Callable[..., Any]] = {
    "tanh": _VF.rnn_tanh,
    "relu": _VF.rnn_relu,
    "LSTM": _VF.lstm,
    "GRU": _VF.gru,
}


def initial_states(config: Config, x: Tensor, state: Any, unbatched: bool) -> list[Tensor]:
    """``[h_0]``, or ``[h_0, c_0]`` for LSTM, with a batch dimension; zeros if not given."""
    widths = [config.output_size, config.hidden_size][: 1 + config.kind.has_cell_state]
    shapes = [(config.num_states, x.shape[1], width) for width in widths]
    if state is None:
        return [x.new_zeros(shape) for shape in shapes]
    pair = isinstance(state, tuple)
    if pair != config.kind.has_cell_state:
        raise ValueError("the state is a pair (h_0, c_0) for LSTM, h_0 for the others")
    states = []
    for given, shape in zip(state if pair else [state], shapes, strict=True):
        initial = torch.tensor(given)
        initial = initial.unsqueeze(1) if unbatched else initial
        if initial.shape != shape or initial.dtype != x.dtype:
            raise ValueError(f"a state of shape {given.shape} in {given.dtype} does not fit")
        states.append(initial)
    return states


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    dtypes=["float16", "float32", "float64"],
)
def torch_vf(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``FunctionImplementation`` in ``numpy_function`` for the layouts."""
    if missing := config.features - FEATURES:
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")
    operator = OPERATORS[config.nonlinearity if config.kind == "RNN" else config.kind]
    # The order of ``torch.nn``'s parameters is the order of the operators' weights.
    weights = [torch.tensor(array) for array in parameters.values()]
    no_dropout, training = 0.0, False
    options = (config.bias, config.num_layers, no_dropout, training, config.bidirectional)

    @torch.no_grad()
    def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
        unbatched = input.ndim == 2
        x = torch.tensor(input)
        if unbatched:
            x = x.unsqueeze(1)
        elif config.batch_first:
            x = x.transpose(0, 1)
        if x.ndim != 3 or x.shape[0] == 0 or x.shape[2] != config.input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if x.dtype != weights[0].dtype:
            raise TypeError(f"an input of {x.dtype} for weights of {weights[0].dtype}")
        states = initial_states(config, x, state, unbatched)
        if lengths is None:
            hx = tuple(states) if config.kind.has_cell_state else states[0]
            output, *finals = operator(x, hx, weights, *options, False)
        elif unbatched:
            raise ValueError("lengths are for batches of sequences")
        else:
            packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
            states = [s[:, packed.sorted_indices] for s in states]
            hx = tuple(states) if config.kind.has_cell_state else states[0]
            data, *finals = operator(packed.data, packed.batch_sizes, hx, weights, *options)
            finals = [s[:, packed.unsorted_indices] for s in finals]
            output, _ = pad_packed_sequence(packed._replace(data=data), total_length=len(x))
        if unbatched:
            output, *finals = (result.squeeze(1) for result in (output, *finals))
        elif config.batch_first:
            output = output.transpose(0, 1)
        h_n = finals[0].numpy()
        state = (h_n, finals[1].numpy()) if config.kind.has_cell_state else h_n
        return output.numpy(), state

    return layer
