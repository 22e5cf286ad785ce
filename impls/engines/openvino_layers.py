"""OpenVINO's ``RNNSequence``, ``LSTMSequence`` and ``GRUSequence`` on the CPU, read from ONNX.

What it shares with other engines that run ONNX (order of gates, biases, layout) is
``onnx_layers``; OpenVINO's reader makes of that its own order, f, i, c, o for LSTM and z, r, h
for GRU, batch first. There is no projection and no gradient.

It is registered twice: ``openvino`` fixes the sizes of time and batch and compiles for each,
``openvino.dynamic`` compiles once with sizes left open, as a model is that was exported with
dynamic axes.

Declared is what the operators' specification says
(https://docs.openvino.ai/2026/documentation/openvino-ir-format/operation-sets/operation-specs/sequence/lstm-sequence-1.html),
where ``sequence_lengths`` are an input, and of dtypes what the CPU computes in
(https://docs.openvino.ai/2026/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html):
float64 is none of them; a model in float64 is accepted and computed in float32, so this adapter
refuses it.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

import openvino

from rnn_conformance import Config, implementation, onnx_layers

Run: TypeAlias = Callable[[dict[str, Any]], list[Any]]

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "relu"),
}
SETTINGS = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
NOTES = [
    "Layers are chained by the adapter: the operators are one layer each.",
    "The precision is set to float32: the default is bfloat16 on processors that have it.",
]


@cache
def core() -> Any:
    """One for all models."""
    return openvino.Core()


def compiled(model: Any) -> Run:
    """A function from inputs by name to outputs. A request is no two threads', so each has one."""
    executable = core().compile_model(model, "CPU", SETTINGS)
    return lambda feeds: list(executable.create_infer_request().infer(feeds).to_tuple())


def load_open(model: Any) -> Run:
    """Compiled once, for every size."""
    return compiled(core().read_model(model.SerializeToString()))


def load_fixed(model: Any) -> Run:
    """Compiled for each set of shapes."""
    content = model.SerializeToString()

    @cache
    def for_shapes(shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> Run:
        fixed = core().read_model(content)
        fixed.reshape({name: list(shape) for name, shape in shapes})
        return compiled(fixed)

    return lambda feeds: for_shapes(tuple((name, feeds[name].shape) for name in feeds))(feeds)


def layer(
    load: Callable[[Any], Run], config: Config, parameters: Mapping[str, Any]
) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    dtype = parameters["weight_ih_l0"].dtype
    if dtype != "float32":
        raise NotImplementedError(f"the CPU does not compute in {dtype}")
    return onnx_layers(config, FEATURES, parameters, load)


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    dtypes=["float32"],
    name="openvino",
    compiles_per_shape=True,
    packages=["openvino", "onnx"],
    notes=NOTES,
)
def fixed(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Of fixed sizes."""
    return layer(load_fixed, config, parameters)


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    dtypes=["float32"],
    name="openvino.dynamic",
    packages=["openvino", "onnx"],
    notes=NOTES,
)
def dynamic(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Of sizes left open."""
    return layer(load_open, config, parameters)
