"""PyTorch Forecasting's LSTM and GRU, ``torch.nn``'s with sequences that may be empty.

They subclass ``torch.nn``'s, and function as these where ``lengths`` is not given, says
https://pytorch-forecasting.readthedocs.io/en/stable/api/pytorch_forecasting.models.nn.rnn.RNN.html:
they claim everything. ``torch.nn`` has no sequences without steps: ``lengths`` is not asked for.
"""

from typing import Any

from pytorch_forecasting.models.nn import rnn

from rnn_conformance import drop_in

DECLARED: dict[str, Any] = {"packages": ["pytorch-forecasting", "torch"]}


class LSTM(rnn.LSTM):
    """Claims everything."""

    rnn_conformance = DECLARED


class GRU(rnn.GRU):
    """Claims everything."""

    rnn_conformance = DECLARED


lstm = drop_in(LSTM, name="pytorch-forecasting.LSTM")
gru = drop_in(GRU, name="pytorch-forecasting.GRU")
