"""What makes copies of a ``torch.nn.Module``, and sees whether they mind one another."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch

from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.checking.copies import Copy, History, Way
from rnn_conformance.checking.modules import answer, tensors
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.devices import torch_dtype, trains_only
from rnn_conformance.implementations.trees import leaves
from rnn_conformance.spec.config import Dtype


def _saved(module: torch.nn.Module) -> torch.nn.Module:
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    loaded: torch.nn.Module = torch.load(stream, weights_only=False)
    return loaded


MADE: dict[Way, Callable[[torch.nn.Module], torch.nn.Module]] = {
    Way.DEEP: copy.deepcopy,
    Way.TWICE: lambda module: copy.deepcopy(copy.deepcopy(module)),
    Way.PICKLE: lambda module: pickle.loads(pickle.dumps(module)),
    Way.SAVE: _saved,
    Way.SHALLOW: copy.copy,
}


class Copying:
    """A module and its copy; how often the parameters of either were multiplied with -1/2."""

    def __init__(self, subject: Subject, member: Copy) -> None:
        self.subject, self.member = subject, member
        self.first = member.call()
        self.module: torch.nn.Module = subject.module(
            self.first.replace(dtype=Dtype.FLOAT32)
            if member.history is History.CAST
            else self.first
        )
        self.times = self.asked = 0
        self.graph: Sequence[torch.Tensor] = ()

    def run(self) -> None:
        """The history, the copy, and each after the other changed."""
        member = self.member
        self.live()
        with self.doing(f"{member.way} after {member.history}"):
            made = self.made()
        own = self.times
        self.answers(made, own, "a copy")
        if made.training != (self.module.training and member.way is not Way.LOAD):
            raise self.wrong("a copy is in another mode than the layer")
        with self.doing("train() of a copy"):
            made.train(not made.training)
        self.alone(made)
        if member.way is Way.SHALLOW:
            # Its parameters are the layer's own.
            self.scale(self.module)
            self.answers(made, own + 1, "a shallow copy, of parameters that changed")
            return
        self.scale(self.module)
        self.answers(self.module, own + 1, "the layer, whose parameters changed after the copy")
        self.answers(made, own, "a copy, after the layer changed")
        self.learn(made)
        self.scale(made)
        self.scale(made)
        self.answers(made, own + 2, "a copy whose parameters changed")
        self.answers(self.module, own + 1, "the layer, after its copy changed")
        with self.doing("load_state_dict of a copy"):
            made.load_state_dict(tensors(self.subject, member.call(times=own)))
        self.answers(made, own, "a copy that was loaded")
        self.answers(self.module, own + 1, "the layer, after its copy was loaded")

    def live(self) -> None:
        """What is done before."""
        member, call = self.member, self.first
        match member.history:
            case History.CALLED:
                answer(self.subject, self.module, call)
            case History.WITHOUT_STATE:
                answer(self.subject, self.module, member.call(given=False))
            case History.PACKED:
                answer(self.subject, self.module, member.call(given=False, packed=True))
            case History.BACKWARD:
                self.graph = self.recorded(self.module)
            case History.TRAINED:
                with self.doing("train()"):
                    self.module.train()
                self.learn(self.module)
                self.scale(self.module)
                self.times += 1
            case History.CAST:
                with self.doing(f"to(torch.{member.dtype})"):
                    self.module.to(torch_dtype(member.dtype))
                answer(self.subject, self.module, call)

    def made(self) -> torch.nn.Module:
        """The copy."""
        if self.member.way is not Way.LOAD:
            return MADE[self.member.way](self.module)
        # The other was called with other parameters: what it made of them is of no use.
        other: torch.nn.Module = self.subject.module(self.member.call(times=3))
        answer(self.subject, other, self.member.call(given=False, times=3))
        other.load_state_dict(self.module.state_dict())
        return other

    def recorded(self, module: torch.nn.Module) -> Sequence[torch.Tensor]:
        """The results of a call with gradients."""
        with self.doing("a call with gradients"), torch.enable_grad():
            returned = module(*self.subject.arguments(self.first))
        return [array for array in leaves(returned).values() if array.requires_grad]

    def learn(self, module: torch.nn.Module) -> None:
        """Gradients for a module's parameters, and for no others."""
        others = [self.module] if module is not self.module else []
        before = [_gradients(other) for other in others]
        with self.doing("train()"):
            module.train(module.training or trains_only(self.subject.implementation.device))
        results = self.recorded(module)
        with self.doing("backward"):
            torch.autograd.backward(results, [torch.ones_like(array) for array in results])
        if not any(gradient is not None for gradient in _gradients(module)):
            raise self.wrong("no parameter has a gradient after a backward pass")
        for other, then in zip(others, before, strict=True):
            if not all(map(_same, then, _gradients(other))):
                raise self.wrong("a backward pass through a copy left gradients in the layer")

    def scale(self, module: torch.nn.Module) -> None:
        """Change the parameters in place, which is exact."""
        with self.doing("mul_"), torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(-0.5)

    def alone(self, made: torch.nn.Module) -> None:
        """The mode of a copy is its own."""
        if self.module.training == made.training and self.member.way is not Way.LOAD:
            raise self.wrong("train() of a copy is the layer's, too")

    def answers(self, module: torch.nn.Module, times: int, what: str) -> None:
        """What it answers is right by the parameters that it must have."""
        what = f"{what} ({self.member.way} after {self.member.history})"
        calls = self.member.calls(times)
        # What a copy remembers shows at once; later, one call after the other will do.
        self.asked += 1
        for call in calls if self.asked == 1 else [calls[self.asked % len(calls)]]:
            assert_within_bound(answer(self.subject, module, call), what=what)

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Exceptions are the implementation's fault."""
        return self.subject.doing(self.first, what)

    def wrong(self, message: str) -> NonConforming:
        """Something else changed."""
        message += f" ({self.member.way} after {self.member.history})"
        return NonConforming(message, sort=Sort.SIDE_EFFECT, calls=(self.first,))


def _gradients(module: torch.nn.Module) -> list[torch.Tensor | None]:
    return [
        None if parameter.grad is None else parameter.grad.clone()
        for parameter in module.parameters()
    ]


def _same(first: torch.Tensor | None, second: torch.Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.equal(first, second)


def copied(subject: Subject, member: Copy) -> None:
    """Copy a layer; raises ``NonConforming`` where the two are not one as good as the other."""
    Copying(subject, member).run()
