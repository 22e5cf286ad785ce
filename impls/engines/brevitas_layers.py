"""Brevitas' QuantRNN and QuantLSTM with every quantizer left out.

``load_state_dict`` takes ``torch.nn``'s parameters, and adds the two biases, of which they have
one. Declared is what https://xilinx.github.io/brevitas/tutorials/quant_recurrent.html says: they
support all arguments of ``torch.nn``'s, of which their signatures have no ``dropout`` and no
``proj_size``; their ``forward`` is the same but for packed and unbatched inputs; without quantizers
they behave as the layers in floating point.
"""

from typing import Any

import torch
from brevitas import nn

from rnn_conformance import drop_in

WITHOUT = ["packed", "unbatched", "dropout", "initial_state+multi_layer"]
DECLARED: dict[str, Any] = {
    "without": WITHOUT,
    "level": "training",
    "packages": ["brevitas", "torch"],
    "notes": [
        "Several layers in one direction take no state: the second reads hx[2], as if there were "
        "two directions, and raises."
    ],
}
WITHOUT_PROJECTION = {**DECLARED, "without": [*WITHOUT, "projection"]}
QUANTIZERS = ("weight_quant", "bias_quant", "io_quant", "gate_acc_quant")


class QuantRNN(nn.QuantRNN):
    """Claims batches."""

    rnn_conformance = DECLARED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, **dict.fromkeys(QUANTIZERS))


class QuantLSTM(nn.QuantLSTM):
    """Claims batches; its two states are two arguments, which is said nowhere."""

    rnn_conformance = WITHOUT_PROJECTION

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        others = ("sigmoid_quant", "tanh_quant", "cell_state_quant")
        super().__init__(*args, **kwargs, **dict.fromkeys((*QUANTIZERS, *others)))

    def forward(self, input: torch.Tensor, hx: Any = None) -> Any:
        """With the pair of states as one argument."""
        return super().forward(input, *(hx or ()))


rnn = drop_in(QuantRNN, name="brevitas.QuantRNN")
lstm = drop_in(QuantLSTM, name="brevitas.QuantLSTM")
