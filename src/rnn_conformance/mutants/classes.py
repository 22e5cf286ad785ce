"""What people met in whole classes: states, features and packed input."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, both, data_of, state_shape
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

CLASSES = Chapter("Classes")


@CLASSES.add(
    "biases looked for although there are none",
    "EQ-4 CEL-2",
    source="pytorch/pytorch#94889",
    crashes=True,
)
class _BiasFreeOutOfRange(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if not self.bias:
            raise IndexError("list index out of range")
        return super().forward(input, hx)


@CLASSES.add("no empty batches", "SHP-5 CEL-1", source="pytorch/pytorch#71696", crashes=True)
class _NoEmptyBatch(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if 0 in data_of(input).shape:
            raise RuntimeError("invalid configuration argument")
        return super().forward(input, hx)


@CLASSES.add(
    "an omitted state made for one direction",
    "STA-1",
    kinds=LAYERS,
    source="pytorch/pytorch#17998",
    crashes=True,
)
class _DefaultStateOfOneDirection(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and self.bidirectional:
            raise RuntimeError(f"Expected hidden size ({2 * self.num_layers}, …)")
        return super().forward(input, hx)


@CLASSES.add(
    "an omitted state that is whatever lies there", "STA-1 CEL-1", source="tmbdev/clstm#67"
)
class _DefaultStateUnset(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and isinstance(input, Tensor):
            shape = state_shape(self, input)
            if shape is not None and not getattr(self, "proj_size", 0):
                states = [torch.randn(shape, dtype=input.dtype) for _ in range(2)]
                hx = tuple(states) if "LSTM" in type(self).__name__ else states[0]
        return super().forward(input, hx)


@CLASSES.add(
    "an error for an omitted state after a given one",
    "STA-3 CEL-1",
    source="keras-team/keras#11148",
    crashes=True,
)
class _RaisesWithoutAStateOnceGiven(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and getattr(self, "_given", False):
            raise TypeError("states cannot be reset")
        self._given = getattr(self, "_given", False) or hx is not None
        return super().forward(input, hx)


@CLASSES.add(
    "its last state in place of an omitted one", "STA-3 CEL-1", source="tensorflow/tensorflow#47813"
)
class _KeepsItsState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        last = self.__dict__.get("_last")
        shape = state_shape(self, input)
        fits = last is not None and both(last)[0].shape == shape
        if hx is None and fits and both(last)[0].dtype == input.dtype:
            hx = last
        returned = super().forward(input, hx)
        self.__dict__["_last"] = returned if isinstance(self, nn.RNNCellBase) else returned[1]
        return returned


@CLASSES.add("the given state not read", "STA-4 CEL-2", source="tensorflow/tflite-micro#3564")
class _IgnoresTheState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, None)


@CLASSES.add(
    "states refused unless as many samples as units",
    "STA-4",
    kinds=LAYERS,
    source="PaddlePaddle/Paddle#11335",
    crashes=True,
)
class _WantsSquareStates(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and any(
            state.shape[-2:] != 2 * (self.hidden_size,) for state in both(hx)
        ):
            raise RuntimeError("h_0 must be square")
        return super().forward(input, hx)


@CLASSES.add(
    "no bias in calls of more than 128 steps times samples",
    "EQ-7",
    kinds=LAYERS,
    source="ROCm/rocm-libraries#10551",
)
class _BiasUpToASize(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        data = data_of(input)
        if data[..., 0].numel() <= 128 or not self.bias:
            return super().forward(input, hx)
        zeros = {
            name: torch.zeros_like(parameter)
            for name, parameter in self.named_parameters()
            if "bias" in name
        }
        kept = {name: self.get_parameter(name).data for name in zeros}
        for name, array in zeros.items():
            self.get_parameter(name).data = array
        try:
            return super().forward(input, hx)
        finally:
            for name, array in kept.items():
                self.get_parameter(name).data = array


@CLASSES.add(
    "a buffer that nobody clears in place of absent biases",
    "STA-3",
    kinds=LAYERS,
    source="microsoft/onnxruntime#3893",
)
class _ScratchWithoutBias(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if self.bias:
            return returned
        calls = self.__dict__["_calls"] = self.__dict__.get("_calls", -1) + 1
        return mapped(lambda array: array + 0.125 * calls, returned)


@CLASSES.add(
    "packed input transposed where batch_first",
    "BF-3",
    kinds=LAYERS,
    source="keras-team/keras#15756",
)
class _SwapsPackedInput(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence) and self.batch_first:
            input = input._replace(data=input.data.flip(0))
        return super().forward(input, hx)


@CLASSES.add(
    "batch_first heeded for the input alone",
    "BF-1 SHP-1",
    kinds=LAYERS,
    source="llvm/torch-mlir#3753",
)
class _BatchFirstOfInputAlone(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if self.batch_first and isinstance(output, Tensor) and output.dim() == 3:
            output = output.transpose(0, 1)
        return output, state


@CLASSES.add(
    "rows copied over one another where the caller's order is restored",
    "PCK-3",
    kinds=LAYERS,
    source="mead-ml/mead-baseline#677",
)
class _UnsortsInPlace(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if isinstance(input, PackedSequence) and input.unsorted_indices is not None:
            order, back = input.sorted_indices, input.unsorted_indices

            def unsorted(final: Tensor) -> Tensor:
                rows = final[:, order]
                for to, source in enumerate(back.tolist()):
                    rows[:, to] = rows[:, source].clone()
                return rows

            state = mapped(unsorted, state)
        return output, state


# What comes back.


@CLASSES.add("a padded output for packed input", "PCK-1", kinds=LAYERS)
class _Unpacks(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if isinstance(output, PackedSequence):
            output, _ = pad_packed_sequence(output, batch_first=self.batch_first)
        return output, state


@CLASSES.add("packed output without its unsorted_indices", "PCK-1", kinds=LAYERS)
class _ForgetsTheOrder(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if isinstance(output, PackedSequence):
            output = PackedSequence(output.data, output.batch_sizes)
        return output, state


@CLASSES.add("the output and the states in one flat tuple", "SHP-4", kinds=[Kind.LSTM])
class _Flat(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, (h_n, c_n) = super().forward(input, hx)
        return output, h_n, c_n


@CLASSES.add("a list of the output and the state", "SHP-4", kinds=LAYERS)
class _ListForTuple(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return list(super().forward(input, hx))


@CLASSES.add("the output alone", "SHP-4", kinds=LAYERS, source="Keras, return_state=False")
class _OutputAlone(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx)[0]


@CLASSES.add("a tuple of one for the state", "SHP-4", kinds=[Kind.RNN, Kind.GRU])
class _StateInATuple(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        return output, (state,)


@CLASSES.add("h alone for the pair of an LSTM cell", "CEL-1", kinds=[Kind.LSTM_CELL])
class _StateAlone(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx)[0]
