"""Fails on purpose: the last step of the output taken for the final state.

Right for one direction. For two, the reverse direction's final state is at the *first*
step: ``output[-1]`` has seen one element of the sequence. Classifiers on top of
``output[-1]`` or ``output[:, -1]`` make this mistake by the thousand.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from rnn_conformance import drop_in


class GRU(torch.nn.GRU):
    """``torch.nn.GRU`` that reads its last layer's ``h_n`` off ``output[-1]``."""

    rnn_conformance: ClassVar = {
        "fails_on_purpose": "The reverse direction's final state is taken from output[-1], where "
        "it has read one element only, as in many classifiers on top of a bidirectional layer."
    }

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """As the layer's own, but for the last layer's final states."""
        output, h_n = super().forward(input, hx)
        if not isinstance(output, Tensor):
            return output, h_n
        batch_first = self.batch_first and output.dim() == 3
        last = output[:, -1] if batch_first else output[-1]
        directions = 2 if self.bidirectional else 1
        top = torch.stack(last.chunk(directions, dim=-1))
        return output, torch.cat([h_n[:-directions], top])


last_output_as_state = drop_in(GRU, name="last_output_as_state")
