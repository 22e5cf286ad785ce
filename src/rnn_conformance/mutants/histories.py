"""Layers that remember what they should not, and show it in a later call (STA-3, LIF, GRD-4)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin
from rnn_conformance.spec.clauses import LAYERS

HISTORIES = Chapter("Sequences of calls")


@HISTORIES.add("the answer of the first call to every call of its shape", "STA-3", kinds=LAYERS)
class _AnswersByShape(Mixin):
    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.answers: dict[Any, Any] = {}

    def forward(self, input: Any, hx: Any = None) -> Any:
        data = input.data if isinstance(input, PackedSequence) else input
        key = (data.shape, data.dtype, hx is None, data is input, torch.is_grad_enabled())
        if key not in self.answers:
            self.answers[key] = super().forward(input, hx)
        return self.answers[key]


@HISTORIES.add("the caller's input scaled after it was read", "MEM-1", kinds=LAYERS)
class _ScalesItsInput(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if isinstance(input, torch.Tensor) and not torch.is_grad_enabled():
            input.mul_(0.5)
        return returned


@HISTORIES.add("biases of zero after unpickling", "LIF-1")
class _ForgetsBiasesInPickles(Mixin):
    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith("bias"):
                    parameter.zero_()


@HISTORIES.add(
    "final states halved in evaluation once there was a training call", "LIF-2", kinds=LAYERS
)
class _RemembersTraining(Mixin):
    trained = False

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if self.training:
            self.trained = True
        elif self.trained:
            state = mapped(lambda array: 0.5 * array, state)
        return output, state


@HISTORIES.add(
    "weights prepared once with their gradient graph, through which a second backward fails",
    "GRD-4",
    kinds=LAYERS,
    crashes=True,
)
class _KeepsItsGraph(Mixin):
    prepared: dict[str, torch.Tensor] | None = None
    _flat_weights: list[Any]

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not torch.is_grad_enabled():
            return super().forward(input, hx)
        if self.prepared is None:
            prepared = {name: p * 1.0 for name, p in self.named_parameters()}
            object.__setattr__(self, "prepared", prepared)
        assert self.prepared is not None
        weights: list[Any] = [self.prepared[name] for names in self._all_weights for name in names]
        kept, self._flat_weights = self._flat_weights, weights
        try:
            return super().forward(input, hx)
        finally:
            self._flat_weights = kept
