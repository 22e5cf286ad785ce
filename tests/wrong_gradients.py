"""Drop-in classes whose gradients are wrong, each in one way, and the right one they vary.

Their forward pass is that of ``torch.nn``, so that nothing but the gradients can be wrong.
Their backward pass computes everything again, piece by piece if need be, differentiates
that, and hands over what it finds: rightly, or with a defect of the class's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Named = dict[str, Tensor]
Found = dict[str, Tensor | None]


class Backpropagation(torch.autograd.Function):
    """``layer.compute`` forwards and ``layer.pass_back`` backwards."""

    @staticmethod
    def forward(ctx: Any, layer: Any, form: Any, names: Sequence[str], *tensors: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.layer, ctx.form, ctx.names = layer, form, names
        ctx.save_for_backward(*tensors)
        with torch.no_grad():
            results = layer.forwards(dict(zip(names, tensors, strict=True)), form)
        return tuple(result.clone() for result in results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        given = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        asked = dict(zip(ctx.names, ctx.needs_input_grad[3:], strict=True))
        return (None, None, None, *ctx.layer.pass_back(ctx, given, asked, cotangents))


class Recomputing(nn.Module):
    """Right: to be mixed into any of the six classes of ``torch.nn``."""

    num_layers: int
    hidden_size: int
    bidirectional: bool
    batch_first: bool
    nonlinearity: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        base = next(c for c in type(self).__mro__ if c.__module__.startswith("torch.nn"))
        # In a list, so that it is no submodule: it lends its forward, not its parameters.
        self.plain = [base(*args, **kwargs)]

    @property
    def cell(self) -> bool:
        """Whether it computes a single step."""
        return isinstance(self, nn.RNNCellBase)

    def is_lstm(self) -> bool:
        return isinstance(self, (nn.LSTM, nn.LSTMCell))

    def forward(self, input: Any, hx: Any = None) -> Any:
        form = input if isinstance(input, PackedSequence) else None
        given: Named = {"input": input if form is None else form.data}
        if hx is not None:
            given |= dict(zip(("h_0", "c_0"), hx if self.is_lstm() else [hx], strict=False))
        given |= dict(self.named_parameters())
        results = self.results(Backpropagation.apply(self, form, list(given), *given.values()))  # type: ignore[no-untyped-call]
        if self.cell:
            return results if self.is_lstm() else results[0]
        output: Any = results[0]
        if form is not None:
            output = PackedSequence(
                output, form.batch_sizes, form.sorted_indices, form.unsorted_indices
            )
        return output, results[1:] if self.is_lstm() else results[1]

    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What is returned of the results."""
        return results

    def forwards(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        """The results, in the forward pass."""
        return self.plainly(given, form)

    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        """The results, to be differentiated."""
        return self.plainly(given, form)

    def plainly(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        """What torch.nn computes: ``output`` (packed: its data), ``h_n`` and ``c_n``."""
        parameters = {k: v for k, v in given.items() if k not in ("input", "h_0", "c_0")}
        data: Any = given["input"]
        if form is not None:
            data = PackedSequence(
                data, form.batch_sizes, form.sorted_indices, form.unsorted_indices
            )
        state: Any = given.get("h_0")
        if state is not None and self.is_lstm():
            state = (state, given["c_0"])
        returned = torch.func.functional_call(self.plain[0], parameters, (data, state))
        if self.cell:
            return returned if isinstance(returned, tuple) else (returned,)
        output, states = returned
        return (
            output.data if form is not None else output,
            *(states if isinstance(states, tuple) else (states,)),
        )

    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        """The gradients in the order of ``given``, ``None`` where none is asked."""
        cotangents = self.received(ctx.form, cotangents)
        found = self.arrived(ctx.form, self.gradients(ctx.form, given, cotangents))
        return tuple(found[name] if asked[name] else None for name in given)

    def gradients(
        self, form: PackedSequence | None, given: Named, cotangents: Sequence[Tensor | None]
    ) -> Found:
        with torch.enable_grad():
            leaves = {name: array.detach().requires_grad_() for name, array in given.items()}
            results = self.compute(leaves, form)
            used = [(r, c) for r, c in zip(results, cotangents, strict=True) if c is not None]
            found = torch.autograd.grad(
                [result for result, _ in used],
                list(leaves.values()),
                [cotangent for _, cotangent in used],
                allow_unused=True,
            )
        return dict(zip(leaves, found, strict=True))

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        """The cotangents of the results, as they are used."""
        return cotangents

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        """The gradients, as they are handed over."""
        return found

    def in_pieces(
        self, given: Named, size: int, *, cut: Sequence[str] = ("h", "c")
    ) -> tuple[Tensor, ...]:
        """The results of pieces of ``size`` steps, the states ``cut`` off from one to the next.

        Only for one direction and dense input.
        """
        data = given["input"]
        axis = 1 if self.batch_first and data.dim() == 3 else 0
        own, states = dict(given), list[Tensor]()
        outputs: list[Tensor] = []
        for piece in torch.split(data, size, dim=axis):
            output, *states = self.plainly(own | {"input": piece}, None)
            outputs.append(output)
            names = ("h", "c")[: len(states)]
            own |= {
                f"{name}_0": state.detach() if name in cut else state
                for name, state in zip(names, states, strict=True)
            }
        return torch.cat(outputs, dim=axis), *states


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


class BatchFirstGradientNotTransposed(Recomputing):
    """pytorch/pytorch#87579: the input's gradient keeps the kernel's layout."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        given = found["input"]
        if form is None and given is not None and given.dim() == 3 and self.batch_first:
            found["input"] = given.transpose(0, 1).reshape(given.shape)
        return found


class Elman(Recomputing):
    """An Elman network step by step, its relu with a slope of the class's own."""

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


class ReluSlopeAtZero(Elman):
    """pytorch/pytorch#11662: the mask is ``z >= 0``, so that a unit at rest learns."""

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return (z >= 0).to(z)


class ReluMaskOverwritten(Elman):
    """pytorch/pytorch#11662: the mask is read from a buffer that holds another unit's value."""

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return (a > 0).to(z).roll(1, dims=-1)


class StraightThroughRelu(Elman):
    """relu is differentiated as if it were the identity."""

    def slope(self, z: Tensor, a: Tensor) -> Tensor:
        return torch.ones_like(z)


class DetachedCopies(Recomputing):
    """pytorch/pytorch#33552: the layer runs on detached copies of its parameters."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return {name: None if name.startswith(PARAMETERS) else a for name, a in found.items()}


class NoPlaceholderForTheFrozen(Recomputing):
    """pytorch/pytorch#776: backward returns only what was asked for, and autograd refuses."""

    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        found = super().pass_back(ctx, given, asked, cotangents)
        asked_for = tuple(a for a, wanted in zip(found, asked.values(), strict=True) if wanted)
        # Tuples that end too late are accepted where all that is too much is None.
        return asked_for if len(asked_for) < len(found) else found


class NeedsEveryCotangent(Recomputing):
    """pytorch/pytorch#11800: an undefined gradient of h' or c' is an error."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if any(cotangent is None for cotangent in cotangents):
            raise RuntimeError("expected a Tensor but got an undefined Tensor")
        return cotangents


class OnlyInTraining(Recomputing):
    """pytorch/pytorch#5878: backward in evaluation mode is refused."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if not self.training:
            raise RuntimeError("RNN backward can only be called in training mode")
        return cotangents


class ZeroInEvaluation(Recomputing):
    """apache/mxnet#19333: in evaluation mode the gradients are zeros."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return found if self.training else scaled(found, 0.0, "")


class NeedsContiguousCotangent(Recomputing):
    """pytorch/pytorch#54307: a gradient with strides of its own is refused."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if not all(c is None or c.is_contiguous() for c in cotangents):
            raise RuntimeError("rnn: grad_output must be contiguous")
        return cotangents


class ReadsStridedAsDense(Recomputing):
    """pytorch/pytorch#54307, silent: memory is read in order, whatever the strides."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        def dense(array: Tensor) -> Tensor:
            memory = torch.empty(0, dtype=array.dtype).set_(array.untyped_storage())
            if array.is_contiguous() or memory.numel() < array.numel():
                return array
            return memory[: array.numel()].view(array.shape)

        return [None if c is None else dense(c) for c in cotangents]


class StateOverwritten(Recomputing):
    """keras-team/keras#23462: the new state is copied into the old one, in place."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if hx is not None:
            h_0, h_n = hx, returned if self.cell else returned[1]
            if self.is_lstm():
                h_0, h_n = h_0[0], h_n[0]
            with torch.no_grad():
                h_0.copy_(h_n)
        return returned


class ReserveConsumed(Recomputing):
    """tensorflow/tensorflow#26331: a second backward pass finds its buffer used up."""

    def pass_back(
        self, ctx: Any, given: Named, asked: dict[str, bool], cotangents: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, ...]:
        found = super().pass_back(ctx, given, asked, cotangents)
        used, ctx.used = getattr(ctx, "used", False), True
        return tuple(None if a is None else 2.0 * a for a in found) if used else found


class RecurrentBiasOfTheTopIsZero(Recomputing):
    """apache/mxnet#17818: with several layers, ``bias_hh`` gets no gradient."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        top = self.num_layers - 1
        return scaled(found, 0.0, f"bias_hh_l{top}") if top else found


class MiddleLayersReadTheirOutput(Recomputing):
    """apache/mxnet#18203: ``weight_ih`` of the middle layers from the wrong pointer.

    From the layer's output, as ``weight_hh`` has it.
    """

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        for layer in range(1, self.num_layers - 1):
            if not self.bidirectional:
                found[f"weight_ih_l{layer}"] = found[f"weight_hh_l{layer}"]
        return found


class PackedHasNoBackward(Recomputing):
    """apache/mxnet#15268: backward fails where there are sequence lengths."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if form is not None:
            raise RuntimeError("backward is not implemented for use_sequence_length=True")
        return cotangents


class JacobiansInForwardOrder(Recomputing):
    """elixir-nx/axon#646: steps are gone through in forward order, with the wrong adjoints."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        output, *states = cotangents
        if form is not None or output is None:
            return cotangents
        return [flipped_in_time(self, output), *states]


class Float32Buffer(Recomputing):
    """elixir-nx/axon#646: gradients are gathered in a float32 buffer, whatever the dtype."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return {n: None if a is None else a.float().to(a.dtype) for n, a in found.items()}


class SqueezesABatchOfOne(Recomputing):
    """deeplearning4j/deeplearning4j#1454: a batch of one loses its axis on the way back."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        given = found["input"]
        axis = 0 if self.cell or self.batch_first else 1
        if form is None and given is not None and given.dim() == 3 - self.cell:
            found["input"] = given.squeeze(axis)
        return found


class FailsAfterOneStep(Recomputing):
    """chainer/chainer#7545: a sequence of one step, its output unused, is an error."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        if form is not None and cotangents[0] is None:
            sizes = form.batch_sizes
            if len(sizes) == 1 or int(sizes[0]) > int(sizes[1]):
                raise RuntimeError("CUDNN_STATUS_BAD_PARAM")
        return cotangents


class Truncated(Recomputing):
    """Backpropagation ends after so many steps, as truncated training does."""

    steps = 16

    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if form is not None or self.bidirectional:
            return self.plainly(given, form)
        return self.in_pieces(given, self.steps)


class TruncatedLate(Truncated):
    """As above, in a window that short tests do not fill."""

    steps = 128


class StateDetached(Truncated):
    """Each step reads a detached state: nothing is learnt over time."""

    steps = 1


class CellStateDetached(Recomputing):
    """c is detached from step to step; h is not."""

    def compute(self, given: Named, form: PackedSequence | None) -> tuple[Tensor, ...]:
        if form is not None or self.bidirectional:
            return self.plainly(given, form)
        return self.in_pieces(given, 1, cut=("c",))


class GateWithoutGradient(Recomputing):
    """The second gate's parameters (f, z) get no gradient."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        for name, array in found.items():
            if name.startswith(PARAMETERS) and "hr" not in name and array is not None:
                array[rows(self, 1)] = 0.0
        return found


class BiasHalved(Recomputing):
    """One bias's gradient is shared between the two."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return scaled(found, 0.5, "bias")


class InitialStateWithoutGradient(Recomputing):
    """h_0 gets none."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return found | ({"h_0": None} if "h_0" in found else {})


class InitialCellStateWithoutGradient(Recomputing):
    """c_0 gets zeros."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return scaled(found, 0.0, "c_0")


class AveragedOverTheBatch(Recomputing):
    """Parameters' gradients are divided by the number of samples."""

    def gradients(
        self, form: PackedSequence | None, given: Named, cotangents: Sequence[Tensor | None]
    ) -> Found:
        data = given["input"]
        batch = int(form.batch_sizes[0]) if form is not None else 1
        if form is None and data.dim() == 3 - self.cell:
            batch = data.shape[0 if self.cell or self.batch_first else 1]
        found = super().gradients(form, given, cotangents)
        return scaled(found, 1.0 / max(batch, 1), *PARAMETERS)


class ReverseGradientNotFlipped(Recomputing):
    """The reverse direction's cotangents are read in forward order."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        output, *states = cotangents
        if form is not None or output is None or not self.bidirectional:
            return cotangents
        forward, reverse = output.chunk(2, dim=-1)
        return [torch.cat([forward, flipped_in_time(self, reverse)], dim=-1), *states]


class Clipped(Recomputing):
    """Gradients are clipped on the way, as training scripts do."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return {n: None if a is None else a.clamp(-0.5, 0.5) for n, a in found.items()}


class OffByAThousandth(Recomputing):
    """Recurrent weights' gradients are 0.1 % too large."""

    def arrived(self, form: PackedSequence | None, found: Found) -> Found:
        return scaled(found, 1.001, "weight_hh")


class StatesReturnedDetached(Recomputing):
    """The final states are handed over detached, ready for the next batch."""

    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return results[0], *(state.detach() for state in results[1:])


class CellStateCotangentIgnored(Recomputing):
    """What comes back through c_n is dropped."""

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        return [*cotangents[:-1], None if cotangents[-1] is None else 0.0 * cotangents[-1]]


class OnlyTheLastStepIsDifferentiated(Recomputing):
    """Of the output, only the cotangent of the last step is used."""

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


class KeepsTheLatestCallOnly(Recomputing):
    """What backward needs is kept in the layer, and the next call overwrites it."""

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


class OverwritesTheGradient(Recomputing):
    """``grad`` is set instead of added to."""

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


class FrozenLearnAllTheSame(Recomputing):
    """A fused backward pass writes into ``grad`` itself, and asks nobody."""

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


class AlwaysAsksForGradients(Recomputing):
    """Results require gradients although nothing does."""

    def results(self, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(r if r.requires_grad else r.detach().requires_grad_() for r in results)


@dataclass(frozen=True)
class Wrong:
    """A class, the clauses that it breaks, the kinds, and whether it shows by an exception."""

    cls: type[Recomputing]
    breaks: str
    kinds: str
    raises: bool = False


LAYERS, CELLS = "RNN LSTM GRU", "RNNCell LSTMCell GRUCell"
ALL = f"{LAYERS} {CELLS}"

WRONG = (
    Wrong(BatchFirstGradientNotTransposed, "GRD-1", LAYERS),
    Wrong(ReluSlopeAtZero, "GRD-1", "RNN RNNCell"),
    Wrong(ReluMaskOverwritten, "GRD-1", "RNN RNNCell"),
    Wrong(StraightThroughRelu, "GRD-1", "RNN RNNCell"),
    Wrong(DetachedCopies, "GRD-1", ALL),
    Wrong(NoPlaceholderForTheFrozen, "GRD-4", ALL, raises=True),
    Wrong(NeedsEveryCotangent, "GRD-3", "RNN LSTM GRU LSTMCell", raises=True),
    Wrong(OnlyInTraining, "GRD-1", ALL, raises=True),
    Wrong(ZeroInEvaluation, "GRD-1", ALL),
    Wrong(NeedsContiguousCotangent, "GRD-3", ALL, raises=True),
    Wrong(ReadsStridedAsDense, "GRD-3", ALL),
    Wrong(StateOverwritten, "GRD-1 GRD-4", ALL, raises=True),
    Wrong(ReserveConsumed, "GRD-4", ALL),
    Wrong(RecurrentBiasOfTheTopIsZero, "GRD-1", LAYERS),
    Wrong(MiddleLayersReadTheirOutput, "GRD-1", LAYERS),
    Wrong(PackedHasNoBackward, "GRD-1 GRD-3", LAYERS, raises=True),
    Wrong(JacobiansInForwardOrder, "GRD-1 GRD-2", LAYERS),
    Wrong(Float32Buffer, "GRD-1", ALL),
    Wrong(SqueezesABatchOfOne, "GRD-1", ALL, raises=True),
    Wrong(FailsAfterOneStep, "GRD-3", LAYERS, raises=True),
    Wrong(Truncated, "GRD-2", LAYERS),
    Wrong(TruncatedLate, "GRD-2", LAYERS),
    Wrong(StateDetached, "GRD-1 GRD-2 GRD-3", LAYERS),
    Wrong(CellStateDetached, "GRD-1 GRD-2", "LSTM"),
    Wrong(GateWithoutGradient, "GRD-1", "LSTM GRU LSTMCell GRUCell"),
    Wrong(BiasHalved, "GRD-1", ALL),
    Wrong(InitialStateWithoutGradient, "GRD-1", ALL),
    Wrong(InitialCellStateWithoutGradient, "GRD-1", "LSTM LSTMCell"),
    Wrong(AveragedOverTheBatch, "GRD-1", ALL),
    Wrong(ReverseGradientNotFlipped, "GRD-1", LAYERS),
    Wrong(Clipped, "GRD-1", ALL),
    Wrong(OffByAThousandth, "GRD-1", ALL),
    Wrong(StatesReturnedDetached, "GRD-3", "RNN LSTM GRU LSTMCell", raises=True),
    Wrong(CellStateCotangentIgnored, "GRD-1 GRD-3", "LSTM LSTMCell"),
    Wrong(OnlyTheLastStepIsDifferentiated, "GRD-1 GRD-3", LAYERS),
    Wrong(KeepsTheLatestCallOnly, "GRD-4", ALL),
    Wrong(OverwritesTheGradient, "GRD-4", ALL),
    Wrong(FrozenLearnAllTheSame, "GRD-4", ALL),
    Wrong(AlwaysAsksForGradients, "GRD-4", ALL),
)


def of_kind(cls: type[Recomputing], kind: str) -> type[nn.Module]:
    """The class of this kind with the way of ``cls``."""
    return type(f"{cls.__name__}{kind}", (cls, getattr(nn, kind)), {})
