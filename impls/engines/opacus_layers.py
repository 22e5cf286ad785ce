"""Opacus' DPRNN, DPLSTM, DPGRU and their cells, whose gradients are kept sample by sample.

Each cell is two ``Linear`` layers, whose weights are ``torch.nn``'s ``weight_ih`` and
``weight_hh``; the layers save and load them under ``torch.nn``'s names. Declared is what
https://opacus.ai/api/dp_rnn.html says: each is a "drop-in replacement" of ``torch.nn``'s, whose
documentation it refers to; ``proj_size`` is not implemented, inputs are batches or packed, and
there is no ``device`` and no ``dtype``.
"""

from typing import Any

from opacus.layers import dp_rnn

from rnn_conformance import drop_in

LAYER: dict[str, Any] = {
    "without": ["unbatched"],
    "factory_arguments": False,
    "packages": ["opacus", "torch"],
}
WITHOUT_PROJECTION = {**LAYER, "without": ["unbatched", "projection"]}
CELL: dict[str, Any] = {
    "parameters": {
        f"{sort}_{end}": f"{end}.{sort}" for sort in ("weight", "bias") for end in ("ih", "hh")
    },
    "factory_arguments": False,
    "packages": ["opacus", "torch"],
}


class DPRNN(dp_rnn.DPRNN):
    """Claims batches and packed sequences."""

    rnn_conformance = LAYER


class DPLSTM(dp_rnn.DPLSTM):
    """Claims batches and packed sequences, without projection."""

    rnn_conformance = WITHOUT_PROJECTION


class DPGRU(dp_rnn.DPGRU):
    """Claims batches and packed sequences."""

    rnn_conformance = LAYER


class DPRNNCell(dp_rnn.DPRNNCell):
    """Claims everything."""

    rnn_conformance = CELL


class DPLSTMCell(dp_rnn.DPLSTMCell):
    """Claims everything."""

    rnn_conformance = CELL


class DPGRUCell(dp_rnn.DPGRUCell):
    """Claims everything."""

    rnn_conformance = CELL


rnn = drop_in(DPRNN, name="opacus.DPRNN")
lstm = drop_in(DPLSTM, name="opacus.DPLSTM")
gru = drop_in(DPGRU, name="opacus.DPGRU")
rnn_cell = drop_in(DPRNNCell, name="opacus.DPRNNCell")
lstm_cell = drop_in(DPLSTMCell, name="opacus.DPLSTMCell")
gru_cell = drop_in(DPGRUCell, name="opacus.DPGRUCell")
