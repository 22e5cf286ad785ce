"""Layers that are right and refuse one feature, as layers do that do not have it."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from rnn_conformance.spec.config import Config, Feature, Kind


def refusing(feature: Feature, kind: Kind, *, declared: bool = False) -> type[nn.Module]:
    """``torch.nn``'s class, which refuses a feature: in its declaration, unless ``declared``.

    A constructor's argument is refused as one that there is not, by ``TypeError``; what a call
    asks for by ``NotImplementedError``.
    """
    base: Any = getattr(nn, kind.value)
    left_out = [] if declared else [feature.value]

    class Refusing(base):  # type: ignore[misc]
        rnn_conformance: ClassVar = {"without": left_out, "kind": kind.value}

        def __init__(self, *args: Any, **keywords: Any) -> None:
            names = {"device", "dtype"}
            given = {name: value for name, value in keywords.items() if name not in names}
            config = Config(kind, **{"input_size": 1, "hidden_size": 99, **given})
            if feature in config.features:
                raise TypeError(f"no {feature}")
            super().__init__(*args, **keywords)

        def forward(self, input: Any, hx: Any = None) -> Any:
            dense = isinstance(input, torch.Tensor)
            asked = {
                Feature.PACKED: not dense,
                Feature.UNSORTED: not dense and input.sorted_indices is not None,
                Feature.INITIAL_STATE: hx is not None,
                Feature.OMITTED_STATE: hx is None,
                Feature.BIDIRECTIONAL_STATE: hx is not None
                and getattr(self, "bidirectional", False),
                Feature.UNBATCHED: dense and input.dim() == 2 - kind.is_cell,
                Feature.EMPTY_BATCH: dense and 0 in input.shape,
            }
            if asked.get(feature):
                raise NotImplementedError(f"no {feature}")
            return super().forward(input, hx)

    return Refusing
