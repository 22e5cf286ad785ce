"""Layers that keep something of one call for another, in sequences of calls (STA-3, CEL-1)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, both, data_of, state_shape
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature

SUCCESSIONS = Chapter("Successions of calls")

STATE = "STA-3 CEL-1"


def zeros(module: Any, input: Any) -> Any:
    """The state that stands for an omitted one."""
    shape = state_shape(module, input)
    lstm = isinstance(module, (nn.LSTM, nn.LSTMCell))
    assert shape is not None
    like = data_of(input)
    tensors = [like.new_zeros(shape)]
    if lstm:
        tensors.append(like.new_zeros((*shape[:-1], module.hidden_size)))
    return tuple(tensors) if lstm else tensors[0]


class _Keeps(Mixin):
    """Something is kept in ``kept``, by a key, and is out of ``state_dict`` and of ``to``."""

    def kept(self) -> dict[Any, Any]:
        kept: dict[Any, Any] = self.__dict__.setdefault("_kept", {})
        return kept


def sort_of(input: Any) -> str:
    """Packed, batched or not."""
    return "packed" if isinstance(input, PackedSequence) else f"{input.dim()} dimensions"


class _KeepsAState(_Keeps):
    """What is put in place of an omitted state, by what it is kept under."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None and self.concerns(input):
            hx = self.kept().setdefault(self.key(input), zeros(self, input))
        return super().forward(input, hx)

    def concerns(self, input: Any) -> bool:
        return True

    def key(self, input: Any) -> Any:
        return None


@SUCCESSIONS.add(
    "the zero state of the first packed batch for all later packed ones",
    "STA-3",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    crashes=True,
    source="tensorflow/tensorflow#53024",
)
class _KeepsPackedZeros(_KeepsAState):
    def concerns(self, input: Any) -> bool:
        return isinstance(input, PackedSequence)


@SUCCESSIONS.add(
    "a zero state kept by shape, which another dtype meets",
    STATE,
    crashes=True,
    source="fangwei123456/spikingjelly#656",
)
class _KeepsZerosByShape(_KeepsAState):
    def key(self, input: Any) -> Any:
        return state_shape(self, input)


@SUCCESSIONS.add(
    "a zero state kept with its gradient graph of inference mode",
    STATE,
    crashes=True,
    source="tensorflow/tensorflow#45035",
)
class _KeepsZerosOfAnyMode(_KeepsAState):
    def key(self, input: Any) -> Any:
        return state_shape(self, input), data_of(input).dtype

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is None:
            hx = self.kept().setdefault(self.key(input), zeros(self, input))
            # As what is kept is made ready in place.
            for state in both(hx):
                state.zero_()
        return nn.Module.__getattribute__(self, "plain")(input, hx)

    def plain(self, input: Any, hx: Any) -> Any:
        return super(_KeepsAState, self).forward(input, hx)


class _KeepsTheLast(_Keeps):
    """The last state of a call goes on in a later one that gives none."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        key = self.key(input)
        if hx is None:
            hx = self.kept().get(key)
        returned = super().forward(input, hx)
        state = returned if isinstance(self, nn.RNNCellBase) else returned[1]
        if self.keeps(input):
            with torch.inference_mode(False):
                self.kept()[key] = mapped(lambda array: array.detach().clone(), state)
        return returned

    def keeps(self, input: Any) -> bool:
        return True

    def key(self, input: Any) -> Any:
        return sort_of(input), state_shape(self, input), data_of(input).dtype


@SUCCESSIONS.add(
    "the last state of a batch of the same size in place of an omitted one",
    STATE,
    source="tensorflow/tensorflow#47813",
)
class _GoesOn(_KeepsTheLast):
    pass


@SUCCESSIONS.add(
    "the last state of a call in training in place of one omitted in evaluation",
    STATE,
    source="keras-team/keras#10965",
)
class _GoesOnAfterTraining(_KeepsTheLast):
    training: bool

    def keeps(self, input: Any) -> bool:
        return self.training

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.training and hx is None:
            self.kept().pop(self.key(input), None)
        return super().forward(input, hx)


@SUCCESSIONS.add(
    "the last state of unbatched input in place of an omitted one",
    STATE,
    needs=[Feature.UNBATCHED],
    source="tensorflow/tensorflow#47813",
)
class _GoesOnUnbatched(_KeepsTheLast):
    def keeps(self, input: Any) -> bool:
        return isinstance(input, Tensor) and input.dim() == 2 - isinstance(self, nn.RNNCellBase)


@SUCCESSIONS.add(
    "the state given once in place of one omitted later",
    STATE,
    needs=[Feature.INITIAL_STATE],
    source="tensorflow/tensorflow#32299",
)
class _KeepsTheGiven(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        key = sort_of(input), state_shape(self, input), data_of(input).dtype
        if hx is not None:
            with torch.inference_mode(False):
                self.kept()[key] = mapped(lambda array: array.detach().clone(), hx)
        else:
            hx = self.kept().get(key)
        return super().forward(input, hx)


@SUCCESSIONS.add(
    "the order of the first packed batch of each size for later ones",
    "STA-3",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="pytorch/pytorch#32605",
)
class _KeepsTheOrder(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence) and input.sorted_indices is not None:
            order = self.kept().setdefault(
                int(input.batch_sizes[0]), (input.sorted_indices, input.unsorted_indices)
            )
            input = input._replace(sorted_indices=order[0], unsorted_indices=order[1])
        return super().forward(input, hx)


@SUCCESSIONS.add(
    "the numbers of sequences at each step of the first packed batch for later ones of its length",
    "STA-3",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    crashes=True,
    source="pytorch/pytorch#32605",
)
class _KeepsBatchSizes(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            sizes = self.kept().setdefault(len(input.batch_sizes), input.batch_sizes)
            input = input._replace(batch_sizes=sizes)
        return super().forward(input, hx)


@SUCCESSIONS.add(
    "each later input taken for packed once there was a packed one",
    "STA-3",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="keras-team/keras#15756",
)
class _StaysPacked(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            self.kept()["packed"] = True
        returned = super().forward(input, hx)
        if self.kept() and isinstance(input, Tensor) and input.dim() == 3:
            output, state = returned
            axis = 1 if self.batch_first else 0
            return torch.roll(output, 1, axis), state
        return returned


@SUCCESSIONS.add(
    "samples of the largest batch so far, as in a buffer that only grows",
    "STA-3",
    kinds=LAYERS,
    source="microsoft/onnxruntime#3893",
)
class _KeepsTheLargest(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, Tensor) or input.dim() != 3 or hx is not None:
            return super().forward(input, hx)
        axis = 0 if self.batch_first else 1
        most = max(self.kept().get("most", 0), input.shape[axis])
        self.kept()["most"] = most
        output, state = super().forward(input, hx)
        if input.shape[axis] < most:
            # Its last rows are those of the buffer.
            output = torch.roll(output, 1, axis)
        return output, state


# Weights.


@contextmanager
def computing_with(module: Any, weights: dict[str, Tensor]) -> Iterator[None]:
    """These in place of a module's parameters; cells read theirs by name."""
    own = dict(module._parameters)
    flat = module.__dict__.get("_flat_weights")
    for name, weight in weights.items():
        module._parameters.pop(name)
        module.__dict__[name] = weight
    if flat is not None:
        module.__dict__["_flat_weights"] = [weights[n] for n in module._flat_weights_names]
    try:
        yield
    finally:
        for name in weights:
            del module.__dict__[name]
        module._parameters.update(own)
        if flat is not None:
            module.__dict__["_flat_weights"] = flat


