"""``torch.nn``'s layers by torch's other ways: without oneDNN, and by its decompositions.

Without oneDNN (https://docs.pytorch.org/docs/stable/backends.html), an LSTM in float32 is made of
the steps that the other kinds and float64 are made of. The decompositions are what
``torch.export`` and ``torch.compile`` put in place of a layer: the Python dispatcher, which those
turn on, has the layer computed by them. Declared is all that ``torch.nn`` has.
"""

from typing import Any

import torch
from torch._dispatch.python import enable_python_dispatcher
from torch.backends import mkldnn

from rnn_conformance import drop_in


class WithoutOneDNN(torch.nn.RNNBase):
    """Put before one of ``torch.nn``'s layers among a class's bases."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the layer's own."""
        with mkldnn.flags(enabled=False):
            return super().forward(input, hx)


class Decomposed(torch.nn.RNNBase):
    """Put before one of ``torch.nn``'s layers among a class's bases."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the layer's own, and without oneDNN, which the decompositions know."""
        with mkldnn.flags(enabled=False), enable_python_dispatcher():
            return super().forward(input, hx)


class LSTMWithoutOneDNN(WithoutOneDNN, torch.nn.LSTM):
    """The only kind that oneDNN has."""


class DecomposedRNN(Decomposed, torch.nn.RNN):
    """By ``torch._decomp``."""


class DecomposedLSTM(Decomposed, torch.nn.LSTM):
    """By ``torch._decomp``."""


class DecomposedGRU(Decomposed, torch.nn.GRU):
    """By ``torch._decomp``."""


lstm = drop_in(LSTMWithoutOneDNN, name="torch without oneDNN.LSTM")
decomposed_rnn = drop_in(DecomposedRNN, name="torch._decomp.RNN")
decomposed_lstm = drop_in(DecomposedLSTM, name="torch._decomp.LSTM")
decomposed_gru = drop_in(DecomposedGRU, name="torch._decomp.GRU")
