"""What a mutant is: an implementation that is right but for one thing, and what is known of it.

The term is that of mutation testing (DeMillo, Lipton & Sayward, "Hints on test data
selection", 1978): a suite kills a mutant, or the mutant survives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.classes import drop_in
from rnn_conformance.clauses import CLAUSES
from rnn_conformance.deviations.deviation import ALL, COMMON, LAYERS
from rnn_conformance.interface import Implementation
from rnn_conformance.spec import Feature, Kind

CELLS = ALL - LAYERS

Mixin: Any = object
"""What a defect is mixed into: a class of ``torch.nn``."""

Make: TypeAlias = Callable[[Kind], Implementation]

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Mutant:
    """An implementation that is known to be wrong in one way.

    ``name`` completes "a layer with …". ``breaks`` are the ids of the clauses that it
    breaks, ``kinds`` those that it exists in, ``needs`` the features without which it cannot
    show. ``source`` is where it was seen: an issue thread, a paper, another framework's
    convention, or :data:`COMMON`. ``crashes`` says that the defect itself is an exception on
    a legal call. Raises ``ValueError`` for what cannot be.
    """

    name: str
    breaks: frozenset[str]
    kinds: frozenset[Kind]
    needs: frozenset[Feature]
    source: str
    chapter: str
    make: Make = field(repr=False, compare=False)
    crashes: bool = False

    def __post_init__(self) -> None:
        if not (self.name and self.source and self.chapter):
            raise ValueError(f"a mutant has a name, a source and a chapter: {self}")
        if unknown := sorted(self.breaks - set(CLAUSES)):
            raise ValueError(f"{self.name} breaks {', '.join(unknown)}, which is no clause")
        if not self.kinds:
            raise ValueError(f"{self.name} exists in no kind")
        for kind in sorted(self.kinds):
            if not self.clauses(kind):
                raise ValueError(f"{self.name} breaks no clause that applies to {kind}")
            if missing := sorted(self.needs - Feature.of(kind)):
                raise ValueError(f"{self.name} needs {', '.join(missing)}, which {kind} has not")

    def clauses(self, kind: Kind) -> frozenset[str]:
        """The clauses that it breaks in one of its kinds."""
        return frozenset(each for each in self.breaks if kind in CLAUSES[each].kinds)

    def implementation(self, kind: Kind) -> Implementation:
        """The mutant in one of its kinds; raises ``ValueError`` for another."""
        if kind not in self.kinds:
            raise ValueError(f"there is no {kind} with {self.name}")
        return self.make(kind)


class Chapter(list[Mutant]):
    """The mutants of one chapter, in the order in which they are added."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def put(
        self,
        name: str,
        breaks: str,
        make: Make,
        *,
        kinds: Iterable[Kind] = ALL,
        needs: Iterable[Feature] = (),
        source: str = COMMON,
        crashes: bool = False,
    ) -> None:
        """Add what ``make`` makes; ``breaks`` are clause ids separated by blanks."""
        ids = frozenset(breaks.split())
        self.append(
            Mutant(name, ids, frozenset(kinds), frozenset(needs), source, self.title, make, crashes)
        )

    def add(
        self,
        name: str,
        breaks: str,
        *,
        kinds: Iterable[Kind] = ALL,
        needs: Iterable[Feature] = (),
        source: str = COMMON,
        crashes: bool = False,
    ) -> Callable[[C], C]:
        """Add the decorated mixin, of which :func:`of_kind` makes classes."""

        def add(mixin: C) -> C:
            def make(kind: Kind) -> Implementation:
                return drop_in(of_kind(mixin, kind), name=name)

            self.put(name, breaks, make, kinds=kinds, needs=needs, source=source, crashes=crashes)
            return mixin

        return add


def of_kind(mixin: type, kind: Kind) -> type[nn.Module]:
    """``torch.nn``'s class of this kind with the mixin's defect; pickle finds it by its name."""
    name = f"{mixin.__module__.rpartition('.')[2]}_{mixin.__name__}{kind}"
    if name not in globals():
        bases = (mixin, getattr(nn, kind.value))
        globals()[name] = type(name, bases, {"__module__": __name__})
    found: type[nn.Module] = globals()[name]
    return found


def both(hx: Any) -> tuple[Tensor, ...]:
    """The state's tensors."""
    return hx if isinstance(hx, tuple) else (hx,)


def as_given(hx: Any, states: Iterable[Tensor]) -> Any:
    """Tensors in the structure of ``hx``."""
    states = tuple(states)
    return states if isinstance(hx, tuple) else states[0]


def tensors(returned: Any) -> list[Tensor]:
    """All tensors of what was given or returned."""
    if isinstance(returned, Tensor):
        return [returned]
    if isinstance(returned, PackedSequence):
        return [returned.data]
    return [array for each in returned for array in tensors(each)]


def mapped(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """``change`` applied to each tensor of floating-point numbers."""
    if isinstance(value, PackedSequence):
        return value._replace(data=change(value.data))
    if isinstance(value, tuple):
        return tuple(map(partial(mapped, change), value))
    return None if value is None else change(value)


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
    """Repeated or cut along one axis."""
    index = torch.arange(size, device=array.device) % array.shape[axis]
    return array.index_select(axis, index)
