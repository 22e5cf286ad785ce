"""PyTorch's own six classes, which everything here is measured by."""

import torch

from rnn_conformance import drop_in

rnn = drop_in(torch.nn.RNN, name="torch.nn.RNN")
lstm = drop_in(torch.nn.LSTM, name="torch.nn.LSTM")
gru = drop_in(torch.nn.GRU, name="torch.nn.GRU")
rnn_cell = drop_in(torch.nn.RNNCell, name="torch.nn.RNNCell")
lstm_cell = drop_in(torch.nn.LSTMCell, name="torch.nn.LSTMCell")
gru_cell = drop_in(torch.nn.GRUCell, name="torch.nn.GRUCell")
