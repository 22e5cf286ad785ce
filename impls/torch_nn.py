"""PyTorch's own six classes, which everything here is measured by."""

import torch

from rnn_conformance import drop_in

# cuDNN multiplies in TF32 unless torch.backends.cudnn.allow_tf32 says otherwise.
rnn = drop_in(torch.nn.RNN, name="torch.nn.RNN", tf32=True)
lstm = drop_in(torch.nn.LSTM, name="torch.nn.LSTM", tf32=True)
gru = drop_in(torch.nn.GRU, name="torch.nn.GRU", tf32=True)
rnn_cell = drop_in(torch.nn.RNNCell, name="torch.nn.RNNCell")
lstm_cell = drop_in(torch.nn.LSTMCell, name="torch.nn.LSTMCell")
gru_cell = drop_in(torch.nn.GRUCell, name="torch.nn.GRUCell")
