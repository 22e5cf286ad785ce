"""The reference evaluator of the ``onnx`` package: ONNX's operators in NumPy.

What it shares with other engines that run ONNX (order of gates, biases, layout) is
``onnx_layers``. There is no projection and no gradient. Declared is what ONNX's specification
says of the operators (https://onnx.ai/onnx/operators/), whose reference this is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from rnn_conformance import Config, implementation, onnx_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "packed", "relu"),
}


def load(model: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """An evaluator; huge arguments of its exponentials are no reason to warn."""
    evaluator = ReferenceEvaluator(model)

    @np.errstate(over="ignore", invalid="ignore")
    def run(feeds: dict[str, Any]) -> list[Any]:
        return list(evaluator.run(None, feeds))

    return run


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    packages=["onnx"],
    notes=["Layers are chained by the adapter: ONNX's operators are one layer each."],
)
def onnx_reference(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return onnx_layers(config, FEATURES, parameters, load)
