"""LSTM, GRU and RNN in JavaScript, on Node."""

from pathlib import Path

from rnn_conformance import command

javascript_loops = command(["node", "javascript_loops.mjs"], folder=Path(__file__).parent)
