"""ONNX Runtime's ``RNN``, ``LSTM`` and ``GRU`` on the CPU, one session a layer.

What it shares with other engines that run ONNX (order of gates, biases, layout) is
``onnx_layers``. There is no projection and no gradient. Declared is what its list of operators
says of the CPU (https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md).
"""

from collections.abc import Callable, Mapping
from typing import Any

import onnxruntime

from rnn_conformance import Config, implementation, onnx_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "relu"),
}


def load(model: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """A session on one thread; what it logs of its own is left out."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda feeds: list(session.run(None, feeds))


NOTES = ["Layers are chained by the adapter: ONNX's operators are one layer each."]
PACKAGES = ["onnxruntime", "onnx"]


def layer(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return onnx_layers(config, FEATURES, parameters, load)


# The list has tensor(double) for LSTM and GRU, and for RNN tensor(float) alone.
gated = implementation(
    kinds=["LSTM", "GRU"],
    features=FEATURES - {"relu"},
    name="onnxruntime",
    packages=PACKAGES,
    notes=NOTES,
)(layer)
plain = implementation(
    kinds=["RNN"],
    features=FEATURES,
    dtypes=["float32"],
    name="onnxruntime.RNN",
    packages=PACKAGES,
    notes=NOTES,
)(layer)
