"""What a mutant is: an implementation that is right but for one thing, and what is known of it.

The term is that of mutation testing (DeMillo, Lipton & Sayward, "Hints on test data
selection", 1978): a suite kills a mutant, or the mutant survives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, Unpack

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.deviations import defect
from rnn_conformance.deviations.defect import Defect, Facts
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.implementations.trees import leaves
from rnn_conformance.spec.config import Kind

Mixin: Any = object
"""What a defect is mixed into: a class of ``torch.nn``."""

Make: TypeAlias = Callable[[Kind], Implementation]

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Mutant(Defect):
    """An implementation that is known to be wrong in one way.

    ``make`` makes it in one of its kinds. ``crashes`` says that the defect itself is an
    exception on a legal call. It is listed under the title of its ``chapter``.
    """

    chapter: str
    make: Make = field(repr=False, compare=False)
    crashes: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.chapter:
            raise ValueError(f"{self.name} is in no chapter")

    def implementation(self, kind: Kind) -> Implementation:
        """The mutant in one of its kinds; raises ``ValueError`` for another."""
        if kind not in self.kinds:
            raise ValueError(f"there is no {kind} with {self.name}")
        return self.make(kind)


class Chapter(defect.Chapter[Mutant]):
    """The mutants of one chapter, which has a title."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def put(
        self, name: str, breaks: str, make: Make, *, crashes: bool = False, **facts: Unpack[Facts]
    ) -> None:
        """Add what ``make`` makes; ``breaks`` are clause ids separated by blanks."""
        described = self.described(name, breaks, **facts)
        self.append(Mutant(**described, chapter=self.title, make=make, crashes=crashes))

    def add(
        self, name: str, breaks: str, *, crashes: bool = False, **facts: Unpack[Facts]
    ) -> Callable[[C], C]:
        """Add the decorated mixin, of which :func:`of_kind` makes classes."""

        def add(mixin: C) -> C:
            def make(kind: Kind) -> Implementation:
                return drop_in(of_kind(mixin, kind), name=name)

            self.put(name, breaks, make, crashes=crashes, **facts)
            return mixin

        return add


def of_kind(mixin: type, kind: Kind) -> type[nn.Module]:
    """``torch.nn``'s class of this kind with the mixin's defect; pickle finds it by its name."""
    name = f"{mixin.__module__.rpartition('.')[2]}_{mixin.__name__}{kind}"
    if name not in globals():
        bases = (mixin, getattr(nn, kind.value))
        globals()[name] = type(name, bases, {"__module__": __name__})
    cls: type[nn.Module] = globals()[name]
    return cls


def both(hx: Any) -> tuple[Tensor, ...]:
    """The state's tensors."""
    return hx if isinstance(hx, tuple) else (hx,)


def as_given(hx: Any, states: Iterable[Tensor]) -> Any:
    """Tensors in the structure of ``hx``."""
    states = tuple(states)
    return states if isinstance(hx, tuple) else states[0]


def data_of(input: Any) -> Tensor:
    """The numbers of an input, be it packed or not."""
    data: Tensor = next(iter(leaves(input).values()))
    return data


def cast(value: Any, dtype: torch.dtype) -> Any:
    """An input or a state in another dtype, integers too, which :func:`mapped` passes by."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.to(dtype))
    return None if value is None else as_given(value, (array.to(dtype) for array in both(value)))


def state_shape(module: Any, input: Any) -> tuple[int, ...] | None:
    """The shape of ``h_0`` for an input, where that can be told."""
    cell = isinstance(module, nn.RNNCellBase)
    if cell and isinstance(input, Tensor) and input.dim() in (1, 2):
        return (*input.shape[:-1], module.hidden_size)
    if cell or not (isinstance(input, PackedSequence) or input.dim() in (2, 3)):
        return None
    places = module.num_layers * (1 + module.bidirectional)
    width = module.proj_size or module.hidden_size
    if isinstance(input, PackedSequence):
        return places, int(input.batch_sizes[0]), width
    if input.dim() == 2:
        return places, width
    return places, input.shape[0 if module.batch_first else 1], width


def cycled(array: Tensor, axis: int, size: int) -> Tensor:
    """Repeated or cut along one axis; zeros, where there is nothing to repeat."""
    if not array.shape[axis]:
        shape = list(array.shape)
        shape[axis] = size
        return array.new_zeros(shape)
    index = torch.arange(size, device=array.device) % array.shape[axis]
    return array.index_select(axis, index)
