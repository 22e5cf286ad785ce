"""PyTorch Forecasting's LSTM and GRU, ``torch.nn``'s with sequences that may be empty.

They subclass ``torch.nn``'s and "function as normal" where ``lengths`` is not given, as is said in
https://pytorch-forecasting.readthedocs.io/en/stable/api/pytorch_forecasting.models.nn.rnn.RNN.html,
and so claim everything. ``torch.nn`` has no sequences without steps: their ``lengths`` is not asked.
"""

from pytorch_forecasting.models.nn import rnn

from rnn_conformance import drop_in


class LSTM(rnn.LSTM):
    """Claims everything."""

    rnn_conformance = {"packages": ["pytorch-forecasting", "torch"]}


class GRU(rnn.GRU):
    """Claims everything."""

    rnn_conformance = {"packages": ["pytorch-forecasting", "torch"]}


lstm = drop_in(LSTM, name="pytorch-forecasting.LSTM")
gru = drop_in(GRU, name="pytorch-forecasting.GRU")
