"""A layer of ``torch.nn`` that reads its parameters by a method of its own, for mutants to vary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Read = dict[str, Tensor]


class Reading(nn.Module):
    """Right: each parameter is the attribute of its name, whatever stands there at the call.

    To be mixed into any of the six classes of ``torch.nn``.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        base = next(cls for cls in type(self).__mro__ if cls.__module__.startswith("torch.nn"))
        # In a list, so that it is no submodule: it lends its forward, not its parameters.
        self.plain = [base(*args, **keywords)]
        self.names = [name for name, _ in self.plain[0].named_parameters()]

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As ``torch.nn`` has it."""
        return self.called(self.read(), input, hx)

    def called(self, parameters: Read, input: Any, hx: Any) -> Any:
        """The layer with these parameters."""
        plain = self.plain[0].train(self.training)
        for name in ("dropout", "batch_first"):
            if name in self.__dict__:
                setattr(plain, name, self.__dict__[name])
        # Two that are tied are given each by itself.
        return torch.func.functional_call(plain, parameters, (input, hx), tie_weights=False)

    def read(self) -> Read:
        """The parameters by name."""
        return {name: self.one(name) for name in self.names}

    def one(self, name: str) -> Tensor:
        """One of them."""
        tensor: Tensor = getattr(self, name)
        return tensor

    def is_plain(self, name: str) -> bool:
        """Whether a parameter stands there, and nothing that is computed."""
        return self._parameters.get(name) is not None


class Keeping(Reading):
    """Right too; it holds on to the parameters of its constructor."""

    first: Read

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        # Beside the parameters: casts and loading change these in place.
        self.__dict__["first"] = dict(self._parameters)
