# ruff: noqa: N806 - the names are the book's
"""An LSTM as textbooks write it, and what it takes to make one conform.

The book's LSTM has four input matrices, four recurrent ones and one bias a gate, all to
be multiplied from the left (``x @ W``), and a state without a dimension for layers. See
Zhang et al., "Dive into Deep Learning", ch. 10.1, https://d2l.ai/chapter_recurrent-modern/lstm.html
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rnn_conformance import Config, implementation

Gate: TypeAlias = tuple[Tensor, Tensor, Tensor]
FEATURES = {"initial_state", "empty_batch"}


def lstm(
    inputs: Tensor, state: tuple[Tensor, Tensor], params: list[Gate]
) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """The book's: ``inputs`` ``(L, N, H_in)``, ``state`` a pair of ``(N, H)``."""
    (W_xi, W_hi, b_i), (W_xf, W_hf, b_f), (W_xo, W_ho, b_o), (W_xc, W_hc, b_c) = params
    H, C = state
    outputs = []
    for X in inputs:
        input_gate = torch.sigmoid(X @ W_xi + H @ W_hi + b_i)
        forget_gate = torch.sigmoid(X @ W_xf + H @ W_hf + b_f)
        output_gate = torch.sigmoid(X @ W_xo + H @ W_ho + b_o)
        candidate = torch.tanh(X @ W_xc + H @ W_hc + b_c)
        C = forget_gate * C + input_gate * candidate
        H = output_gate * torch.tanh(C)
        outputs.append(H)
    return outputs, (H, C)


def textbook_params(parameters: Mapping[str, Any]) -> list[Gate]:
    """Transposed, the two biases added, and from PyTorch's order i, f, g, o to i, f, o, g."""
    weight_ih, weight_hh, bias_ih, bias_hh = map(torch.tensor, parameters.values())
    i, f, g, o = zip(
        weight_ih.T.chunk(4, dim=1),
        weight_hh.T.chunk(4, dim=1),
        (bias_ih + bias_hh).chunk(4),
        strict=True,
    )
    return [i, f, o, g]


@implementation(kinds=["LSTM"], features=FEATURES)
def textbook_lstm(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``FunctionImplementation`` in ``numpy_function`` for the layouts."""
    if missing := config.features - FEATURES:
        raise NotImplementedError(f"the book's LSTM has no {', '.join(sorted(missing))}")
    params = textbook_params(parameters)

    @torch.no_grad()
    def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
        if input.ndim != 3 or len(input) == 0 or lengths is not None:
            raise NotImplementedError("the book's LSTM takes whole batches (L, N, H_in), L > 0")
        x = torch.tensor(input)
        shape = (1, x.shape[1], config.hidden_size)
        h, c = (x.new_zeros(shape),) * 2 if state is None else map(torch.tensor, state)
        if not (h.shape == c.shape == shape and h.dtype == c.dtype == x.dtype):
            raise ValueError(f"h_0 and c_0 must have the shape {shape} and be {x.dtype}")
        outputs, (h, c) = lstm(x, (h[0], c[0]), params)
        return torch.stack(outputs).numpy(), (h[None].numpy(), c[None].numpy())

    return layer
