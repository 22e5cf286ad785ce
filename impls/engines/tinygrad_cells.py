"""tinygrad's ``nn.LSTMCell`` on the CPU.

Matrices, biases and the order of gates are ``torch.nn``'s. A cell takes a batch, and zeros where
it is given no state. Each new shape is compiled, by clang. Gradients are ``Tensor.gradient``'s.

Declared is what https://docs.tinygrad.org/nn/ says, whose source refers to ``torch.nn``'s.
"""

from collections.abc import Callable, Mapping
from shutil import which
from typing import Any

import numpy as np
from tinygrad import Tensor
from tinygrad.nn import LSTMCell

from rnn_conformance import Config, implementation

if not which("clang"):
    raise ImportError("tinygrad compiles with clang, which is not installed")

DEVICE = "CPU"


def tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Of copies: the caller may change its own."""
    return {name: Tensor(np.array(array), device=DEVICE) for name, array in arrays.items()}


def finals(config: Config, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the cell returns for its parameters, ``input`` and states, by name."""
    cell: Any = LSTMCell(config.input_size, config.hidden_size, config.bias)
    for name in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if config.bias else ())):
        setattr(cell, name, given[name])
    h_n, c_n = cell(given["input"], (given["h_0"], given["c_0"]) if "h_0" in given else None)
    return h_n, c_n


@implementation(
    kinds=["LSTMCell"],
    features=["bias_free", "initial_state"],
    level="training",
    compiles_per_shape=True,
    name="tinygrad",
    packages=["tinygrad"],
)
def tinygrad_cells(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """A cell over ``(N, input)`` and states of ``(N, H)``."""

    def given(input: Any, state: Any) -> dict[str, Any]:
        if input.ndim == 1:
            raise NotImplementedError("not available: unbatched")
        if len(input) == 0:
            raise NotImplementedError("not available: empty_batch")
        if input.ndim != 2 or input.shape[1] != config.input_size:
            raise ValueError(f"an input of shape {input.shape} does not fit {config}")
        if state is not None and not (isinstance(state, tuple) and len(state) == 2):
            raise ValueError("the state is a pair (h, c)")
        states = dict(zip(("h_0", "c_0"), state or (), strict=False))
        for name, part in states.items():
            if part.shape != (len(input), config.hidden_size):
                raise ValueError(f"{name} of shape {part.shape} does not fit {config}")
        arrays = {**parameters, "input": input, **states}
        if len({array.dtype for array in arrays.values()}) != 1:
            raise TypeError("input, states and parameters are of one dtype")
        return arrays

    def cell(input: Any, state: Any = None) -> Any:
        return tuple(part.numpy() for part in finals(config, tensors(given(input, state))))

    def vjp(cotangents: Mapping[str, Any], input: Any, state: Any = None) -> dict[str, Any]:
        own = tensors(given(input, state))
        parts = zip(("h_n", "c_n"), finals(config, own), strict=True)
        loss = sum(
            (part * Tensor(cotangents[name], device=DEVICE)).sum()
            for name, part in parts
            if name in cotangents
        )
        gradients = loss.gradient(*own.values())
        return {name: part.numpy() for name, part in zip(own, gradients, strict=True)}

    cell.vjp = vjp  # type: ignore[attr-defined]  # as an interface of functions has it
    return cell
