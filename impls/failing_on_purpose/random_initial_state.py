"""Fails on purpose: an initial state of random numbers where the caller gives none.

The examples in PyTorch's documentation draw ``h0 = torch.randn(2, 3, 20)`` to have
something to pass; models copied from them draw it at each call, and the same input gives
another output every time.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from rnn_conformance import drop_in

MISTAKE = (
    "Where no state is given it is drawn with torch.randn instead of being zero, as in models "
    "copied from the examples in PyTorch's documentation."
)


class RandomState(torch.nn.RNNBase):
    """Put before one of ``torch.nn``'s layers among a class's bases."""

    rnn_conformance: ClassVar = {"fails_on_purpose": MISTAKE}

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the layer's own, but for a state that is not given."""
        if hx is not None or not isinstance(input, Tensor):
            return super().forward(input, hx)
        states = self.num_layers * (2 if self.bidirectional else 1)
        batch = (input.shape[0 if self.batch_first else 1],) if input.dim() == 3 else ()
        h_0 = torch.randn(states, *batch, self.proj_size or self.hidden_size).to(input.dtype)
        if self.mode != "LSTM":
            return super().forward(input, h_0)
        c_0 = torch.randn(states, *batch, self.hidden_size).to(input.dtype)
        return super().forward(input, (h_0, c_0))


class LSTM(RandomState, torch.nn.LSTM):
    """``torch.nn.LSTM`` that starts anywhere."""


class GRU(RandomState, torch.nn.GRU):
    """``torch.nn.GRU`` that starts anywhere."""


lstm = drop_in(LSTM, name="random_initial_state.LSTM")
gru = drop_in(GRU, name="random_initial_state.GRU")
