"""``torch.nn``'s three cells, unrolled over time by hand.

Only full steps are computed: at each step of a padded batch, the cell is called for the
samples whose sequences have got there, and for no other.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rnn_conformance import Config, implementation

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "relu", "empty_batch"),
}


def cell(config: Config, parameters: Mapping[str, Any], place: tuple[int, int]) -> torch.nn.Module:
    """The cell of one layer and direction, with its parameters."""
    end = config.suffix(*place)
    state_dict = {
        name.removesuffix(end): torch.tensor(array)
        for name, array in parameters.items()
        if name.endswith(end)
    }
    arguments: dict[str, Any] = {"bias": config.bias, "dtype": state_dict["weight_ih"].dtype}
    if config.kind == "RNN":
        arguments["nonlinearity"] = config.nonlinearity
    cls = getattr(torch.nn, config.kind.cell)
    module: torch.nn.Module = cls(
        config.layer_input_size(place[0]), config.hidden_size, **arguments
    )
    module.load_state_dict(state_dict)
    return module


def unroll(
    cell: torch.nn.Module, x: Tensor, states: list[Tensor], lengths: Tensor, reverse: bool
) -> Tensor:
    """The outputs ``(L, N, H)``; ``states``, each ``(N, H)``, become the final ones."""
    output = x.new_zeros(*x.shape[:2], states[0].shape[1])
    times = range(len(x))
    for t in reversed(times) if reverse else times:
        here = lengths > t
        previous = [state[here] for state in states]
        new = (
            cell(x[t, here], tuple(previous))
            if len(previous) == 2
            else [cell(x[t, here], previous[0])]
        )
        for state, value in zip(states, new, strict=True):
            state[here] = value
        output[t, here] = new[0]
    return output


def initial_states(config: Config, x: Tensor, state: Any, unbatched: bool) -> list[Tensor]:
    """``[h_0]``, or ``[h_0, c_0]`` for LSTM, with a batch dimension; zeros if not given."""
    shape = (config.num_states, x.shape[1], config.hidden_size)
    if state is None:
        return [x.new_zeros(shape) for _ in range(1 + config.kind.has_cell_state)]
    pair = isinstance(state, tuple)
    if pair != config.kind.has_cell_state or (pair and len(state) != 2):
        raise ValueError("the state is a pair (h_0, c_0) for LSTM, h_0 for the others")
    states = [torch.tensor(given) for given in (state if pair else [state])]
    states = [tensor.unsqueeze(1) if unbatched else tensor for tensor in states]
    if any(tensor.shape != shape or tensor.dtype != x.dtype for tensor in states):
        raise ValueError(f"the state must have the shape {shape} and be {x.dtype}")
    return states


def check_lengths(x: Tensor, lengths: Any) -> Tensor:
    """``(N,)``: the steps of each sequence, all of them where the caller says nothing."""
    length, batch = x.shape[:2]
    if lengths is None:
        return torch.full((batch,), length)
    steps = torch.tensor(lengths)
    if steps.shape != (batch,) or steps.min() < 1 or steps.max() > length:
        raise ValueError(f"lengths {lengths} do not fit {batch} sequences of {length} steps")
    return steps


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    dtypes=["float16", "float32", "float64"],
)
def torch_cells(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``FunctionImplementation`` in ``numpy_function`` for the layouts."""
    if missing := config.features - FEATURES:
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")
    cells = [cell(config, parameters, place) for place in config.places()]
    dtype = torch.tensor(parameters["weight_ih_l0"]).dtype

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
        if x.dtype != dtype:
            raise TypeError(f"an input of {x.dtype} for weights of {dtype}")
        if unbatched and lengths is not None:
            raise ValueError("lengths are for batches of sequences")
        own_lengths = check_lengths(x, lengths)
        states = initial_states(config, x, state, unbatched)
        for below in range(0, config.num_states, config.num_directions):
            halves = []
            for direction in range(config.num_directions):
                k = below + direction
                at_place = [initial[k] for initial in states]
                halves.append(unroll(cells[k], x, at_place, own_lengths, direction == 1))
            x = torch.cat(halves, dim=-1)
        if unbatched:
            x, *states = (result.squeeze(1) for result in (x, *states))
        elif config.batch_first:
            x = x.transpose(0, 1)
        h_n = states[0].numpy()
        return x.numpy(), (h_n, states[1].numpy()) if config.kind.has_cell_state else h_n

    return layer
