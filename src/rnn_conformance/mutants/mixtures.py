"""Arguments that are wrong together, or at an edge, and that nobody looks at there (ERR, CEL-4)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.deviations.deviation import LSTMS
from rnn_conformance.mutants.arguments import TakesCalls
from rnn_conformance.mutants.mutant import Chapter, Mixin, both, cast, data_of, state_shape
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature, Kind

MIXTURES = Chapter("Arguments wrong together, or at an edge")

MIXED = "pytorch/pytorch#175978"


class _ComparesStates(TakesCalls):
    """``h_0`` and ``c_0`` are compared with each other, and if they agree made to fit."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        shape = state_shape(self, input)
        if shape is not None and isinstance(hx, tuple) and len(hx) == 2 and self.agree(hx, shape):
            hx = self.fitted_state(input, hx)
        return super(TakesCalls, self).forward(input, hx)

    def agree(self, hx: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> bool:
        """Whether they agree, in what is not looked at; the rest is right."""
        h, c = (tuple(state.shape) for state in hx)
        return len(h) == len(c) == len(shape) and self.but_for(h, shape) and h[:-1] == c[:-1]

    def but_for(self, shape: tuple[int, ...], due: tuple[int, ...]) -> bool:
        """Whether a state has the right shape but for what is not looked at."""
        raise NotImplementedError


@MIXTURES.add("a pair of states for one sample broadcast", "ERR-3", kinds=[Kind.LSTM], source=MIXED)
class _BroadcastsAPair(_ComparesStates):
    def but_for(self, shape: tuple[int, ...], due: tuple[int, ...]) -> bool:
        return len(due) == 3 and shape[1] == 1 and (shape[0], shape[2]) == (due[0], due[2])


@MIXTURES.add(
    "a pair of states for another number of samples repeated or cut",
    "ERR-3 CEL-4",
    kinds=LSTMS,
    source="pytorch/pytorch#6178",
)
class _FitsAPair(_ComparesStates):
    def but_for(self, shape: tuple[int, ...], due: tuple[int, ...]) -> bool:
        return len(due) > 1 and (*shape[:-2], shape[-1]) == (*due[:-2], due[-1])


@MIXTURES.add(
    "a pair of states for another number of layers repeated or cut",
    "ERR-3",
    kinds=[Kind.LSTM],
    source="CUNY-CL/yoyodyne#56",
)
class _FitsLayersOfAPair(_ComparesStates):
    def but_for(self, shape: tuple[int, ...], due: tuple[int, ...]) -> bool:
        return shape[1:] == due[1:]


@MIXTURES.add(
    "a pair of states of another number of features repeated or cut",
    "ERR-3 CEL-4",
    kinds=LSTMS,
    source=MIXED,
)
class _FitsFeaturesOfAPair(_ComparesStates):
    def but_for(self, shape: tuple[int, ...], due: tuple[int, ...]) -> bool:
        return shape[:-1] == due[:-1]


@MIXTURES.add("a pair of states of another rank reshaped", "ERR-3 CEL-4", kinds=LSTMS, source=MIXED)
class _FitsTheRankOfAPair(_ComparesStates):
    def agree(self, hx: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> bool:
        return len(shape) != hx[0].dim() == hx[1].dim()


@MIXTURES.add(
    "a pair of states with its axes in another order reshaped",
    "ERR-3 CEL-4",
    kinds=LSTMS,
    source="pytorch/pytorch#15260",
)
class _FitsASwappedPair(_ComparesStates):
    def agree(self, hx: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> bool:
        dues = shape, (*shape[:-1], self.hidden_size)
        return all(
            tuple(state.shape) != due and sorted(state.shape) == sorted(due)
            for state, due in zip(hx, dues, strict=True)
        )


@MIXTURES.add(
    "a single sample with a batch of states taken for a batch",
    "CEL-4",
    kinds=[Kind.RNN_CELL, Kind.LSTM_CELL, Kind.GRU_CELL],
    needs=[Feature.UNBATCHED],
    source=MIXED,
)
class _ExpandsTheSample(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if input.dim() == 1 and hx is not None and all(state.dim() == 2 for state in both(hx)):
            input = input.expand(len(both(hx)[0]), -1)
        return super().forward(input, hx)


@MIXTURES.add(
    "states of another dtype cast if all of them are",
    "ERR-4",
    source="keras-team/keras#2209",
)
class _CastsStates(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = next(self.parameters()).dtype
        if hx is not None and all(state.dtype != dtype for state in both(hx)):
            hx = cast(hx, dtype)
        return super().forward(input, hx)


@MIXTURES.add(
    "input and state of another dtype cast if both are",
    "TYP-2",
    source="keras-team/keras#2209",
)
class _CastsAll(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        dtype = next(self.parameters()).dtype
        given = [data_of(input), *(both(hx) if hx is not None else ())]
        if len(given) > 1 and all(array.dtype != dtype for array in given):
            input, hx = cast(input, dtype), cast(hx, dtype)
        return super().forward(input, hx)


class _LooksAtNothing(TakesCalls):
    """Whatever the input's form is here, arguments are made to fit."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.here(input):
            input = self.fitted(input)
            hx = self.fitted_state(input, hx)
        return super(TakesCalls, self).forward(input, hx)

    def here(self, input: Any) -> bool:
        """Whether nothing is looked at in such an input."""
        raise NotImplementedError


EVERYTHING = "ERR-2 ERR-3 ERR-4 CEL-4"


@MIXTURES.add(
    "no look at the arguments of an empty batch",
    EVERYTHING,
    needs=[Feature.EMPTY_BATCH],
    source="pytorch/pytorch#71696",
)
class _AnswersEmptyBatches(_LooksAtNothing):
    def here(self, input: Any) -> bool:
        return isinstance(input, Tensor) and input.dim() > 1 and not input.numel()


@MIXTURES.add(
    "zeros for any empty batch, whatever else is wrong",
    "ERR-3 CEL-4",
    needs=[Feature.EMPTY_BATCH],
    source="microsoft/onnxruntime#749",
)
class _ForgetsStatesOfNobody(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, Tensor) and input.dim() > 1 and not input.numel():
            hx = None
        return super().forward(input, hx)


@MIXTURES.add(
    "no look at the arguments of unbatched input",
    EVERYTHING,
    needs=[Feature.UNBATCHED],
    source=MIXED,
)
class _AnswersUnbatched(_LooksAtNothing):
    def here(self, input: Any) -> bool:
        rank = 1 if isinstance(self, nn.RNNCellBase) else 2
        return isinstance(input, Tensor) and input.dim() == rank


@MIXTURES.add(
    "no look at the arguments of a single sample",
    EVERYTHING,
    source="deeplearning4j/deeplearning4j#1454",
)
class _AnswersSingles(_LooksAtNothing):
    def here(self, input: Any) -> bool:
        rank = 2 if isinstance(self, nn.RNNCellBase) else 3
        return isinstance(input, Tensor) and input.dim() == rank and 1 in input.shape[:-1]


@MIXTURES.add(
    "no look at the features and the dtype of packed input",
    "ERR-2 ERR-4",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="tensorflow/tensorflow#45035",
)
class _AnswersPacked(_LooksAtNothing):
    def here(self, input: Any) -> bool:
        return isinstance(input, PackedSequence)

    def fitted_state(self, input: Any, hx: Any) -> Any:
        # Of another dtype alone: torch.nn.LSTM itself looks at nothing else.
        return cast(hx, next(self.parameters()).dtype)


@MIXTURES.add(
    "a state without elements taken for none", "ERR-3 CEL-4", source="PaddlePaddle/Paddle#11335"
)
class _TakesNothingForNone(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and not any(map(torch.numel, both(hx))):
            hx = None
        return super().forward(input, hx)
