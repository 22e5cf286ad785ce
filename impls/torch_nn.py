"""PyTorch's own six classes, which everything here is measured by."""

import torch
from rnn_conformance import drop_in

rnn = drop_in(torch.nn.RNN, name="torch.nn")
lstm = drop_in(torch.nn.LSTM, name="torch.nn")
gru = drop_in(torch.nn.GRU, name="torch.nn")
rnn_cell = drop_in(torch.nn.RNNCell, name="torch.nn")
lstm_cell = drop_in(torch.nn.LSTMCell, name="torch.nn")
gru_cell = drop_in(torch.nn.GRUCell, name="torch.nn")
