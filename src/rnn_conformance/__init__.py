"""A conformance suite for recurrent layers: does yours do what ``torch.nn`` does?

``drop_in``, ``jax_cell``, ``jax_layers``, ``onnx_layers``, ``run`` and ``replay`` are loaded when
they are first used: they bring torch, jax, onnx and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnn_conformance.implementations.command import command
from rnn_conformance.implementations.numpy_function import implementation
from rnn_conformance.implementations.stacking import stacked
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level

if TYPE_CHECKING:
    from rnn_conformance.api import Results, replay, run
    from rnn_conformance.implementations.jax_layers import jax_cell, jax_layers
    from rnn_conformance.implementations.onnx_models import onnx_layers
    from rnn_conformance.implementations.torch_module import drop_in

__all__ = [
    "Config",
    "Dtype",
    "Feature",
    "Kind",
    "Level",
    "Results",
    "command",
    "drop_in",
    "implementation",
    "jax_cell",
    "jax_layers",
    "onnx_layers",
    "replay",
    "run",
    "stacked",
]


def __getattr__(name: str) -> Any:
    if name == "drop_in":
        from rnn_conformance.implementations.torch_module import drop_in

        return drop_in
    if name in ("jax_cell", "jax_layers"):
        from rnn_conformance.implementations import jax_layers

        return getattr(jax_layers, name)
    if name == "onnx_layers":
        from rnn_conformance.implementations.onnx_models import onnx_layers

        return onnx_layers
    if name in ("Results", "replay", "run"):
        from rnn_conformance import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
