"""TorchRL's LSTM, GRU and their cells, written in Python so that ``vmap`` and ``compile`` see them.

They subclass ``torch.nn``'s base classes, with the same parameters. Declared is what their
docstrings claim, which end with those of ``torch.nn`` (the LSTM "behaves exactly like
``torch.nn.LSTM``"): all of it, but two directions, which the constructors say are not supported
yet. https://docs.pytorch.org/rl/stable/reference/generated/torchrl.modules.LSTM.html
"""

from typing import Any

from torchrl.modules.tensordict_module import rnn

from rnn_conformance import drop_in

CELL: dict[str, Any] = {"packages": ["torchrl", "torch"]}
LAYER = {**CELL, "without": ["bidirectional"]}


class LSTM(rnn.LSTM):
    """Claims everything but two directions."""

    rnn_conformance = LAYER


class GRU(rnn.GRU):
    """Claims everything but two directions."""

    rnn_conformance = LAYER


class LSTMCell(rnn.LSTMCell):
    """Claims everything."""

    rnn_conformance = CELL


class GRUCell(rnn.GRUCell):
    """Claims everything."""

    rnn_conformance = CELL


lstm = drop_in(LSTM, name="torchrl.LSTM")
gru = drop_in(GRU, name="torchrl.GRU")
lstm_cell = drop_in(LSTMCell, name="torchrl.LSTMCell")
gru_cell = drop_in(GRUCell, name="torchrl.GRUCell")
