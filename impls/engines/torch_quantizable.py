"""torch's ``quantizable.LSTM`` and ``LSTMCell``, made of parts for observers, not yet quantized.

Each direction of each layer is a cell of two ``Linear`` layers, whose weights are ``torch.nn``'s
``weight_ih`` and ``weight_hh``. Declared is what
https://docs.pytorch.org/docs/stable/generated/torch.ao.nn.quantizable.LSTM.html says: it refers to
``torch.nn.LSTM`` for its arguments, of which it has no ``proj_size`` and ignores ``dropout``, with
a warning that sends to ``torch.nn.LSTM`` for training.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.ao.nn import quantizable

from rnn_conformance import drop_in

PARTS = {"ih": "igates", "hh": "hgates"}
LAYER: dict[str, Any] = {
    "without": ["projection", "dropout", "bidirectional+multi_layer"],
    "level": "inference",
    "packages": ["torch"],
    "notes": [
        "Made with several layers in two directions, those above the first take an input of half "
        "the width that they are given, and raise; what from_float makes does not."
    ],
}
CELL: dict[str, Any] = {
    "parameters": {
        f"{sort}_{end}": f"{part}.{sort}"
        for sort in ("weight", "bias")
        for end, part in PARTS.items()
    },
    "level": "inference",
    "packages": ["torch"],
    "notes": ["It calls input_size input_dim, and hidden_size hidden_dim."],
}
PATHS = {"": "layer_fw", "_reverse": "layer_bw"}


def renamed(name: str) -> str:
    """The name here of one of ``torch.nn``'s parameters, such as ``bias_hh_l0_reverse``."""
    sort, part, place, *rest = name.split("_")
    path = PATHS["_reverse" if rest else ""]
    return f"layers.{place.removeprefix('l')}.{path}.cell.{PARTS[part]}.{sort}"


class LSTM(quantizable.LSTM):
    """Claims everything but projection, dropout and stacks in two directions, for inference."""

    rnn_conformance = LAYER

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As a module's, of parameters under ``torch.nn``'s names."""
        given = {renamed(name): value for name, value in state_dict.items()}
        return super().load_state_dict(given, *args, **kwargs)


class LSTMCell(quantizable.LSTMCell):
    """Claims everything, for inference."""

    rnn_conformance = CELL

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)


lstm = drop_in(LSTM, name="torch.ao.nn.quantizable.LSTM")
lstm_cell = drop_in(LSTMCell, name="torch.ao.nn.quantizable.LSTMCell")
