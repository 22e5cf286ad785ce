"""Steps, layers and input features wrong from some number on (EQ-7, GRD-1)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance.implementations.trees import mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, as_given, both
from rnn_conformance.mutants.sizes import kept, samples, steps
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Feature

EXTENTS = Chapter("Sizes: steps, layers and features")


class _SpoilsSteps(Mixin):
    most = 512

    def concerns(self, input: Any) -> bool:
        return isinstance(input, Tensor)

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        if not self.concerns(input) or steps(self, input) <= self.most:
            return output, state
        if isinstance(output, PackedSequence):
            upto = int(output.batch_sizes[: self.most].sum())
            return output._replace(data=kept(output.data, 0, upto)), state
        axis = 1 if self.batch_first and input.dim() == 3 else 0
        return kept(output, axis, self.most), state


@EXTENTS.add(
    "the output of steps beyond the 512th left at zero",
    "EQ-7",
    kinds=LAYERS,
    source="pytorch/pytorch#133751",
)
class _CutsSteps(_SpoilsSteps):
    def concerns(self, input: Any) -> bool:
        return True


@EXTENTS.add(
    "the output of steps beyond the 256th left at zero, of dense input alone",
    "EQ-7",
    kinds=LAYERS,
    source="pytorch/pytorch#133751",
)
class _CutsDenseSteps(_SpoilsSteps):
    most = 256


@EXTENTS.add(
    "packed lengths in a signed byte, and what is longer left at zero",
    "EQ-7",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="tensorflow/tensorflow#41630",
)
class _CutsPackedSteps(_SpoilsSteps):
    most = 127

    def concerns(self, input: Any) -> bool:
        return isinstance(input, PackedSequence)


class _TakesLengthsFromShares(Mixin):
    """Packed sequences are unpacked, and packed again with lengths that came another way."""

    @staticmethod
    def length(length: int, longest: int) -> int:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, PackedSequence):
            return super().forward(input, hx)
        padded, lengths = pad_packed_sequence(input)
        longest = int(lengths.max())
        taken = torch.tensor([max(1, self.length(int(each), longest)) for each in lengths])
        packed = pack_padded_sequence(padded, taken, enforce_sorted=False)
        output, state = super().forward(packed, hx)
        back, _ = pad_packed_sequence(output, total_length=longest)
        return pack_padded_sequence(back, lengths, enforce_sorted=False), state


@EXTENTS.add(
    "packed lengths as shares of the longest, in float32, and cut off",
    "PCK-3",
    kinds=LAYERS,
    needs=[Feature.PACKED],
    source="speechbrain.nnet.RNN",
)
class _CutsShares(_TakesLengthsFromShares):
    @staticmethod
    def length(length: int, longest: int) -> int:
        return int(torch.tensor(length / longest) * longest)


@EXTENTS.add(
    "packed lengths in steps of a hundredth of the longest",
    "PCK-3 EQ-7",
    kinds=LAYERS,
    needs=[Feature.PACKED],
)
class _RoundsToPercents(_TakesLengthsFromShares):
    @staticmethod
    def length(length: int, longest: int) -> int:
        return min(longest, int(round(length / longest, 2) * longest))


@EXTENTS.add(
    "more than 64 steps refused",
    "EQ-7",
    kinds=LAYERS,
    crashes=True,
    source="hughperkins/tf-coriander#86",
)
class _RefusesSteps(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if steps(self, input) > 64:
            raise NotImplementedError("splits above 64 are not supported")
        return super().forward(input, hx)


@EXTENTS.add(
    "a state that begins anew every 256 steps",
    "EQ-7",
    kinds=LAYERS,
    source="hughperkins/tf-coriander#86",
)
class _ForgetsBetweenBlocks(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, Tensor) or self.bidirectional or steps(self, input) <= 256:
            return super().forward(input, hx)
        axis = 1 if self.batch_first and input.dim() == 3 else 0
        outputs = []
        for block in torch.split(input, 256, axis):
            output, state = super().forward(block, hx)
            outputs.append(output)
            hx = mapped(torch.zeros_like, state)
        return torch.cat(outputs, axis), state


@EXTENTS.add(
    "the gradient passed back through the last 64 steps alone",
    "GRD-1",
    kinds=LAYERS,
    source="apache/mxnet#15268",
)
class _TruncatesBackward(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, Tensor) or self.bidirectional or steps(self, input) <= 64:
            return super().forward(input, hx)
        axis = 1 if self.batch_first and input.dim() == 3 else 0
        early, late = torch.split(input, [steps(self, input) - 64, 64], axis)
        first, state = super().forward(early, hx)
        second, state = super().forward(late, mapped(torch.detach, state))
        return torch.cat([first, second], axis), state


@EXTENTS.add(
    "the weights of the eighth layer in all above it",
    "EQ-7",
    kinds=LAYERS,
    needs=[Feature.MULTI_LAYER],
    source="pytorch/pytorch#877",
)
class _PointsToEight(Mixin):
    _flat_weights: list[Any]

    def forward(self, input: Any, hx: Any = None) -> Any:
        places = 1 + self.bidirectional
        each = len(self._flat_weights) // (self.num_layers * places)
        weights, eight = self._flat_weights, 8 * places * each
        if self.num_layers <= 8:
            return super().forward(input, hx)
        last = weights[eight - places * each : eight]
        self._flat_weights = weights[:eight] + last * (self.num_layers - 8)
        try:
            return super().forward(input, hx)
        finally:
            self._flat_weights = weights


@EXTENTS.add("the input features beyond the 256th left out", "EQ-7", source="allenai/allennlp#356")
class _LeavesOutFeatures(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(mapped(lambda array: kept(array, -1, 256), input), hx)


@EXTENTS.add(
    "no gradient of the input features beyond the 256th", "GRD-1", source="allenai/allennlp#356"
)
class _CutsFeaturesBackward(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        def cut(array: Tensor) -> Tensor:
            return kept(array, -1, 256, array.detach()) if array.dim() else array

        return super().forward(mapped(cut, input), hx)


@EXTENTS.add(
    "biases left out where steps times samples exceed 256",
    "EQ-7",
    kinds=LAYERS,
    source="ROCm/rocm-libraries#10551",
)
class _SkipsBiases(Mixin):
    _flat_weights: list[Any]

    def forward(self, input: Any, hx: Any = None) -> Any:
        if samples(self, input) * steps(self, input) <= 256:
            return super().forward(input, hx)
        weights = self._flat_weights
        self._flat_weights = [
            torch.zeros_like(weight) if weight.dim() == 1 else weight for weight in weights
        ]
        try:
            return super().forward(input, hx)
        finally:
            self._flat_weights = weights


@EXTENTS.add(
    "the given states of samples beyond the 64th read as zeros",
    "EQ-7",
    needs=[Feature.INITIAL_STATE],
    source="NervanaSystems/neon#95",
)
class _ReadsFewStates(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and samples(self, input) > 64 and both(hx)[0].dim() > 1:
            hx = as_given(hx, (kept(state, -2, 64) for state in both(hx)))
        return super().forward(input, hx)
