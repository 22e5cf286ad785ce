"""Tencent's ncnn: ``RNN``, ``LSTM`` and ``GRU`` layers, a net of one layer each.

Gates are i, f, o, g for LSTM and r, u, n for GRU. LSTM and RNN have one bias, the sum of
``torch.nn``'s two; GRU has four rows: the sums for r and u, ``b_in``, ``b_hn``. A layer runs one
sequence (w=input_size, h=T), in one or both directions, from given states or from zero; LSTM has
a projection. There are no lengths, no relu and no gradient.

Declared is what
https://github.com/Tencent/ncnn/blob/master/docs/developer-guide/operators.md says.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ncnn
import numpy as np

from rnn_conformance import Config, implementation, stacked

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("unbatched", "projection"),
}
GATES = {"RNN": (0,), "LSTM": (0, 1, 3, 2), "GRU": (0, 1, 2)}
MAGIC = 7767517


def bias(config: Config, parameters: Mapping[str, Any], end: str) -> Any:
    """The rows of one direction."""
    count = len(GATES[config.kind])
    if not config.bias:
        return np.zeros((count + (config.kind == "GRU"), config.hidden_size), dtype="float32")
    of_input = parameters["bias_ih" + end].reshape(count, -1)
    of_state = parameters["bias_hh" + end].reshape(count, -1)
    if config.kind == "GRU":
        return np.concatenate([of_input[:2] + of_state[:2], of_input[2:], of_state[2:]])
    return (of_input + of_state)[list(GATES[config.kind])]


def weights(config: Config, parameters: Mapping[str, Any], index: int) -> list[Any]:
    """The arrays that a layer reads, in their order, each for all directions."""
    ends = [config.suffix(index, direction) for direction in range(config.num_directions)]

    def matrix(name: str) -> Any:
        return np.stack(
            [
                np.split(parameters[name + end], len(GATES[config.kind]))[gate]
                for end in ends
                for gate in GATES[config.kind]
            ]
        )

    biases = np.stack([bias(config, parameters, end) for end in ends])
    own = [matrix("weight_ih"), biases, matrix("weight_hh")]
    if config.proj_size:
        own.append(np.stack([parameters["weight_hr" + end] for end in ends]))
    return own


def network(config: Config, parameters: Mapping[str, Any], index: int, *, states: bool) -> Any:
    """A net of the layer of this ``index``, with inputs x, h, c and outputs y, h_n, c_n."""
    arrays = weights(config, parameters, index)
    finals = ["h_n", "c_n"][: 1 + config.kind.has_cell_state]
    inputs = ["x", *(["h", "c"][: len(finals)] if states else [])]
    outputs = ["y", *finals]
    settings = {0: config.output_size, 1: arrays[0].size, 2: 2 if config.bidirectional else 0}
    if config.proj_size:
        settings[3] = config.hidden_size
    ports = " ".join(map(str, [len(inputs), len(outputs), *inputs, *outputs]))
    values = " ".join(f"{key}={value}" for key, value in settings.items())
    lines = [str(MAGIC), f"{len(inputs) + 1} {len(inputs) + len(outputs)}"]
    lines += [f"Input {name} 0 1 {name}" for name in inputs]
    lines.append(f"{config.kind.value} layer {ports} {values}")
    net = ncnn.Net()
    net.opt.num_threads = 1
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{name}", False)
    with TemporaryDirectory() as folder:
        structure, content = Path(folder, "net.param"), Path(folder, "net.bin")
        structure.write_text("\n".join(lines) + "\n")
        # Each array stands behind a word that says how it is stored: 0 is float32.
        content.write_bytes(b"".join(bytes(4) + array.tobytes() for array in arrays))
        if net.load_param(str(structure)) or net.load_model(str(content)):
            raise RuntimeError("ncnn does not load the layer")
    return net


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    dtypes=["float32"],
    name="ncnn",
    packages=["ncnn"],
    notes=[
        "Layers are chained, and samples run one by one, by the adapter: ncnn's layers are one "
        "layer of one sequence each.",
        "The two biases are added, in their own dtype, where ncnn has one; without bias they "
        "are zeros.",
        "float16 and bfloat16, which ncnn uses unless told, are switched off.",
    ],
)
def ncnn_layers(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """See ``stacked`` for the layouts."""
    dtype = parameters["weight_ih_l0"].dtype
    if dtype != "float32":
        raise NotImplementedError(f"no {dtype}")
    nets: dict[tuple[int, bool], Any] = {}

    def one_sample(net: Any, feeds: dict[str, Any], outputs: list[str]) -> list[Any]:
        extractor = net.create_extractor()
        # A Mat is a view of the array, which has to stay.
        mats = {name: ncnn.Mat(array) for name, array in feeds.items()}
        for name, mat in mats.items():
            extractor.input(name, mat)
        returned = []
        for name in outputs:
            code, mat = extractor.extract(name)
            if code:
                raise RuntimeError(f"ncnn returned {code} for {name}")
            returned.append(np.array(mat))
        return returned

    def one_layer(index: int, x: Any, states: Any, lengths: Any) -> Any:
        key = (index, states is not None)
        if key not in nets:
            nets[key] = network(config, parameters, index, states=key[1])
        finals = ["h_n", "c_n"][: 1 + config.kind.has_cell_state]
        samples = []
        for sample in range(x.shape[1]):
            feeds = {"x": np.ascontiguousarray(x[:, sample])}
            for name, part in zip(("h", "c"), states or (), strict=False):
                feeds[name] = np.ascontiguousarray(part[:, sample])
            samples.append(one_sample(nets[key], feeds, ["y", *finals]))
        output, *ends = (np.stack(parts, axis=1) for parts in zip(*samples, strict=True))
        return output, tuple(ends)

    return stacked(config, FEATURES, dtype, one_layer)
