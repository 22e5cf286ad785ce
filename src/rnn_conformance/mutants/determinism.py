"""Results that another run or another thread changes (DET)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

DETERMINISM = Chapter("Determinism and concurrency")


def _sometimes_stale(name: str, kind: Kind) -> Implementation:
    calls = itertools.count()

    # Counted over all modules of one implementation, since a check may make one for each case.
    class Stale(Mixin):
        def forward(self, input: Any, hx: Any = None) -> Any:
            returned = super().forward(input, hx)
            wrong = 0.25 * (next(calls) % 7 == 6)
            return mapped(lambda array: array + wrong, returned)

    return drop_in(type("Stale", (Stale, getattr(nn, kind.value)), {}), name=name)


_STALE = "a stale buffer counted in at every seventh call"
DETERMINISM.put(
    _STALE, "DET-1", partial(_sometimes_stale, _STALE), source="tensorflow/tensorflow#60192"
)


@DETERMINISM.add("noise in the final states, drawn anew by each call", "DET-1")
class _DrawsNoise(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        def noisy(state: Tensor) -> Tensor:
            return state + 0.1 * torch.rand_like(state)

        returned = super().forward(input, hx)
        if isinstance(self, nn.RNNCellBase):
            return mapped(noisy, returned)
        return returned[0], mapped(noisy, returned[1])


@DETERMINISM.add(
    "dropout masks that no seed decides", "DRP-4", kinds=LAYERS, source="pytorch/pytorch#18110"
)
class _DropsFromEntropy(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.training and self.dropout:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.seed()
                return super().forward(input, hx)
        return super().forward(input, hx)


@DETERMINISM.add("its input passed through a buffer that threads share", "DET-2")
class _SharedScratch(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        self.__dict__["_scratch"] = input
        time.sleep(0.0)
        return super().forward(self.__dict__["_scratch"], hx)


@DETERMINISM.add("a weight that is another for a moment", "DET-2")
class _NegatesAWeightForAMoment(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        weight = next(iter(self.parameters()))
        with torch.no_grad():
            weight.neg_()
            time.sleep(0.0)
            weight.neg_()
        return super().forward(input, hx)
