"""torch's dynamically quantized LSTM, GRU and cells: weights of eight bits, or of float16.

``torch.ao.quantization.quantize_dynamic`` makes them of ``torch.nn``'s. With ``qint8``, each matrix
has one symmetric scale, and inputs and states are rounded to eight bits as well, with one scale a
call. With ``float16``, the matrices are kept in it, and it is computed in float32. Declared is what
https://docs.pytorch.org/docs/stable/generated/torch.ao.nn.quantized.dynamic.LSTM.html says:
``torch.nn``'s interface on tensors in float32, but for ``proj_size``, which there is none of;
GRU's page lists batches alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.ao.quantization import quantize_dynamic

from rnn_conformance import drop_in


def claims(weights: str, *without: str) -> dict[str, Any]:
    """What is declared of layers with their weights in these."""
    return {
        "without": list(without),
        "dtypes": ["float32"],
        "level": "inference",
        "weights": weights,
        "packages": ["torch"],
    }


class Dynamic(torch.nn.Module):
    """A layer of ``torch.nn`` that is quantized when it has got its parameters."""

    base: type[torch.nn.Module]
    rnn_conformance: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.layer = self.base(*args, **kwargs)
        if not self.layer.bias:
            # As it does itself, but not before there are parameters.
            raise NotImplementedError("quantize_dynamic refuses layers without biases")

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As the layer's own, and quantize it."""
        loaded = self.layer.load_state_dict(state_dict, *args, **kwargs)
        dtype = {"int8": torch.qint8}.get(self.rnn_conformance["weights"], torch.float16)
        model = torch.nn.Sequential(self.layer)
        (self.layer,) = quantize_dynamic(model, {self.base}, dtype)  # type: ignore[no-untyped-call]
        return loaded

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As the layer's own."""
        return self.layer(input, hx)


class Int8LSTM(Dynamic):
    """Claims ``torch.nn.LSTM``'s interface."""

    base = torch.nn.LSTM
    rnn_conformance = claims("int8", "projection")


class Int8GRU(Dynamic):
    """Claims batches and packed sequences."""

    base = torch.nn.GRU
    rnn_conformance = claims("int8", "unbatched")


class Int8RNNCell(Dynamic):
    """Claims ``torch.nn.RNNCell``'s interface."""

    base = torch.nn.RNNCell
    rnn_conformance = claims("int8")


class Int8LSTMCell(Dynamic):
    """Claims ``torch.nn.LSTMCell``'s interface."""

    base = torch.nn.LSTMCell
    rnn_conformance = claims("int8")


class Int8GRUCell(Dynamic):
    """Claims ``torch.nn.GRUCell``'s interface."""

    base = torch.nn.GRUCell
    rnn_conformance = claims("int8")


class Float16LSTM(Dynamic):
    """Claims ``torch.nn.LSTM``'s interface."""

    base = torch.nn.LSTM
    rnn_conformance = claims("float16", "projection")


class Float16GRU(Dynamic):
    """Claims batches and packed sequences."""

    base = torch.nn.GRU
    rnn_conformance = claims("float16", "unbatched")


class Float16RNNCell(Dynamic):
    """Claims ``torch.nn.RNNCell``'s interface."""

    base = torch.nn.RNNCell
    rnn_conformance = claims("float16")


class Float16LSTMCell(Dynamic):
    """Claims ``torch.nn.LSTMCell``'s interface."""

    base = torch.nn.LSTMCell
    rnn_conformance = claims("float16")


class Float16GRUCell(Dynamic):
    """Claims ``torch.nn.GRUCell``'s interface."""

    base = torch.nn.GRUCell
    rnn_conformance = claims("float16")


lstm = drop_in(Int8LSTM, name="torch dynamic int8.LSTM")
gru = drop_in(Int8GRU, name="torch dynamic int8.GRU")
rnn_cell = drop_in(Int8RNNCell, name="torch dynamic int8.RNNCell")
lstm_cell = drop_in(Int8LSTMCell, name="torch dynamic int8.LSTMCell")
gru_cell = drop_in(Int8GRUCell, name="torch dynamic int8.GRUCell")
half_lstm = drop_in(Float16LSTM, name="torch dynamic float16.LSTM")
half_gru = drop_in(Float16GRU, name="torch dynamic float16.GRU")
half_rnn_cell = drop_in(Float16RNNCell, name="torch dynamic float16.RNNCell")
half_lstm_cell = drop_in(Float16LSTMCell, name="torch dynamic float16.LSTMCell")
half_gru_cell = drop_in(Float16GRUCell, name="torch dynamic float16.GRUCell")
