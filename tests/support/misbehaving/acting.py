"""Right cells that do something besides, but not at once: their first calls are all right."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

FIRST = 20
"""The call of a process in which it begins: in the middle of a check."""


class Acting(torch.nn.GRUCell):
    """Does something before it answers."""

    calls = itertools.count(1)

    def act(self) -> Any:
        """What a subclass does in each call."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The right answer, after all."""
        if next(self.calls) >= FIRST:
            self.act()
        return super().forward(input, hx)


class Answering(torch.nn.GRUCell):
    """Returns something else."""

    calls = itertools.count(1)

    def answer(self, state: Tensor) -> Any:
        """What a subclass returns in place of the right state."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Any:
        """Not the state itself."""
        state = super().forward(input, hx)
        return self.answer(state) if next(self.calls) >= FIRST else state


class Constructed(torch.nn.GRUCell):
    """Does something before it is constructed: never one is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.construct()
        super().__init__(*args, **kwargs)

    def construct(self) -> Any:
        """What a subclass does."""
