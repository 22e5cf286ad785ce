"""Dtypes that are lost or cast in silence (TYP)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, cast, data_of
from rnn_conformance.spec.clauses import LAYERS

DTYPES = Chapter("Types")


@DTYPES.add(
    "an omitted state that is always float32",
    "TYP-1",
    source="apache/mxnet#7589, fangwei123456/spikingjelly#656",
    crashes=True,
)
class _DefaultStateFloat32(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and isinstance(input, Tensor) and input.dtype != torch.float32:
            raise RuntimeError("expected the hidden state and the input to be of one dtype")
        return super().forward(input, hx)


@DTYPES.add("final states in float64", "TYP-1", source="keras-team/keras#2209")
class _FinalStateFloat64(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if isinstance(self, nn.RNNCellBase):
            return mapped(Tensor.double, returned)
        return returned[0], mapped(Tensor.double, returned[1])


@DTYPES.add("results of half-precision calls in float32", "TYP-1")
class _HalfInFloat32(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        half = data_of(input).dtype in (torch.float16, torch.bfloat16)
        return mapped(Tensor.float, returned) if half else returned


@DTYPES.add("no bfloat16", "TYP-1", source="pytorch/pytorch#116925", crashes=True)
class _NoBfloat16(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if data_of(input).dtype is torch.bfloat16:
            raise RuntimeError("not implemented for 'BFloat16'")
        return super().forward(input, hx)


@DTYPES.add("input and state cast to the weights' dtype in silence", "TYP-2 ERR-4")
class _CastsWhatItGets(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = next(self.parameters()).dtype
        return super().forward(cast(input, dtype), cast(hx, dtype))


@DTYPES.add("the state cast to the input's dtype in silence", "ERR-4", kinds=LAYERS)
class _CastsTheState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, cast(hx, data_of(input).dtype))
