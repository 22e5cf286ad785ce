"""What runs a program of steps on a ``torch.nn.Module``, and watches it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from rnn_conformance.calls import Array, Call
from rnn_conformance.checks import matches
from rnn_conformance.classes import arguments, result_of, torch_dtype
from rnn_conformance.errors import NonConforming
from rnn_conformance.memory import leaves
from rnn_conformance.parts import samples
from rnn_conformance.programs import CALLS, Program, Step
from rnn_conformance.spec import Dtype, Feature
from rnn_conformance.subject import Subject


class Machine:
    """A module, its first call, and the results that its program has kept."""

    def __init__(self, subject: Subject, program: Program) -> None:
        self.subject, self.program = subject, program
        self.call = program.case.call()
        self.module: torch.nn.Module = subject.module(self.call)
        self.kept: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []
        self.done: list[Step] = []

    def run(self) -> None:
        """Each step in turn; a failure says after which steps it came."""
        for step in self.program.steps:
            self.done.append(step)
            try:
                STEPS[step](self)
                # What a step did shows in the call after it.
                if step not in CALLS:
                    self.forward(self.call)
                self.check_kept()
            except NonConforming as error:
                error.message = f"after {', '.join(map(repr, map(str, self.done)))}: " + (
                    error.message
                )
                raise

    def parameters(self) -> dict[str, Array]:
        """What the parameters are at this moment, by name."""
        with self.doing("state_dict()"):
            return {
                name: value.detach().to(torch.float64).numpy().copy()
                for name, value in self.module.state_dict().items()
            }

    def doing(self, what: str) -> Any:
        """Exceptions are the implementation's fault."""
        return self.subject.doing(self.call, what)

    def forward(self, call: Call, *, backward: bool = False) -> dict[str, torch.Tensor]:
        """Call the module and compare with the oracle on the parameters of this moment.

        Nothing that was handed over may be modified (MEM-1).
        """
        current = replace(call, parameters=self.parameters())
        given = arguments(current)
        before = {place: each.clone() for place, each in leaves(given).items()}
        with self.doing("forward"), torch.set_grad_enabled(backward):
            returned = self.module(*given)
        matches(result_of(current, returned))
        tensors = leaves(returned)
        if backward:
            with self.doing("backward"):
                total = torch.stack([each.sum() for each in tensors.values() if each.requires_grad])
                # torch leaves this method without types.
                total.sum().backward()  # type: ignore[no-untyped-call]
        for place, each in leaves(given).items():
            if not torch.equal(each, before[place]):
                raise NonConforming(f"argument {place} was modified", calls=(current,))
        for name, array in self.parameters().items():
            if not np.array_equal(array, current.parameters[name]):
                raise NonConforming(f"{name} was modified by a call", calls=(current,))
        return {place: each.detach() for place, each in tensors.items()}

    def holds(self, expected: Mapping[str, Array], what: str) -> None:
        """The parameters are these, bit for bit."""
        for name, array in self.parameters().items():
            if not np.array_equal(array, expected[name]):
                raise NonConforming(
                    f"{name} after {what} is {array.ravel()[:4]}…, "
                    f"not {expected[name].ravel()[:4]}…",
                    calls=(self.call,),
                )

    def check_kept(self) -> None:
        """Results that were kept are what they were (MEM-3)."""
        for results, copies in self.kept:
            for place, each in results.items():
                if not torch.equal(each, copies[place]):
                    raise NonConforming(
                        f"result {place} that was kept has changed since", calls=(self.call,)
                    )

    def without_state(self) -> None:
        """The same call with no state."""
        self.forward(replace(self.call, h_0=None, c_0=None))

    def other_length(self) -> None:
        """Twice as many steps; a cell has one."""
        call = self.call
        if call.config.kind.is_cell or call.lengths is not None:
            self.other_input()
        else:
            self.forward(replace(call, input=np.concatenate([call.input, call.input])))

    def other_batch(self) -> None:
        """The first sample alone; packed sequences keep the longest, which may not be it."""
        if self.call.lengths is not None:
            self.other_input()
        else:
            self.forward(samples(self.call, slice(0, 1)))

    def other_input(self) -> None:
        """The same shapes."""
        self.forward(replace(self.call, input=-self.call.input))

    def unbatched(self) -> None:
        """The first sample without an axis for it, where that is declared."""
        if Feature.UNBATCHED in self.subject.features and self.call.lengths is None:
            self.forward(replace(samples(self.call, slice(0, 1)), unbatched=True))

    def packed(self) -> None:
        """The same input with lengths, where that is declared; none for a cell."""
        call = self.call
        if Feature.PACKED not in self.subject.features or call.unbatched:
            return
        # Out of order, the longest in the middle.
        lengths = [1 + (sample * 2) % call.length for sample in range(call.batch)]
        lengths[call.batch // 2] = call.length
        self.forward(replace(call, lengths=tuple(lengths)))

    def optimiser(self) -> None:
        """A gradient, and a step against it.

        By hand: the first step of ``torch.optim`` loads its compiler, which takes seconds.
        """
        self.forward(self.call, backward=True)
        self.change(
            "a step of an optimiser",
            lambda p: None if p.grad is None else p.add_(p.grad, alpha=-0.125),
        )

    def change(self, what: str, how: Callable[[torch.nn.Parameter], object]) -> None:
        """Do something to every parameter."""
        with self.doing(what), torch.no_grad():
            for parameter in self.module.parameters():
                how(parameter)

    @staticmethod
    def assign(parameter: torch.nn.Parameter) -> None:
        """Other memory under the same parameter, as ``to()`` does it."""
        parameter.data = parameter.data.flip(0)

    def load(self) -> None:
        """Other values through ``load_state_dict``."""
        before = self.parameters()
        with self.doing("load_state_dict"):
            self.module.load_state_dict(
                {name: -value for name, value in self.module.state_dict().items()}
            )
        self.holds({name: -array for name, array in before.items()}, "load_state_dict")

    def cast(self) -> None:
        """To another declared dtype, a call there, and back."""
        others = self.subject.implementation.declaration.dtypes - {self.call.dtype}
        wide = [dtype for dtype in (Dtype.FLOAT64, Dtype.FLOAT32) if dtype in others]
        if not wide:
            return
        before = self.parameters()
        with self.doing(f"to(torch.{wide[0]})"):
            self.module.to(torch_dtype(wide[0]))
        self.forward(replace(self.call, dtype=wide[0]))
        with self.doing(f"to(torch.{self.call.dtype})"):
            self.module.to(torch_dtype(self.call.dtype))
        if wide[0] is Dtype.FLOAT64:
            self.holds(before, "casting to float64 and back")

    def flatten(self) -> None:
        """``flatten_parameters()``, which a cell does not have."""
        if not self.call.config.kind.is_cell:
            before = self.parameters()
            with self.doing("flatten_parameters()"):
                self.module.flatten_parameters()  # type: ignore[operator]
            self.holds(before, "flatten_parameters()")

    def copied(self) -> None:
        """Go on with a copy; the original is spoilt, so that what is shared shows."""
        with self.doing("copy.deepcopy"):
            self.spoil(copy.deepcopy(self.module))

    def pickled(self) -> None:
        """Likewise with what pickle makes of it."""
        with self.doing("pickle"):
            stream = io.BytesIO()
            pickle.dump(self.module, stream)
            self.spoil(pickle.loads(stream.getvalue()))

    def spoil(self, successor: torch.nn.Module) -> None:
        """Put ``successor`` in place of the module, whose parameters become NaN."""
        before = self.parameters()
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.fill_(float("nan"))
        self.module = successor
        self.holds(before, "a copy")

    def keep(self) -> None:
        """A result that must stay as it is."""
        results = self.forward(self.call)
        self.kept.append((results, {place: each.clone() for place, each in results.items()}))

    def overwrite(self) -> None:
        """A result that is written over must not matter to the next call."""
        for each in self.forward(self.call).values():
            each.fill_(7)


STEPS: dict[Step, Callable[[Machine], object]] = {
    Step.FORWARD: lambda machine: machine.forward(machine.call),
    Step.WITHOUT_STATE: Machine.without_state,
    Step.OTHER_LENGTH: Machine.other_length,
    Step.OTHER_BATCH: Machine.other_batch,
    Step.OTHER_INPUT: Machine.other_input,
    Step.UNBATCHED: Machine.unbatched,
    Step.PACKED: Machine.packed,
    Step.TRAIN: lambda machine: machine.module.train(),
    Step.EVAL: lambda machine: machine.module.eval(),
    Step.BACKWARD: lambda machine: machine.forward(machine.call, backward=True),
    Step.OPTIMISER: Machine.optimiser,
    Step.IN_PLACE: lambda machine: machine.change("mul_", lambda p: p.mul_(-0.5)),
    Step.DATA: lambda machine: machine.change(
        ".data", lambda p: setattr(p, "data", p.data.flip(0))
    ),
    Step.LOAD: Machine.load,
    Step.CAST: Machine.cast,
    Step.FLATTEN: Machine.flatten,
    Step.COPY: Machine.copied,
    Step.PICKLE: Machine.pickled,
    Step.KEEP: Machine.keep,
    Step.OVERWRITE: Machine.overwrite,
    Step.ZERO_GRAD: lambda machine: machine.module.zero_grad(),
}


def run(subject: Subject, program: Program) -> None:
    """Run a program; raises ``NonConforming`` at the first thing that is not as it should be."""
    Machine(subject, program).run()