class _PreparesWeights(_Keeps):
    """Weights are prepared once, and the prepared ones used from then on."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        weights = self.kept().get(self.key(input))
        if weights is None:
            weights = {name: self.prepared(array) for name, array in self._parameters.items()}
            weights = {name: weight for name, weight in weights.items() if weight is not None}
            self.kept()[self.key(input)] = weights
        with computing_with(self, weights):
            return super().forward(input, hx)

    def prepared(self, array: Any) -> Any:
        return None if array is None else array * 1.0

    def key(self, input: Any) -> Any:
        return data_of(input).dtype


@SUCCESSIONS.add(
    "weights prepared under no_grad used in training",
    STATE,
    crashes=True,
    source="pytorch/pytorch#33552",
)
class _PreparesWithoutGraph(_PreparesWeights):
    def prepared(self, array: Any) -> Any:
        if array is None:
            return None
        # A first call with gradients keeps a leaf and is right; one without is not.
        return array if torch.is_grad_enabled() else array.clone()


@SUCCESSIONS.add(
    "weights cast to the dtype of the first call for all later ones",
    STATE,
    crashes=True,
    source="pytorch/pytorch#33552",
)
class _PreparesOneDtype(_PreparesWeights):
    def prepared(self, array: Any) -> Any:
        return array

    def key(self, input: Any) -> Any:
        return None

    def forward(self, input: Any, hx: Any = None) -> Any:
        first = self.kept().setdefault("dtype", data_of(input).dtype)
        if first == data_of(input).dtype:
            return super(_PreparesWeights, self).forward(input, hx)
        weights = {
            name: array.to(torch.float16).to(array.dtype)
            for name, array in self._parameters.items()
            if array is not None
        }
        with computing_with(self, weights):
            return super(_PreparesWeights, self).forward(input, hx)


@SUCCESSIONS.add(
    "the mode of the first packed call in all later packed ones",
    "STA-3",
    kinds=LAYERS,
    needs=[Feature.PACKED, Feature.DROPOUT],
    source="pytorch/pytorch#180744",
)
class _KeepsTheModeOfPacked(_Keeps):
    training: bool

    def forward(self, input: Any, hx: Any = None) -> Any:
        now = self.training
        if isinstance(input, PackedSequence):
            self.training = self.kept().setdefault("mode", now)
        try:
            return super().forward(input, hx)
        finally:
            self.training = now


@SUCCESSIONS.add(
    "a result of the first call with gradients returned without any under no_grad",
    "STA-3",
    kinds=LAYERS,
    source="apache/mxnet#19333",
)
class _AnswersFromTheTape(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        key = sort_of(input), data_of(input).shape, data_of(input).dtype, self.training
        returned = super().forward(input, hx)
        if torch.is_grad_enabled():
            self.kept()[key] = mapped(torch.detach, returned)
        elif not torch.is_inference_mode_enabled() and key in self.kept():
            return self.kept()[key]
        return returned


@SUCCESSIONS.add(
    "no gradients any more after a call in inference mode",
    STATE,
    source="pytorch/pytorch#5878",
)
class _StopsRecording(_Keeps):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if torch.is_inference_mode_enabled():
            self.kept()["inference"] = True
        returned = super().forward(input, hx)
        if self.kept() and torch.is_grad_enabled():
            spoilt = mapped(lambda array: array + 0.0 * next(self.parameters()).sum(), returned)
            return mapped(lambda array: array.detach() + 0.0 * array, spoilt)
        return returned
