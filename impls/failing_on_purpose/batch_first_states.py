"""Fails on purpose: ``batch_first`` that moves the states, too.

The name suggests it, and wrappers "fix" it: states go in and come out as ``(N, D*K, H)``.
In ``torch.nn`` they are ``(D*K, N, H)`` whatever ``batch_first`` says.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance import drop_in


class GRU(torch.nn.GRU):
    """``torch.nn.GRU`` whose states follow ``batch_first``."""

    rnn_conformance: ClassVar = {
        "fails_on_purpose": "batch_first moves the states too, to (N, D*K, H), as wrappers do "
        "that take the argument's name at its word."
    }

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """As the layer's own, with the states' first two dimensions swapped."""
        if not self.batch_first or isinstance(input, PackedSequence) or input.dim() != 3:
            return super().forward(input, hx)
        h_0 = None if hx is None else hx.transpose(0, 1).contiguous()
        output, h_n = super().forward(input, h_0)
        return output, h_n.transpose(0, 1)


batch_first_states = drop_in(GRU, name="batch_first_states")
