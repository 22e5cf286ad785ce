"""A module's backward pass, by torch's automatic differentiation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.implementations.process import contained
from rnn_conformance.implementations.tensors import (
    assembled,
    tensor,
    tensors,
    tensors_of,
    values,
)
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.result import shaped_as_due


@dataclass(frozen=True, eq=False)
class Graph:
    """A call of a module as automatic differentiation recorded it.

    ``leaves`` are the arguments and parameters by name, padded where there are lengths;
    ``results`` what came back, unpacked; both in the layout of the call. ``tf32`` as in
    :class:`~rnn_conformance.spec.backward.Gradients`.
    """

    leaves: Mapping[str, torch.Tensor]
    results: Mapping[str, torch.Tensor]
    tf32: bool = False

    @classmethod
    def of(
        cls,
        module: torch.nn.Module,
        call: Call,
        device: str,
        names: Mapping[str, str],
        *,
        frozen: Collection[str] = (),
        tf32: bool = False,
    ) -> Graph:
        """Call the module; the arguments and parameters ``frozen`` ask for no gradient.

        ``names`` are what its parameters are called, by ``torch.nn``'s names. Raises
        ``NonConforming`` where there is none of that name.
        """
        parameters = dict(module.named_parameters())
        given = tensors(call, device)
        if missing := [name for name in names.values() if name not in parameters]:
            # Without it, its gradient would seem to be cut.
            raise NonConforming(
                f"there is no parameter {missing[0]}; there is {', '.join(parameters)} (PAR-1)",
                sort=Sort.SURFACE,
                calls=(call,),
            )
        leaves = given | {name: parameters[own] for name, own in names.items()}
        for name, leaf in leaves.items():
            leaf.requires_grad_(name not in frozen)
        arguments = assembled(call, given)
        with contained():
            returned = module(*arguments)
        results, _ = tensors_of(call, returned)
        return cls(leaves, results, tf32)

    def cotangents(self, backward: Backward) -> dict[str, torch.Tensor]:
        """Those of a backward pass, laid out as the results are.

        Raises ``NonConforming`` where a result has another shape than the one that is due, and
        so than its cotangent.
        """
        for name in backward.cotangents:
            # Compared here: what torch says of two shapes depends on which they are.
            shaped_as_due(backward.call, name, tuple(self.results[name].shape))
        return {
            name: tensor(
                backward.call.give(name, array),
                torch_dtype(backward.call.dtype),
                str(self.results[name].device),
            )
            for name, array in backward.cotangents.items()
        }

    def gradients(
        self,
        backward: Backward,
        cotangents: Mapping[str, torch.Tensor] | None = None,
        *,
        retain: bool = False,
    ) -> Gradients:
        """The gradients of all leaves that ask for one; ``retain`` keeps the graph.

        ``cotangents`` replace those of ``backward`` by tensors of the same values.
        """
        cotangents = self.cotangents(backward) if cotangents is None else cotangents
        asking = {name: leaf for name, leaf in self.leaves.items() if leaf.requires_grad}
        with contained():
            gradients = torch.autograd.grad(
                [self.results[name] for name in cotangents],
                list(asking.values()),
                list(cotangents.values()),
                retain_graph=retain,
                allow_unused=True,
            )
        return self._named(backward, dict(zip(asking, gradients, strict=True)))

    def accumulate(self, backward: Backward, *, retain: bool = False) -> None:
        """Add the gradients to the leaves' ``grad``, as a training step does."""
        cotangents = self.cotangents(backward)
        with contained():
            torch.autograd.backward(
                [self.results[name] for name in cotangents],
                list(cotangents.values()),
                retain_graph=retain,
            )

    def accumulated(self, backward: Backward) -> Gradients:
        """What has been added up in the leaves' ``grad``."""
        return self._named(backward, {name: leaf.grad for name, leaf in self.leaves.items()})

    def _named(self, backward: Backward, gradients: Mapping[str, torch.Tensor | None]) -> Gradients:
        given = {
            name: None if array is None else values(array) for name, array in gradients.items()
        }
        return Gradients(backward, given, self.tf32)
