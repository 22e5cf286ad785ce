"""Gradients of modules that are wrong, most of them as somebody met them (GRD)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.deviations.deviation import GRUS, LAYERS, LSTMS, RNNS
from rnn_conformance.mutants.backpropagation import Found, Named, Recomputing
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec import Kind

GRADIENTS = Chapter("Gradients")


def rows(layer: Any, gate: int) -> slice:
    """The rows of a gate's parameters."""
    return slice(gate * layer.hidden_size, (gate + 1) * layer.hidden_size)


def scaled(found: Found, factor: float, *prefixes: str) -> Found:
    """The gradients, with those whose names begin so multiplied by a factor."""
    return {
        name: factor * array if array is not None and name.startswith(prefixes) else array
        for name, array in found.items()
    }


def flipped_in_time(layer: Any, array: Tensor) -> Tensor:
    """A dense output with its steps in reverse order."""
    return array.flip(1 if layer.batch_first and array.dim() == 3 else 0)


PARAMETERS = ("weight", "bias")


@GRADIENTS.add(
    "the input's gradient left in the order steps, samples",
    "GRD-1",
    kinds=LAYERS,
    source="pytorch/pytorch#87579",
)
class _BatchFirstGradientNotTransposed(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        given = found["input"]
        if form is None and given is not None and given.dim() == 3 and self.batch_first:
            found["input"] = given.transpose(0, 1).reshape(given.shape)
        return found


class _Elman(Recomputing):
    """An _Elman network step by step, its relu with a slope of the class's own."""

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return (a > 0).to(z)

    def relu(self, z: Tensor) -> Tensor:
        a = torch.relu(z)
        slope = self.slope(z.detach(), a.detach())
        # The value is a's, the derivative the slope.
        return a.detach() + (z - z.detach()) * slope

    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if self.nonlinearity != "relu" or form is not None:
            return self.plainly(given, form)
        data = given["input"]
        if self.cell:
            h = given.get("h_0", data.new_zeros(*data.shape[:-1], self.hidden_size))
            return (self.step(given, "", data, h),)
        flat = data.dim() == 2
        x = data.unsqueeze(1) if flat else data.transpose(0, 1) if self.batch_first else data
        directions = 1 + self.bidirectional
        zeros = x.new_zeros(self.num_layers * directions, x.shape[1], self.hidden_size)
        states = given.get("h_0", zeros)
        states = states.unsqueeze(1) if states.dim() == 2 else states
        finals: list[Tensor] = []
        for layer in range(self.num_layers):
            halves = []
            for direction in range(directions):
                h, outputs = states[len(finals)], []
                for step in x.flip(0) if direction else x:
                    h = self.step(given, f"_l{layer}" + "_reverse" * direction, step, h)
                    outputs.append(h)
                finals.append(h)
                half = torch.stack(outputs)
                halves.append(half.flip(0) if direction else half)
            x = torch.cat(halves, dim=-1)
        h_n = torch.stack(finals)
        if flat:
            return x.squeeze(1), h_n.squeeze(1)
        return x.transpose(0, 1) if self.batch_first else x, h_n

    def step(self, given: Named, end: str, x: Tensor, h: Tensor) -> Tensor:
        z = nn.functional.linear(x, given["weight_ih" + end], given.get("bias_ih" + end))
        z = z + nn.functional.linear(h, given["weight_hh" + end], given.get("bias_hh" + end))
        return self.relu(z)


@GRADIENTS.add("a slope of relu at zero", "GRD-1", kinds=RNNS, source="pytorch/pytorch#11662")
class _ReluSlopeAtZero(_Elman):
    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return (z >= 0).to(z)


@GRADIENTS.add(
    "another unit's mask in the derivative of relu",
    "GRD-1",
    kinds=RNNS,
    source="pytorch/pytorch#11662",
)
class _ReluMaskOverwritten(_Elman):
    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return (a > 0).to(z).roll(1, dims=-1)


@GRADIENTS.add("relu differentiated as if it were the identity", "GRD-1", kinds=RNNS)
class _StraightThroughRelu(_Elman):
    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return torch.ones_like(z)


@GRADIENTS.add(
    "no gradients of the parameters, its copies being detached",
    "GRD-1",
    source="pytorch/pytorch#33552",
)
class _DetachedCopies(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return {name: None if name.startswith(PARAMETERS) else a for name, a in found.items()}


@GRADIENTS.add(
    "an error in backward where parameters are frozen",
    "GRD-4",
    source="pytorch/pytorch#776",
    crashes=True,
)
class _NoPlaceholderForTheFrozen(Recomputing):
    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        found = super().pass_back(ctx, given, asked, cotangents)
        asked_for = tuple(a for a, wanted in zip(found, asked.values(), strict=True) if wanted)
        # Tuples that end too late are accepted where all that is too much is None.
        return asked_for if len(asked_for) < len(found) else found


@GRADIENTS.add(
    "an error in backward where a result is not used",
    "GRD-3",
    kinds=[Kind.RNN, Kind.LSTM, Kind.GRU, Kind.LSTM_CELL],
    source="pytorch/pytorch#11800",
    crashes=True,
)
class _NeedsEveryCotangent(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if any(cotangent is None for cotangent in cotangents):
            raise RuntimeError("expected a Tensor but got an undefined Tensor")
        return cotangents


@GRADIENTS.add(
    "an error in backward in evaluation mode", "GRD-1", source="pytorch/pytorch#5878", crashes=True
)
class _OnlyInTraining(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if not self.training:
            raise RuntimeError("RNN backward can only be called in training mode")
        return cotangents


@GRADIENTS.add("zeros for gradients in evaluation mode", "GRD-1", source="apache/mxnet#19333")
class _ZeroInEvaluation(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return found if self.training else scaled(found, 0.0, "")


@GRADIENTS.add(
    "strided incoming gradients refused", "GRD-3", source="pytorch/pytorch#54307", crashes=True
)
class _NeedsContiguousCotangent(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if not all(c is None or c.is_contiguous() for c in cotangents):
            raise RuntimeError("rnn: grad_output must be contiguous")
        return cotangents


@GRADIENTS.add(
    "strided incoming gradients read as if they were contiguous",
    "GRD-3",
    source="pytorch/pytorch#54307",
)
class _ReadsStridedAsDense(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        def dense(array: Tensor) -> Tensor:
            memory = torch.empty(0, dtype=array.dtype).set_(array.untyped_storage())
            if array.is_contiguous() or memory.numel() < array.numel():
                return array
            return memory[: array.numel()].view(array.shape)

        return [None if c is None else dense(c) for c in cotangents]


@GRADIENTS.add(
    "a state that backward needs overwritten by the new one",
    "GRD-1 GRD-4",
    source="keras-team/keras#23462",
    crashes=True,
)
class _StateOverwritten(Recomputing):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if hx is not None:
            h_0, h_n = hx, returned if self.cell else returned[1]
            if self.is_lstm():
                h_0, h_n = h_0[0], h_n[0]
            with torch.no_grad():
                h_0.copy_(h_n)
        return returned


@GRADIENTS.add(
    "a second backward pass over a graph that doubles",
    "GRD-4",
    source="tensorflow/tensorflow#26331",
)
class _ReserveConsumed(Recomputing):
    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        found = super().pass_back(ctx, given, asked, cotangents)
        used, ctx.used = getattr(ctx, "used", False), True
        return tuple(None if a is None else 2.0 * a for a in found) if used else found


@GRADIENTS.add(
    "no gradient of the top layer's b_hh", "GRD-1", kinds=LAYERS, source="apache/mxnet#17818"
)
class _RecurrentBiasOfTheTopIsZero(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        top = self.num_layers - 1
        return scaled(found, 0.0, f"bias_hh_l{top}") if top else found


@GRADIENTS.add(
    "the weight_hh gradient for weight_ih in middle layers",
    "GRD-1",
    kinds=LAYERS,
    source="apache/mxnet#18203",
)
class _MiddleLayersReadTheirOutput(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        for layer in range(1, self.num_layers - 1):
            if not self.bidirectional:
                found[f"weight_ih_l{layer}"] = found[f"weight_hh_l{layer}"]
        return found


@GRADIENTS.add(
    "no backward pass for packed input",
    "GRD-1 GRD-3",
    kinds=LAYERS,
    source="apache/mxnet#15268",
    crashes=True,
)
class _PackedHasNoBackward(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if form is not None:
            raise RuntimeError("backward is not implemented for use_sequence_length=True")
        return cotangents


@GRADIENTS.add(
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


@GRADIENTS.add(
    "gradients gathered in float32 whatever the dtype", "GRD-1", source="elixir-nx/axon#646"
)
class _Float32Buffer(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return {n: None if a is None else a.float().to(a.dtype) for n, a in found.items()}


@GRADIENTS.add(
    "a batch of one squeezed on the way back",
    "GRD-1",
    source="deeplearning4j/deeplearning4j#1454",
    crashes=True,
)
class _SqueezesABatchOfOne(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        given = found["input"]
        axis = 0 if self.cell or self.batch_first else 1
        if form is None and given is not None and given.dim() == 3 - self.cell:
            found["input"] = given.squeeze(axis)
        return found


@GRADIENTS.add(
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


@GRADIENTS.add("backpropagation truncated after 16 steps", "GRD-2", kinds=LAYERS)
class _Truncated(Recomputing):
    steps = 16

    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if form is not None or self.bidirectional:
            return self.plainly(given, form)
        return self.in_pieces(given, self.steps)


@GRADIENTS.add("backpropagation truncated after 128 steps", "GRD-2", kinds=LAYERS)
class _TruncatedLate(_Truncated):
    steps = 128


@GRADIENTS.add("the state detached at every step", "GRD-1 GRD-2 GRD-3", kinds=LAYERS)
class _StateDetached(_Truncated):
    steps = 1


@GRADIENTS.add("c detached at every step", "GRD-1 GRD-2", kinds=[Kind.LSTM])
class _CellStateDetached(Recomputing):
    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if form is not None or self.bidirectional:
            return self.plainly(given, form)
        return self.in_pieces(given, 1, cut=("c",))


@GRADIENTS.add("no gradient of the second gate's parameters", "GRD-1", kinds=LSTMS | GRUS)
class _GateWithoutGradient(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        for name, array in found.items():
            if name.startswith(PARAMETERS) and "hr" not in name and array is not None:
                array[rows(self, 1)] = 0.0
        return found


@GRADIENTS.add("the biases' gradient shared between the two", "GRD-1")
class _BiasHalved(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return scaled(found, 0.5, "bias")


@GRADIENTS.add("no gradient of h_0", "GRD-1")
class _InitialStateWithoutGradient(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return found | ({"h_0": None} if "h_0" in found else {})


@GRADIENTS.add("zeros for the gradient of c_0", "GRD-1", kinds=LSTMS)
class _InitialCellStateWithoutGradient(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return scaled(found, 0.0, "c_0")


@GRADIENTS.add("the parameters' gradients averaged over the batch", "GRD-1")
class _AveragedOverTheBatch(Recomputing):
    def gradients(
        self, form: PackedSequence | None, given: Named, cotangents: Sequence[Tensor | None]
    ) -> Found:
        data = given["input"]
        batch = int(form.batch_sizes[0]) if form is not None else 1
        if form is None and data.dim() == 3 - self.cell:
            batch = data.shape[0 if self.cell or self.batch_first else 1]
        found = super().gradients(form, given, cotangents)
        return scaled(found, 1.0 / max(batch, 1), *PARAMETERS)


@GRADIENTS.add("the reverse half's incoming gradients not flipped", "GRD-1", kinds=LAYERS)
class _ReverseGradientNotFlipped(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        output, *states = cotangents
        if form is not None or output is None or not self.bidirectional:
            return cotangents
        forward, reverse = output.chunk(2, dim=-1)
        return [torch.cat([forward, flipped_in_time(self, reverse)], dim=-1), *states]


@GRADIENTS.add("gradients clipped to ±0.5", "GRD-1")
class _Clipped(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return {n: None if a is None else a.clamp(-0.5, 0.5) for n, a in found.items()}


@GRADIENTS.add("the gradient of weight_hh a thousandth too large", "GRD-1")
class _OffByAThousandth(Recomputing):
    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return scaled(found, 1.001, "weight_hh")


@GRADIENTS.add(
    "final states returned detached",
    "GRD-3",
    kinds=[Kind.RNN, Kind.LSTM, Kind.GRU, Kind.LSTM_CELL],
    crashes=True,
)
class _StatesReturnedDetached(Recomputing):
    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return results[0], *(state.detach() for state in results[1:])


@GRADIENTS.add("the incoming gradient of c_n ignored", "GRD-1 GRD-3", kinds=LSTMS)
class _CellStateCotangentIgnored(Recomputing):
    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        return [*cotangents[:-1], None if cotangents[-1] is None else 0.0 * cotangents[-1]]


@GRADIENTS.add(
    "the incoming gradients of all steps but the last ignored", "GRD-1 GRD-3", kinds=LAYERS
)
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


@GRADIENTS.add("what backward needs overwritten by the next call", "GRD-4")
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


@GRADIENTS.add("grad overwritten instead of added to", "GRD-4")
class _OverwritesTheGradient(Recomputing):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        newest: dict[int, Tensor] = {}

        def remember(own: int, new: Tensor) -> None:
            newest[own] = new

        def overwrite(own: Tensor) -> None:
            assert own.grad is not None
            own.grad.copy_(newest[id(own)])

        for parameter in self.parameters():
            parameter.register_hook(partial(remember, id(parameter)))  # type: ignore[no-untyped-call]
            parameter.register_post_accumulate_grad_hook(overwrite)  # type: ignore[no-untyped-call]


@GRADIENTS.add("gradients written to frozen parameters", "GRD-4")
class _FrozenLearnAllTheSame(Recomputing):
    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        every = dict.fromkeys(asked, True)
        found = super().pass_back(ctx, given, every, cotangents)
        for name, array in zip(given, found, strict=True):
            own = dict(self.named_parameters()).get(name)
            if own is not None and not asked[name]:
                own.grad = array
        return tuple(a if wanted else None for a, wanted in zip(found, asked.values(), strict=True))


@GRADIENTS.add("results that require gradients although nothing does", "GRD-4")
class _AlwaysAsksForGradients(Recomputing):
    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(r if r.requires_grad else r.detach().requires_grad_() for r in results)
