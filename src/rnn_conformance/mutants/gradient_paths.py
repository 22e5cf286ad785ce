"""Backward passes that lose, keep or scale what they should not (GRD)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.deviations.deviation import GRUS, LSTMS
from rnn_conformance.mutants.backpropagation import Found, Named, Recomputing
from rnn_conformance.mutants.gradients import PARAMETERS, flipped_in_time, rows, scaled
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

PATHS = Chapter("Gradients")


@PATHS.add(
    "the output's gradients taken in reverse order of time",
    "GRD-1 GRD-2",
    kinds=LAYERS,
    source="elixir-nx/axon#646",
)
class _JacobiansInForwardOrder(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        output, *states = cotangents
        if form is not None or output is None:
            return cotangents
        return [flipped_in_time(self, output), *states]


@PATHS.add("gradients gathered in float32 whatever the dtype", "GRD-1", source="elixir-nx/axon#646")
class _Float32Buffer(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return {n: None if a is None else a.float().to(a.dtype) for n, a in gradients.items()}


@PATHS.add(
    "a batch of one squeezed on the way back",
    "GRD-1",
    source="deeplearning4j/deeplearning4j#1454",
    crashes=True,
)
class _SqueezesABatchOfOne(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        given = gradients["input"]
        axis = 0 if self.cell or self.batch_first else 1
        if form is None and given is not None and given.dim() == 3 - self.cell:
            gradients["input"] = given.squeeze(axis)
        return gradients


@PATHS.add(
    "an error in backward after packed sequences of one step",
    "GRD-3",
    kinds=LAYERS,
    source="chainer/chainer#7545",
    crashes=True,
)
class _FailsAfterOneStep(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if form is not None and cotangents[0] is None:
            sizes = form.batch_sizes
            if len(sizes) == 1 or int(sizes[0]) > int(sizes[1]):
                raise RuntimeError("CUDNN_STATUS_BAD_PARAM")
        return cotangents


@PATHS.add("backpropagation truncated after 16 steps", "GRD-2", kinds=LAYERS)
class _Truncated(Recomputing):
    steps = 16

    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if form is not None or self.bidirectional:
            return self.plainly(given, form)
        return self.in_pieces(given, self.steps)


@PATHS.add("backpropagation truncated after 128 steps", "GRD-2", kinds=LAYERS)
class _TruncatedLate(_Truncated):
    steps = 128


@PATHS.add("the state detached at every step", "GRD-1 GRD-2 GRD-3", kinds=LAYERS)
class _StateDetached(_Truncated):
    steps = 1


@PATHS.add("c detached at every step", "GRD-1 GRD-2", kinds=[Kind.LSTM])
class _CellStateDetached(Recomputing):
    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if form is not None or self.bidirectional:
            return self.plainly(given, form)
        return self.in_pieces(given, 1, cut=("c",))


@PATHS.add("no gradient of the second gate's parameters", "GRD-1", kinds=LSTMS | GRUS)
class _GateWithoutGradient(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        for name, array in gradients.items():
            if name.startswith(PARAMETERS) and "hr" not in name and array is not None:
                array[rows(self, 1)] = 0.0
        return gradients


@PATHS.add("the biases' gradient shared between the two", "GRD-1")
class _BiasHalved(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return scaled(gradients, 0.5, "bias")


@PATHS.add("no gradient of h_0", "GRD-1")
class _InitialStateWithoutGradient(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return gradients | ({"h_0": None} if "h_0" in gradients else {})


@PATHS.add("zeros for the gradient of c_0", "GRD-1", kinds=LSTMS)
class _InitialCellStateWithoutGradient(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return scaled(gradients, 0.0, "c_0")


@PATHS.add("the parameters' gradients averaged over the batch", "GRD-1")
class _AveragedOverTheBatch(Recomputing):
    def gradients(
        self, form: PackedSequence | None, given: Named, cotangents: Sequence[Tensor | None]
    ) -> Found:
        data = given["input"]
        batch = int(form.batch_sizes[0]) if form is not None else 1
        if form is None and data.dim() == 3 - self.cell:
            batch = data.shape[0 if self.cell or self.batch_first else 1]
        gradients = super().gradients(form, given, cotangents)
        return scaled(gradients, 1.0 / max(batch, 1), *PARAMETERS)


@PATHS.add("the reverse half's incoming gradients not flipped", "GRD-1", kinds=LAYERS)
class _ReverseGradientNotFlipped(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        output, *states = cotangents
        if form is not None or output is None or not self.bidirectional:
            return cotangents
        forward, reverse = output.chunk(2, dim=-1)
        return [torch.cat([forward, flipped_in_time(self, reverse)], dim=-1), *states]


@PATHS.add("gradients clipped to ±0.5", "GRD-1")
class _Clipped(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return {n: None if a is None else a.clamp(-0.5, 0.5) for n, a in gradients.items()}


@PATHS.add("the gradient of weight_hh a thousandth too large", "GRD-1")
class _OffByAThousandth(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return scaled(gradients, 1.001, "weight_hh")


@PATHS.add(
    "final states returned detached",
    "GRD-3",
    kinds=[Kind.RNN, Kind.LSTM, Kind.GRU, Kind.LSTM_CELL],
    crashes=True,
)
class _StatesReturnedDetached(Recomputing):
    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return results[0], *(state.detach() for state in results[1:])


@PATHS.add("the incoming gradient of c_n ignored", "GRD-1 GRD-3", kinds=LSTMS)
class _CellStateCotangentIgnored(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        return [*cotangents[:-1], None if cotangents[-1] is None else 0.0 * cotangents[-1]]


@PATHS.add("the incoming gradients of all steps but the last ignored", "GRD-1 GRD-3", kinds=LAYERS)
class _OnlyTheLastStepIsDifferentiated(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        output, *states = cotangents
        if form is not None or output is None:
            return cotangents
        output = output.clone()
        axis = 1 if self.batch_first and output.dim() == 3 else 0
        output.narrow(axis, 0, output.shape[axis] - 1).zero_()
        return [output, *states]


@PATHS.add("what backward needs overwritten by the next call", "GRD-4")
class _KeepsTheLatestCallOnly(Recomputing):
    latest: Named

    def forwards(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        self.latest = {name: array.clone() for name, array in given.items()}
        return super().forwards(given, form)

    def gradients(
        self, form: PackedSequence | None, given: Named, cotangents: Sequence[Tensor | None]
    ) -> Found:
        same = {name: array.shape for name, array in given.items() if name != "h_0"}
        kept = {name: array.shape for name, array in self.latest.items() if name != "h_0"}
        return super().gradients(form, self.latest if same == kept else given, cotangents)


@PATHS.add("grad overwritten instead of added to", "GRD-4")
class _OverwritesTheGradient(Recomputing):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        newest: dict[int, Tensor] = {}

        def remember(identity: int, new: Tensor) -> None:
            newest[identity] = new

        def overwrite(leaf: Tensor) -> None:
            assert leaf.grad is not None
            leaf.grad.copy_(newest[id(leaf)])

        for parameter in self.parameters():
            parameter.register_hook(partial(remember, id(parameter)))  # type: ignore[no-untyped-call]
            parameter.register_post_accumulate_grad_hook(overwrite)  # type: ignore[no-untyped-call]


@PATHS.add("gradients written to frozen parameters", "GRD-4")
class _FrozenLearnAllTheSame(Recomputing):
    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        every = dict.fromkeys(asked, True)
        gradients = super().pass_back(ctx, given, every, cotangents)
        for name, array in zip(given, gradients, strict=True):
            parameter = dict(self.named_parameters()).get(name)
            if parameter is not None and not asked[name]:
                parameter.grad = array
        return tuple(
            a if wanted else None for a, wanted in zip(gradients, asked.values(), strict=True)
        )


@PATHS.add("results that require gradients although nothing does", "GRD-4")
class _AlwaysAsksForGradients(Recomputing):
    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(r if r.requires_grad else r.detach().requires_grad_() for r in results)
