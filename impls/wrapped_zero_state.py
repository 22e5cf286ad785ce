"""Models around ``torch.nn``'s layers that make their own zero state where none is given.

What there is to get right: a pair for LSTM and a tensor for GRU and RNN; one state for each
layer and direction; ``proj_size`` for ``h_0`` but not for ``c_0``; no batch dimension for
unbatched input; the batch of a packed sequence; the dtype and the device of the input.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance import drop_in


class ZeroState(torch.nn.RNNBase):
    """Put before one of ``torch.nn``'s layers among a class's bases."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the layer's own, with a state in every case."""
        return super().forward(input, self.zero_state(input) if hx is None else hx)

    def zero_state(self, input: Tensor | PackedSequence) -> Any:
        """``(h_0, c_0)`` for LSTM, ``h_0`` for GRU and RNN."""
        batch: tuple[int, ...]
        if isinstance(input, PackedSequence):
            data, batch = input.data, (int(input.batch_sizes[0]),)
        elif input.dim() == 3:
            data, batch = input, (input.shape[0 if self.batch_first else 1],)
        else:
            data, batch = input, ()
        states = self.num_layers * (2 if self.bidirectional else 1)
        h_0 = data.new_zeros(states, *batch, self.proj_size or self.hidden_size)
        if self.mode != "LSTM":
            return h_0
        return h_0, data.new_zeros(states, *batch, self.hidden_size)


class LSTM(ZeroState, torch.nn.LSTM):
    """``torch.nn.LSTM`` with a pair of zeros."""


class GRU(ZeroState, torch.nn.GRU):
    """``torch.nn.GRU`` with one tensor of zeros."""


class RNN(ZeroState, torch.nn.RNN):
    """``torch.nn.RNN`` with one tensor of zeros."""


lstm = drop_in(LSTM, name="wrapped_zero_state.LSTM")
gru = drop_in(GRU, name="wrapped_zero_state.GRU")
rnn = drop_in(RNN, name="wrapped_zero_state.RNN")
