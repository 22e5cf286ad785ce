"""SpeechBrain's RNN, LSTM and GRU, which hold ``torch.nn``'s in an attribute ``rnn``.

They are batch-first, and take lengths as shares of the longest, of float32. Declared is what
https://speechbrain.readthedocs.io/en/latest/API/speechbrain.nnet.RNN.html says: several layers,
two directions, initial states, lengths and dropout, for batches. Their cells, of several layers,
are another interface than ``torch.nn``'s.

``speechbrain`` imports torchaudio, whose libraries do not load where torch is for the CPU alone.
Nothing of it is used here: an empty module stands in for it there.
"""

import importlib.machinery
import sys
import types
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

try:
    import torchaudio  # noqa: F401
except OSError:
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")
    # Looked at by what asks whether a package is installed.
    sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
import speechbrain.nnet.RNN

from rnn_conformance import drop_in

DECLARED: dict[str, Any] = {
    "without": ["unbatched"],
    "level": "training",
    "factory_arguments": False,
    "parameters": {
        role: f"rnn.{role}{{suffix}}" for role in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
    "packages": ["speechbrain", "torch"],
    "notes": ["Lengths are divided by the longest in float32, as shares of it."],
}


class Layer(torch.nn.Module):
    """Put before one of SpeechBrain's layers among a class's bases."""

    def __init__(
        self, input_size: int, hidden_size: int, batch_first: bool = False, **arguments: Any
    ) -> None:
        super().__init__(hidden_size, input_size=input_size, **arguments)
        self.batch_first = batch_first

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Lay out as the layer has it; a packed sequence becomes a batch with lengths."""
        if not isinstance(input, PackedSequence):
            output, state = super().forward(self.turned(input), hx)
            return self.turned(output), state
        x, lengths = pad_packed_sequence(input, batch_first=True)
        output, state = super().forward(x, hx, lengths / x.shape[1])
        if (order := input.sorted_indices) is not None:
            output, lengths = output[order], lengths[order.cpu()]
        data = pack_padded_sequence(output, lengths, batch_first=True).data
        return input._replace(data=data), state

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        """Batch-first from what the caller has, and the other way."""
        return x if self.batch_first else x.transpose(0, 1)


WITHOUT_PROJECTION = {**DECLARED, "without": ["unbatched", "projection"]}


class RNN(Layer, speechbrain.nnet.RNN.RNN):
    """Claims batches, with lengths."""

    rnn_conformance = DECLARED


class LSTM(Layer, speechbrain.nnet.RNN.LSTM):
    """Claims batches, with lengths, without projection."""

    rnn_conformance = WITHOUT_PROJECTION


class GRU(Layer, speechbrain.nnet.RNN.GRU):
    """Claims batches, with lengths."""

    rnn_conformance = DECLARED


rnn = drop_in(RNN, name="speechbrain.RNN")
lstm = drop_in(LSTM, name="speechbrain.LSTM")
gru = drop_in(GRU, name="speechbrain.GRU")
