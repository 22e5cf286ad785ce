"""Right cells that do something besides."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Acting(torch.nn.GRUCell):
    """Does something before it answers."""

    def act(self) -> Any:
        """What a subclass does in each call."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The right answer, after all."""
        self.act()
        return super().forward(input, hx)


class Answering(torch.nn.GRUCell):
    """Returns something else."""

    def answer(self, state: Tensor) -> Any:
        """What a subclass returns in place of the right state."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:
        """Not the state itself."""
        return self.answer(super().forward(input, hx))


class Constructed(torch.nn.GRUCell):
    """Does something before it is constructed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.construct()
        super().__init__(*args, **kwargs)

    def construct(self) -> Any:
        """What a subclass does."""
