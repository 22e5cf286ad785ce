"""Layers that a data-parallel wrapper replicates in vain (LIF-4)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rnn_conformance.mutants.mutant import Chapter, Mixin, both
from rnn_conformance.mutants.reading import Keeping, Read, Reading
from rnn_conformance.spec.clauses import LAYERS

REPLICAS = Chapter("Replicas")


def is_replica(module: Any) -> bool:
    """Whether it was replicated."""
    return bool(getattr(module, "_is_replica", False))


@REPLICAS.add(
    "a look at its first parameter, which a replica does not have",
    "LIF-4",
    source="quynhneo/detm-arxiv#3",
    crashes=True,
)
class _AsksItsParameters(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = next(self.parameters()).dtype
        if hx is not None and any(state.dtype != dtype for state in both(hx)):
            raise ValueError(f"the state is not {dtype}")
        return super().forward(input, hx)


@REPLICAS.add(
    "replicas that compute with the original's parameters",
    "LIF-4",
    source="pytorch/pytorch#33552",
)
class _ComputesWithTheOriginals(Keeping):
    def one(self, name: str) -> Tensor:
        return self.first[name] if is_replica(self) else super().one(name)


@REPLICAS.add("replicas without biases", "LIF-4", source="pytorch/pytorch#36035")
class _CountsBiases(Reading):
    def one(self, name: str) -> Tensor:
        tensor = super().one(name)
        absent = name.startswith("bias") and name not in self._parameters
        return torch.zeros_like(tensor) if absent and is_replica(self) else tensor


@REPLICAS.add("weights kept for all replicas together", "LIF-4")
class _SharesItsCache(Reading):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.kept: Read = {}

    def one(self, name: str) -> Tensor:
        # A replica is a shallow copy: what is in the dictionary is everybody's.
        if is_replica(self):
            return self.kept.setdefault(name, super().one(name).detach().clone())
        return super().one(name)


@REPLICAS.add(
    "one list of weights for itself and its replicas",
    "LIF-4",
    kinds=LAYERS,
    source="pytorch/pytorch#33907",
)
class _SharesItsList(Mixin):
    def _replicate_for_data_parallel(self) -> Any:
        return nn.Module._replicate_for_data_parallel(self)  # type: ignore[no-untyped-call]


@REPLICAS.add("no gradient through a replica", "LIF-4")
class _DetachesInReplicas(Reading):
    def one(self, name: str) -> Tensor:
        tensor = super().one(name)
        return tensor.detach() if is_replica(self) else tensor


@REPLICAS.add("a state of zeros in replicas", "LIF-4")
class _ForgetsTheState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, None if is_replica(self) else hx)
