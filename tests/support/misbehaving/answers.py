"""What returns something else than a state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.support.misbehaving.acting import Answering


class ReturnsNone(Answering):
    """returns None"""

    def answer(self, state: Tensor) -> Any:
        return None


class ReturnsNoneAlways(torch.nn.GRUCell):
    """returns None in each call"""

    def forward(self, *args: Any) -> Any:
        return None


class ReturnsList(Answering):
    """returns a list"""

    def answer(self, state: Tensor) -> Any:
        return [state]


class ReturnsGenerator(Answering):
    """returns a generator"""

    def answer(self, state: Tensor) -> Any:
        return (row for row in state)


class ReturnsCoroutine(Answering):
    """returns a coroutine"""

    async def answer(self, state: Tensor) -> Any:
        return state


class ReturnsPair(Answering):
    """returns two states where one is due"""

    def answer(self, state: Tensor) -> Any:
        return state, state


class ReturnsOnePart(torch.nn.LSTM):
    """returns the output without the states"""

    def forward(self, *args: Any) -> Any:
        return super().forward(*args)[0]


class ReturnsThreeParts(torch.nn.LSTM):
    """returns three parts where two are due"""

    def forward(self, *args: Any) -> Any:
        output, (h_n, c_n) = super().forward(*args)
        return output, h_n, c_n


class ReturnsNumpy(Answering):
    """returns a NumPy array"""

    def answer(self, state: Tensor) -> Any:
        return state.detach().numpy()


class ReturnsWords(Answering):
    """returns a string"""

    def answer(self, state: Tensor) -> Any:
        return "state"


class Pretender:
    """Raises whatever it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


class ReturnsPretender(Answering):
    """returns an object whose every attribute raises"""

    def answer(self, state: Tensor) -> Any:
        return Pretender()


class ReturnsNested(Answering):
    """returns a tuple, 5000 deep"""

    def answer(self, state: Tensor) -> Any:
        nested: Any = state
        for _ in range(5000):
            nested = (nested,)
        return nested


class ReturnsEndless(Answering):
    """returns a list that contains itself"""

    def answer(self, state: Tensor) -> Any:
        endless: list[Any] = [state]
        endless.append(endless)
        return endless


class ReturnsMeta(Answering):
    """returns a tensor without values"""

    def answer(self, state: Tensor) -> Any:
        return state.to("meta")


class ReturnsSparse(Answering):
    """returns a sparse tensor"""

    def answer(self, state: Tensor) -> Any:
        return state.to_sparse()


class ReturnsHuge(Answering):
    """returns a tensor of 10**15 elements in the memory of one"""

    def answer(self, state: Tensor) -> Any:
        return state.new_zeros(1).expand(10**15)
