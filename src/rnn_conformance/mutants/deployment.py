"""What is right in eager mode and wrong on the way out of it (DEP).

As cells whose steps are elementary operations of torch: ``torch.nn``'s own do not go every
way. What shows under torch's compiler alone is not here, since a quick run does not load it.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec.config import Kind

DEPLOYMENT = Chapter("Deployment")


class ByHand(nn.GRUCell):
    """Right: the equations in torch's elementary operations, each of which goes everywhere."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step."""
        xr, xz, xn = nn.functional.linear(input, self.weight_ih, self.bias_ih).chunk(3, -1)
        h = torch.zeros_like(xr) if hx is None else hx
        hr, hz, hn = nn.functional.linear(h, self.weight_hh, self.bias_hh).chunk(3, -1)
        r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
        return (1.0 - z) * torch.tanh(xn + r * hn) + z * h


def _add(
    name: str, breaks: str, *, crashes: bool = False
) -> Callable[[type[ByHand]], type[ByHand]]:
    def add(cls: type[ByHand]) -> type[ByHand]:
        def make(kind: Kind) -> Implementation:
            return drop_in(cls, name=name)

        DEPLOYMENT.put(name, breaks, make, kinds=[Kind.GRU_CELL], crashes=crashes)
        return cls

    return add


@_add("a number of the first input kept in its graph", "DEP-3")
class KeepsWhatItSawFirst(ByHand):
    """Eager mode never reads it again."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step."""
        offset = float(input.detach().sum()) * 1e-3
        return super().forward(input, hx) * (1.0 + offset) / (1.0 + input.detach().sum() * 1e-3)


@_add("its step computed in NumPy, behind torch's back", "DEP-3 DEP-5", crashes=True)
class OnlyByNumPy(ByHand):
    """No graph goes through an array of NumPy."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step."""
        return super().forward(torch.from_numpy(input.detach().numpy().copy()), hx)


@_add("another sign for a single sample, which is what vmap makes of each", "DEP-5 CEL-1")
class WrongWhenUnbatched(ByHand):
    """Right for every batch."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step."""
        result = super().forward(input, hx)
        return result if input.ndim == 2 else -result
