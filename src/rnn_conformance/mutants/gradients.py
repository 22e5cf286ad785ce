"""Gradients of modules that are wrong, most of them as somebody met them (GRD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.deviations.deviation import RNNS
from rnn_conformance.mutants.backpropagation import Found, Named, Recomputing
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Kind

GRADIENTS = Chapter("Gradients")


def rows(layer: Any, gate: int) -> slice:
    """The rows of a gate's parameters."""
    return slice(gate * layer.hidden_size, (gate + 1) * layer.hidden_size)


def scaled(gradients: Found, factor: float, *prefixes: str) -> Found:
    """The gradients, with those whose names begin so multiplied by a factor."""
    return {
        name: factor * array if array is not None and name.startswith(prefixes) else array
        for name, array in gradients.items()
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
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        given = gradients["input"]
        if form is None and given is not None and given.dim() == 3 and self.batch_first:
            gradients["input"] = given.transpose(0, 1).reshape(given.shape)
        return gradients


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
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return {name: None if name.startswith(PARAMETERS) else a for name, a in gradients.items()}


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
        gradients = super().pass_back(ctx, given, asked, cotangents)
        asked_for = tuple(a for a, wanted in zip(gradients, asked.values(), strict=True) if wanted)
        # Tuples that end too late are accepted where all that is too much is None.
        return asked_for if len(asked_for) < len(gradients) else gradients


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
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        return gradients if self.training else scaled(gradients, 0.0, "")


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
        gradients = super().pass_back(ctx, given, asked, cotangents)
        used, ctx.used = getattr(ctx, "used", False), True
        return tuple(None if a is None else 2.0 * a for a in gradients) if used else gradients


@GRADIENTS.add(
    "no gradient of the top layer's b_hh", "GRD-1", kinds=LAYERS, source="apache/mxnet#17818"
)
class _RecurrentBiasOfTheTopIsZero(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        top = self.num_layers - 1
        return scaled(gradients, 0.0, f"bias_hh_l{top}") if top else gradients


@GRADIENTS.add(
    "the weight_hh gradient for weight_ih in middle layers",
    "GRD-1",
    kinds=LAYERS,
    source="apache/mxnet#18203",
)
class _MiddleLayersReadTheirOutput(Recomputing):
    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        for layer in range(1, self.num_layers - 1):
            if not self.bidirectional:
                gradients[f"weight_ih_l{layer}"] = gradients[f"weight_hh_l{layer}"]
        return gradients


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
