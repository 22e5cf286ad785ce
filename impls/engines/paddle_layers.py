"""PaddlePaddle's ``paddle.nn.SimpleRNN``, ``LSTM`` and ``GRU``, all of their layers at once.

Parameters have ``torch.nn``'s names, order of gates and biases; they are set cell by cell, the
projection's matrix transposed. Two directions are ``direction="bidirect"``, biases are left out
by ``bias_ih_attr=False`` and ``bias_hh_attr=False``, as Paddle's own comparison with
``torch.nn`` has it; lengths are an argument. There is no unbatched call. Gradients are
``paddle.grad``'s.

Declared is what https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/LSTM_en.html
and the pages of the other two say. Dropout, which they have, needs a mode that a function over
arrays is not told.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import paddle

from rnn_conformance import Config, implementation

FEATURES = {
    *("bidirectional", "multi_layer", "batch_first", "bias_free", "initial_state"),
    *("packed", "projection", "relu"),
}


def named(layer: Any, config: Config) -> Iterator[tuple[str, Any, bool]]:
    """Each of ``torch.nn``'s names, Paddle's parameter, and whether it is transposed."""
    names = {"weight_ih": "weight_ih", "weight_hh": "weight_hh"}
    if config.bias:
        names |= {"bias_ih": "bias_ih", "bias_hh": "bias_hh"}
    if config.proj_size:
        names["weight_hr"] = "weight_ho"
    for index, one in enumerate(layer):
        cells = [one.cell_fw, one.cell_bw] if config.bidirectional else [one.cell]
        for direction, cell in enumerate(cells):
            for name, own in names.items():
                suffix = config.suffix(index, direction)
                yield name + suffix, getattr(cell, own), name == "weight_hr"


def paddle_layer(config: Config, parameters: Mapping[str, Any]) -> Any:
    """The layer with these parameters."""
    paddle.set_default_dtype(str(parameters["weight_ih_l0"].dtype))
    arguments: dict[str, Any] = {"time_major": not config.batch_first}
    arguments["direction"] = "bidirect" if config.bidirectional else "forward"
    if not config.bias:
        arguments |= {"bias_ih_attr": False, "bias_hh_attr": False}
    if config.proj_size:
        arguments["proj_size"] = config.proj_size
    if config.kind == "RNN":
        arguments["activation"] = config.nonlinearity
    cls = {"RNN": paddle.nn.SimpleRNN, "LSTM": paddle.nn.LSTM, "GRU": paddle.nn.GRU}
    layer = cls[config.kind.value](
        config.input_size, config.hidden_size, config.num_layers, **arguments
    )
    for name, parameter, transposed in named(layer, config):
        parameter.set_value(parameters[name].T if transposed else parameters[name])
    return layer


@implementation(
    kinds=["RNN", "LSTM", "GRU"],
    features=FEATURES,
    level="training",
    name="paddle",
    packages=["paddlepaddle"],
    notes=["Gradients are computed in training mode, which Paddle asks for; there is no dropout."],
)
def paddle_layers(config: Config, parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Layouts are Paddle's own, which are ``torch.nn``'s."""
    if missing := config.features - FEATURES:
        raise NotImplementedError(f"not available: {', '.join(sorted(missing))}")
    module = paddle_layer(config, parameters)

    def run(x: Any, initial: list[Any] | None, lengths: Any) -> list[Any]:
        """Output and final states; ``initial`` are the states' tensors."""
        state = initial
        if initial is not None and not config.kind.has_cell_state:
            state = initial[0]
        given = None if lengths is None else paddle.to_tensor(lengths)
        output, finals = module(x, state, given)
        return [output, *(finals if config.kind.has_cell_state else [finals])]

    def tensors(input: Any, state: Any) -> tuple[Any, list[Any] | None]:
        if input.ndim != 3:
            raise NotImplementedError("the input has a batch dimension")
        parts = state if isinstance(state, tuple) else (state,)
        initial = None if state is None else [paddle.to_tensor(part) for part in parts]
        return paddle.to_tensor(input), initial

    def layer(input: Any, state: Any = None, lengths: Any = None) -> Any:
        module.eval()
        with paddle.no_grad():
            output, *finals = (part.numpy() for part in run(*tensors(input, state), lengths))
        return output, tuple(finals) if config.kind.has_cell_state else finals[0]

    def vjp(
        cotangents: Mapping[str, Any], input: Any, state: Any = None, lengths: Any = None
    ) -> dict[str, Any]:
        module.train()
        x, initial = tensors(input, state)
        wanted = {"input": x, **dict(zip(("h_0", "c_0"), initial or [], strict=False))}
        for tensor in wanted.values():
            tensor.stop_gradient = False
        transposed = set()
        for name, parameter, other_way in named(module, config):
            wanted[name] = parameter
            if other_way:
                transposed.add(name)
        returned = dict(zip(("output", "h_n", "c_n"), run(x, initial, lengths), strict=False))
        gradients = paddle.grad(
            [returned[name] for name in cotangents],
            list(wanted.values()),
            [paddle.to_tensor(array) for array in cotangents.values()],
            allow_unused=True,
        )
        arrays = [None if gradient is None else gradient.numpy() for gradient in gradients]
        named_arrays = dict(zip(wanted, arrays, strict=True))
        return {
            name: np.transpose(array) if name in transposed and array is not None else array
            for name, array in named_arrays.items()
        }

    layer.vjp = vjp  # type: ignore[attr-defined]  # as an interface of functions has it
    return layer
