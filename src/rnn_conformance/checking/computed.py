"""Ways in which public code computes something in a parameter's place.

Each takes a module and the name of one of its parameters; what it makes can tell the tensor
that stands there, change what that is computed from, and put a plain parameter there again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

FACTOR = -0.5
"""What is computed is this times what it is computed from, where that is left open; exact."""


def nothing() -> None:
    """What has to be done before a call where nothing has to."""


@dataclass(frozen=True)
class Computed:
    """A parameter that is computed.

    ``value()`` is what stands there, ``change()`` changes what it is computed from in place,
    ``before()`` is done before each call, ``remove()`` makes it a plain parameter again.
    """

    value: Callable[[], Tensor]
    change: Callable[[], Any]
    remove: Callable[[], Any]
    before: Callable[[], Any] = nothing


Way: TypeAlias = Callable[[nn.Module, str], Computed]


class Scaled(nn.Module):
    """``FACTOR`` times a tensor."""

    def forward(self, original: Tensor) -> Tensor:
        """What stands in the parameter's place."""
        return FACTOR * original


class Strided(nn.Module):
    """The same, stored so that it is not contiguous."""

    def forward(self, original: Tensor) -> Tensor:
        """What stands in the parameter's place."""
        return (FACTOR * torch.stack([original, torch.zeros_like(original)], dim=-1))[..., 0]


def parametrized(module: nn.Module, name: str) -> Any:
    """What a parametrized parameter is computed by."""
    lists: Any = module.parametrizations
    return lists[name]


def parametrization(made: nn.Module) -> Way:
    """``torch.nn.utils.parametrize`` with a parametrization that is ``FACTOR`` times."""

    def way(module: nn.Module, name: str) -> Computed:
        parametrize.register_parametrization(module, name, made)
        original: Tensor = parametrized(module, name).original
        return Computed(
            lambda: FACTOR * original,
            lambda: original.mul_(2.0),
            lambda: parametrize.remove_parametrizations(module, name),
        )

    return way


def attribute(module: nn.Module, name: str) -> Computed:
    """A plain tensor as the attribute, set anew before each call, as dropout of weights does."""
    raw = getattr(module, name)
    delattr(module, name)

    def remove() -> None:
        delattr(module, name)
        module.register_parameter(name, nn.Parameter(FACTOR * raw.detach()))

    return Computed(
        lambda: FACTOR * raw,
        lambda: raw.mul_(2.0),
        remove,
        lambda: setattr(module, name, FACTOR * raw),
    )


def view(module: nn.Module, name: str) -> Computed:
    """A parameter whose data is a part of a longer vector, as ``vector_to_parameters`` makes it."""
    parameter: Tensor = getattr(module, name)
    size = parameter.numel()
    vector = torch.cat([parameter.new_full((3,), torch.nan), FACTOR * parameter.detach().flatten()])
    parameter.data = vector[3:].view_as(parameter)
    return Computed(
        lambda: vector[3 : 3 + size].view_as(parameter), lambda: vector.mul_(2.0), nothing
    )


def pruned(module: nn.Module, name: str) -> Computed:
    """Half of its elements pruned."""
    whole = getattr(module, name)
    mask = (torch.arange(whole.numel(), device=whole.device) % 2).view_as(whole)
    prune.custom_from_mask(module, name, mask)  # type: ignore[no-untyped-call]
    original = getattr(module, f"{name}_orig")
    return Computed(
        lambda: original * mask,
        lambda: original.mul_(FACTOR),
        lambda: prune.remove(module, name),  # type: ignore[no-untyped-call]
    )


def weight_norm(module: nn.Module, name: str) -> Computed:
    """``torch.nn.utils.parametrizations.weight_norm``."""
    nn.utils.parametrizations.weight_norm(module, name)
    return _parametrized(module, name, parametrized(module, name).original0)


def spectral_norm(module: nn.Module, name: str) -> Computed:
    """``torch.nn.utils.parametrizations.spectral_norm``, in evaluation mode."""
    nn.utils.parametrizations.spectral_norm(module, name)
    return _parametrized(module, name, parametrized(module, name).original)


def _parametrized(module: nn.Module, name: str, part: Tensor) -> Computed:
    return Computed(
        lambda: parametrized(module, name)(),
        # One row's share, so that what is normalised changes too.
        lambda: part[:1].mul_(FACTOR),
        lambda: parametrize.remove_parametrizations(module, name),
    )


def weight_norm_by_hook(module: nn.Module, name: str) -> Computed:
    """``torch.nn.utils.weight_norm``, which sets the attribute in a hook before each call."""
    nn.utils.weight_norm(module, name)
    part = getattr(module, f"{name}_g")
    return Computed(
        lambda: getattr(module, name),
        lambda: part[:1].mul_(FACTOR),
        lambda: nn.utils.remove_weight_norm(module, name),
    )


def spectral_norm_by_hook(module: nn.Module, name: str) -> Computed:
    """``torch.nn.utils.spectral_norm``, in evaluation mode."""
    nn.utils.spectral_norm(module, name)
    original = getattr(module, f"{name}_orig")
    return Computed(
        lambda: getattr(module, name),
        lambda: original[:1].mul_(FACTOR),
        lambda: nn.utils.remove_spectral_norm(module, name),
    )


WAYS: Mapping[str, tuple[tuple[str, Way], ...]] = {
    "parametrizations": (
        ("a parametrization", parametrization(Scaled())),
        ("a parametrization that is not contiguous", parametrization(Strided())),
    ),
    "norms": (
        ("weight_norm, the parametrization", weight_norm),
        ("spectral_norm, the parametrization", spectral_norm),
        ("weight_norm, the hook", weight_norm_by_hook),
        ("spectral_norm, the hook", spectral_norm_by_hook),
    ),
    "pruning": (("pruning", pruned),),
    "tensors": (
        ("a tensor in a parameter's place", attribute),
        ("a parameter that is a part of a vector", view),
    ),
}
