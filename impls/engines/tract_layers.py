"""tract (Rust) running ONNX's ``RNN``, ``LSTM`` and ``GRU`` on the CPU.

What it shares with other engines that run ONNX (order of gates, biases, layout) is
``onnx_layers``. Sizes are told before a model is made ready, since it cannot be made with the
batch's left open. It refuses ``sequence_lens`` unless they say nothing ("Non constant seq_len is
not supported"), so there are no packed sequences; and no projection and no gradient.

Declared is what ONNX says of the operators that tract lists as implemented and tested
(https://github.com/sonos/tract#onnx). Of dtypes it promises nothing; in float64 it refuses all
but a plain RNN with a state.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tract

from rnn_conformance import Config, implementation, onnx_layers

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "relu"),
}
DTYPES = {"float32": "f32", "float64": "f64"}


def load(model: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """A model that is made ready for each set of shapes."""
    content = model.SerializeToString()

    @cache
    def ready(facts: tuple[str, ...]) -> Any:
        with TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(content)
            read = tract.onnx().load(path)
        for index, fact in enumerate(facts):
            read.set_input_fact(index, fact)
        return read.into_model().into_runnable()

    def run(feeds: dict[str, Any]) -> list[Any]:
        arrays = feeds.values()
        facts = [",".join(map(str, [*one.shape, DTYPES[str(one.dtype)]])) for one in arrays]
        return [tensor.to_numpy() for tensor in ready(tuple(facts)).run(list(arrays))]

    return run


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    dtypes=["float32"],
    name="tract",
    compiles_per_shape=True,
    packages=["tract", "onnx"],
    notes=["Layers are chained by the adapter: ONNX's operators are one layer each."],
)
def tract_layers(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    return onnx_layers(config, FEATURES, parameters, load)
