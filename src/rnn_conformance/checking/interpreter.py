"""What runs a program of steps on a ``torch.nn.Module``, and watches it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.checking.modules import by_torchs_names
from rnn_conformance.checking.programs import CALLS, Program, Step
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.devices import torch_dtype, trains_only
from rnn_conformance.implementations.tensors import values
from rnn_conformance.implementations.trees import leaves
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Dtype, Feature


class Interpreter:
    """A module, its first call, and the results that its program has kept.

    ``unmodified`` says that what is handed over in a call is looked at after it.
    """

    def __init__(self, subject: Subject, program: Program, *, unmodified: bool) -> None:
        self.subject, self.program, self.unmodified = subject, program, unmodified
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
            state = self.module.state_dict()
        # It may hold more, and that no tensors.
        found = by_torchs_names(self.subject, self.call, state)
        return {name: values(value) for name, value in found.items()}

    def doing(self, what: str) -> Any:
        """Exceptions are the implementation's fault."""
        return self.subject.doing(self.call, what)

    def forward(self, call: Call, *, backward: bool = False) -> dict[str, torch.Tensor]:
        """Call the module and compare with the oracle on the parameters of this moment."""
        current = call.replace(parameters=self.parameters())
        given = self.subject.arguments(current)
        looked_at = leaves(given) if self.unmodified else {}
        before = {place: array.clone() for place, array in looked_at.items()}
        with self.doing("forward"), torch.set_grad_enabled(backward):
            returned = self.module(*given)
        assert_within_bound(self.subject.result(current, returned))
        tensors = leaves(returned)
        if backward:
            with self.doing("backward"):
                sums = [array.sum() for array in tensors.values() if array.requires_grad]
                # torch leaves this method without types.
                torch.stack(sums).sum().backward()  # type: ignore[no-untyped-call]
        if self.unmodified:
            self.are_unmodified(current, looked_at, before)
        return {place: array.detach() for place, array in tensors.items()}

    def are_unmodified(
        self,
        call: Call,
        given: Mapping[str, torch.Tensor],
        before: Mapping[str, torch.Tensor],
    ) -> None:
        """What was handed over in a call is what it was, and so are the parameters (MEM-1)."""
        for place, array in given.items():
            if not torch.equal(array, before[place]):
                raise self.changed(f"argument {place} was modified", call)
        for name, numbers in self.parameters().items():
            if not np.array_equal(numbers, call.parameters[name]):
                raise self.changed(f"{name} was modified by a call", call)

    def changed(self, message: str, call: Call | None = None) -> NonConforming:
        """Something is not what it was."""
        return NonConforming(message, sort=Sort.SIDE_EFFECT, calls=(call or self.call,))

    def holds(self, expected: Mapping[str, Array], what: str) -> None:
        """The parameters are these, bit for bit."""
        for name, array in self.parameters().items():
            if not np.array_equal(array, expected[name]):
                raise self.changed(
                    f"{name} after {what} is {array.ravel()[:4]}…, "
                    f"not {expected[name].ravel()[:4]}…"
                )

    def check_kept(self) -> None:
        """Results that were kept are what they were (MEM-3)."""
        for results, copies in self.kept:
            for place, array in results.items():
                if not torch.equal(array, copies[place]):
                    raise self.changed(f"result {place} that was kept has changed since")

    def without_state(self) -> None:
        """The same call with no state, where that is declared."""
        call = self.call.replace(h_0=None, c_0=None)
        if self.subject.declares(call):
            self.forward(call)

    def other_length(self) -> None:
        """Twice as many steps; a cell has one."""
        call = self.call
        if call.config.kind.is_cell or call.lengths is not None:
            self.other_input()
        else:
            self.forward(call.replace(input=np.concatenate([call.input, call.input])))

    def other_batch(self) -> None:
        """The first sample alone; packed sequences keep the longest, which may not be it."""
        if self.call.lengths is not None:
            self.other_input()
        else:
            self.forward(self.call.samples(slice(0, 1)))

    def other_input(self) -> None:
        """The same shapes."""
        self.forward(self.call.replace(input=-self.call.input))

    def unbatched(self) -> None:
        """The first sample without an axis for it, where that is declared."""
        if Feature.UNBATCHED in self.subject.features and self.call.lengths is None:
            self.forward(self.call.samples(slice(0, 1)).replace(unbatched=True))

    def packed(self) -> None:
        """The same input with lengths, where that is declared; none for a cell."""
        call = self.call
        if Feature.PACKED not in self.subject.features or call.unbatched:
            return
        # Out of order, the longest in the middle.
        lengths = [1 + (sample * 2) % call.length for sample in range(call.batch)]
        lengths[call.batch // 2] = call.length
        if Feature.UNSORTED not in self.subject.features:
            lengths.sort(reverse=True)
        self.forward(call.replace(lengths=tuple(lengths)))

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
        own = set(self.subject.implementation.names(self.call.config).values())
        with self.doing("load_state_dict"):
            self.module.load_state_dict(
                {
                    name: -value if name in own else value
                    for name, value in self.module.state_dict().items()
                }
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
        self.forward(self.call.replace(dtype=wide[0]))
        with self.doing(f"to(torch.{self.call.dtype})"):
            self.module.to(torch_dtype(self.call.dtype))
        if wide[0] is Dtype.FLOAT64:
            self.holds(before, "casting to float64 and back")

    def flatten(self) -> None:
        """``flatten_parameters()``, which a cell has not; that a layer has none is PAR-5's."""
        flatten: Any = getattr(self.module, "flatten_parameters", None)
        if flatten is not None:
            before = self.parameters()
            with self.doing("flatten_parameters()"):
                flatten()
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
        copies = {place: array.clone() for place, array in results.items()}
        self.kept.append((results, copies))

    def overwrite(self) -> None:
        """A result that is written over must not matter to the next call."""
        for array in self.forward(self.call).values():
            array.fill_(7)


STEPS: dict[Step, Callable[[Interpreter], object]] = {
    Step.FORWARD: lambda interpreter: interpreter.forward(interpreter.call),
    Step.WITHOUT_STATE: Interpreter.without_state,
    Step.OTHER_LENGTH: Interpreter.other_length,
    Step.OTHER_BATCH: Interpreter.other_batch,
    Step.OTHER_INPUT: Interpreter.other_input,
    Step.UNBATCHED: Interpreter.unbatched,
    Step.PACKED: Interpreter.packed,
    Step.TRAIN: lambda interpreter: interpreter.module.train(),
    # Where torch.nn differentiates in training mode alone, no program evaluates and then does.
    Step.EVAL: lambda interpreter: interpreter.module.train(
        trains_only(interpreter.subject.implementation.device)
    ),
    Step.BACKWARD: lambda interpreter: interpreter.forward(interpreter.call, backward=True),
    Step.OPTIMISER: Interpreter.optimiser,
    Step.IN_PLACE: lambda interpreter: interpreter.change("mul_", lambda p: p.mul_(-0.5)),
    Step.DATA: lambda interpreter: interpreter.change(".data", Interpreter.assign),
    Step.LOAD: Interpreter.load,
    Step.CAST: Interpreter.cast,
    Step.FLATTEN: Interpreter.flatten,
    Step.COPY: Interpreter.copied,
    Step.PICKLE: Interpreter.pickled,
    Step.KEEP: Interpreter.keep,
    Step.OVERWRITE: Interpreter.overwrite,
    Step.ZERO_GRAD: lambda interpreter: interpreter.module.zero_grad(),
}


def run(subject: Subject, program: Program, *, unmodified: bool = False) -> None:
    """Run a program; raises ``NonConforming`` at the first thing that is not as it should be.

    With ``unmodified``, also where a call modified what it was given.
    """
    Interpreter(subject, program, unmodified=unmodified).run()
