# ruff: noqa: N806 - the names are the tutorial's
"""Fails on purpose: the LSTM of tutorials that return all steps' outputs in one long batch.

The recurrence is right. But the model's output layer is inside, its results are
concatenated over time, and the states have no dimension for layers and directions. So it
is in Zhang et al., "Dive into Deep Learning", ch. "Recurrent Neural Networks", and in the
many scripts made after it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from rnn_conformance import Config, implementation


@implementation(
    kinds=["LSTM"],
    features=["initial_state"],
    fails_on_purpose="The outputs of all steps are concatenated to (L*N, H) after an output layer, "
    "and the states are 2-D, as in tutorials that build a language model from scratch.",
)
def tutorial_time_concatenated(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """The tutorial's model; its output layer is as it is initialised there."""
    if config.features:
        raise NotImplementedError(f"the tutorial has no {', '.join(sorted(config.features))}")
    w_ih, w_hh, b_ih, b_hh = map(torch.tensor, parameters.values())
    generator = torch.Generator().manual_seed(0)
    size = config.hidden_size
    w_hq = 0.01 * torch.randn(size, size, generator=generator, dtype=w_ih.dtype)
    b_q = torch.zeros(size, dtype=w_ih.dtype)

    @torch.no_grad()
    def layer(inputs: Any, state: Any = None, lengths: Any = None) -> Any:
        if inputs.ndim != 3 or lengths is not None:
            raise NotImplementedError("the tutorial takes whole batches")
        X = torch.tensor(inputs)
        zeros = torch.zeros(X.shape[1], size, dtype=X.dtype)
        H, C = (zeros, zeros) if state is None else (torch.tensor(s[0]) for s in state)
        outputs = []
        for x in X:
            i, f, g, o = (x @ w_ih.T + H @ w_hh.T + b_ih + b_hh).chunk(4, dim=1)
            C = torch.sigmoid(f) * C + torch.sigmoid(i) * torch.tanh(g)
            H = torch.sigmoid(o) * torch.tanh(C)
            outputs.append(H @ w_hq + b_q)
        return torch.cat(outputs, dim=0).numpy(), (H.numpy(), C.numpy())

    return layer
