"""A layer of ``torch.nn`` with a backward pass of its own, for mutants to vary.

The forward pass is that of ``torch.nn``, so that nothing but the gradients can be wrong. The
backward pass computes everything again, piece by piece if need be, differentiates that, and
hands over what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        """The results; what backward needs is kept."""
        ctx.set_materialize_grads(False)
        ctx.layer, ctx.form, ctx.names = layer, form, names
        ctx.save_for_backward(*tensors)
        # What is computed again draws the same masks.
        ctx.drawn = torch.get_rng_state()
        with torch.no_grad():
            results = layer.forwards(dict(zip(names, tensors, strict=True)), form)
        return tuple(result.clone() for result in results)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        """The gradients of the tensors."""
        given = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        asked = dict(zip(ctx.names, ctx.needs_input_grad[3:], strict=True))
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(ctx.drawn)
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
        """Whether the state is a pair."""
        return isinstance(self, (nn.LSTM, nn.LSTMCell))

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As ``torch.nn`` has it."""
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
        plain = self.plain[0].train(self.training)
        returned = torch.func.functional_call(plain, parameters, (data, state))
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
        gradients = self.arrived(ctx.form, self.gradients(ctx.form, given, cotangents))
        return tuple(gradients[name] if asked[name] else None for name in given)

    def gradients(
        self, form: PackedSequence | None, given: Named, cotangents: Sequence[Tensor | None]
    ) -> Found:
        """The gradients by name, of everything that was given."""
        with torch.enable_grad():
            leaves = {name: array.detach().requires_grad_() for name, array in given.items()}
            results = self.compute(leaves, form)
            used = [(r, c) for r, c in zip(results, cotangents, strict=True) if c is not None]
            gradients = torch.autograd.grad(
                [result for result, _ in used],
                list(leaves.values()),
                [cotangent for _, cotangent in used],
                allow_unused=True,
            )
        return dict(zip(leaves, gradients, strict=True))

    def received(
        self, form: PackedSequence | None, cotangents: Sequence[Tensor | None]
    ) -> Sequence[Tensor | None]:
        """The cotangents of the results, as they are used."""
        return cotangents

    def arrived(self, form: PackedSequence | None, gradients: Found) -> Found:
        """The gradients, as they are handed over."""
        return gradients

    def in_pieces(
        self, given: Named, size: int, *, cut: Sequence[str] = ("h", "c")
    ) -> tuple[Tensor, ...]:
        """The results of pieces of ``size`` steps, the states ``cut`` off from one to the next.

        Only for one direction and dense input.
        """
        data = given["input"]
        axis = 1 if self.batch_first and data.dim() == 3 else 0
        arguments, states = dict(given), list[Tensor]()
        outputs: list[Tensor] = []
        for piece in torch.split(data, size, dim=axis):
            output, *states = self.plainly(arguments | {"input": piece}, None)
            outputs.append(output)
            names = ("h", "c")[: len(states)]
            arguments |= {
                f"{name}_0": state.detach() if name in cut else state
                for name, state in zip(names, states, strict=True)
            }
        return torch.cat(outputs, dim=axis), *states
