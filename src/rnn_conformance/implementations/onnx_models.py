"""What engines that run ONNX have in common: a layer as an ONNX model, its inputs and outputs.

ONNX's ``RNN``, ``LSTM`` and ``GRU`` (https://onnx.ai/onnx/operators/) are one layer in one or
both directions, time first. Gates lie in another order than in ``torch.nn``: i, o, f, c for LSTM
and z, r, h for GRU, which is ``torch.nn``'s with ``linear_before_reset=1``. Both biases stand
behind one another in ``B``. There is no projection. Sizes of time and batch are left open, so
that one model serves every shape.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rnn_conformance.implementations.stacking import Array, States, stacked
from rnn_conformance.spec.config import Config

Run: TypeAlias = Callable[[dict[str, Array]], list[Array]]

GATES = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
"""For each of ONNX's gates, ``torch.nn``'s."""

OPSET, IR = 22, 10
"""Of onnx 1.17, the oldest that is allowed."""


def reordered(kind: str, array: Array) -> Array:
    """A matrix or a bias ``(G*H, …)`` with its gates in ONNX's order."""
    gates = np.split(array, len(GATES[kind]))
    return np.concatenate([gates[gate] for gate in GATES[kind]])


def onnx_model(
    config: Config, parameters: Mapping[str, Array], index: int, *, states: bool, lengths: bool
) -> onnx.ModelProto:
    """The layer of this ``index`` as a model of one node, its parameters inside.

    Its inputs are ``X``, and where asked for ``sequence_lens``, ``initial_h`` and, for LSTM,
    ``initial_c``; its outputs ``Y``, ``Y_h`` and, for LSTM, ``Y_c``.
    """
    kind = config.kind.layer
    ends = [config.suffix(index, direction) for direction in range(config.num_directions)]

    def both(*names: str) -> Array:
        own = [
            np.concatenate([reordered(kind, parameters[name + end]) for name in names])
            for end in ends
        ]
        return np.stack(own)

    weights = {"W": both("weight_ih"), "R": both("weight_hh")}
    if config.bias:
        weights["B"] = both("bias_ih", "bias_hh")
    finals = ["Y_h", "Y_c"] if kind == "LSTM" else ["Y_h"]
    initials = ["initial_h", "initial_c"][: len(finals)] if states else []
    inputs = ["X", "W", "R", "B" if config.bias else "", "sequence_lens" if lengths else ""]
    attributes: dict[str, Any] = {"hidden_size": config.hidden_size}
    attributes["direction"] = "bidirectional" if config.bidirectional else "forward"
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    if kind == "RNN":
        attributes["activations"] = [config.nonlinearity.capitalize()] * len(ends)
    node = helper.make_node(kind, [*inputs, *initials], ["Y", *finals], **attributes)
    element = helper.np_dtype_to_tensor_dtype(weights["W"].dtype)

    def of(name: str, *shape: Any) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, element, shape)

    state = (len(ends), "N", config.hidden_size)
    given = [of("X", "L", "N", config.layer_input_size(index))]
    if lengths:
        given.append(helper.make_tensor_value_info("sequence_lens", onnx.TensorProto.INT32, ["N"]))
    graph = helper.make_graph(
        [node],
        kind,
        [*given, *(of(name, *state) for name in initials)],
        [of("Y", "L", *state), *(of(name, *state) for name in finals)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR)


def onnx_layers(
    config: Config,
    features: Collection[str],
    parameters: Mapping[str, Array],
    load: Callable[[onnx.ModelProto], Run],
) -> Callable[..., Any]:
    """A layer as ``@implementation`` wants it (see ``stacked``), of what ``load`` makes of a model.

    ``load`` returns a function from the inputs by name to all outputs in their order. A model
    is loaded once for each layer, with and without states and lengths, and kept as long as
    the parameters are.
    """
    loaded: dict[tuple[int, bool, bool], Run] = {}

    def one_layer(
        index: int, x: Array, states: States | None, lengths: Array | None
    ) -> tuple[Array, States]:
        key = (index, states is not None, lengths is not None)
        if key not in loaded:
            model = onnx_model(config, parameters, index, states=key[1], lengths=key[2])
            loaded[key] = load(model)
        feeds = {"X": x}
        if lengths is not None:
            feeds["sequence_lens"] = lengths.astype(np.int32)
        if states is not None:
            feeds |= zip(("initial_h", "initial_c"), states, strict=False)
        y, *finals = loaded[key](feeds)
        # (L, D, N, H) → (L, N, D*H)
        output = y.swapaxes(1, 2).reshape(*x.shape[:2], -1)
        return output, tuple(finals)

    return stacked(config, features, next(iter(parameters.values())).dtype, one_layer)
