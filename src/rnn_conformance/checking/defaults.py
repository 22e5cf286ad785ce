"""What a class's constructor does where it is not told: the same as ``torch.nn``'s, or not."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from rnn_conformance.checking.storage import contents
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.trees import leaves
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.config import ARGUMENTS, Config, Dtype, Feature, Kind


@dataclass(frozen=True)
class Look:
    """What can be seen of a layer: attributes, names and shapes; and the numbers in it."""

    surface: tuple[Any, ...]
    numbers: tuple[Any, ...]

    @classmethod
    def at(cls, implementation: Implementation, cases: Collection[Case]) -> Look | None:
        """In training mode, at fresh parameters; ``None`` where something was raised."""
        surface: list[Any] = []
        numbers: list[Any] = []
        for case in cases:
            try:
                arguments = implementation.arguments(case.call())
                module = implementation.construct(case.config).train()
                returned = module.to(arguments[0].dtype)(*arguments)
                surface += [
                    repr(getattr(module, name, None)) for name in case.config.kind.arguments
                ]
                for found in (dict(module.named_parameters()), leaves(returned)):
                    surface += [(name, tuple(array.shape)) for name, array in found.items()]
                    numbers += [contents(array).tobytes() for array in found.values()]
            except (Exception, SystemExit):
                return None
        return cls(tuple(surface), tuple(numbers))


def other_defaults(implementation: Implementation, kind: Kind, dtype: Dtype) -> dict[str, Any]:
    """The arguments that do something else where they are not told, and their defaults.

    Told is ``torch.nn``'s default. Those are left alone that are declared to have another one,
    or that belong to a feature which is not declared. A default is ``None`` where there is
    none, and ``...`` where it cannot be seen. Empty for what is no class, and for one that
    cannot be used at all.
    """
    features = implementation.declaration.features
    cases = tuple(_cases(kind, features, dtype))
    arguments = [name for name in kind.arguments if ARGUMENTS[name] in features]

    def look(*told: str) -> Look | None:
        return Look.at(implementation.knowing(told=told), cases)

    due = look(*arguments)
    if due is None:
        # One of them is no argument of this class.
        arguments = [name for name in arguments if look(name) is not None]
        due = look(*arguments)
    again = look(*arguments)
    if due is None or again is None:
        return {}

    def differs(other: Look | None) -> bool:
        # Numbers that are others each time tell nothing.
        steady = again.numbers == due.numbers
        return (
            other is None
            or other.surface != due.surface
            or (steady and other.numbers != due.numbers)
        )

    if not differs(look()):
        return {}
    return {
        name: _default(implementation, kind, name)
        for name in arguments
        if differs(look(*(other for other in arguments if other != name)))
    }


def _cases(kind: Kind, features: Collection[Feature], dtype: Dtype) -> Iterator[Case]:
    """A layer by itself and, since dropout acts between layers, two of them."""
    state = State.OMITTED if Feature.OMITTED_STATE in features else State.GIVEN
    steps = 1 if kind.is_cell else 2
    yield Case(Config(kind, 3, 4), steps, 3, dtype, state=state)
    if {Feature.DROPOUT, Feature.MULTI_LAYER} <= set(features):
        yield Case(Config(kind, 3, 4, num_layers=2), steps, 3, dtype, state=state)


def _default(implementation: Implementation, kind: Kind, name: str) -> Any:
    """What an argument is where it is not told, as far as it can be seen."""
    config = Config(kind, 3, 4)
    due = getattr(config, name)
    try:
        value = getattr(implementation.knowing(told=()).construct(config), name, due)
    except (Exception, SystemExit):
        return None
    if value != due:
        return value
    # Its attribute does not tell; of two values it is the other one.
    return not due if isinstance(due, bool) else ...


def in_words(name: str, default: Any) -> str:
    """What is said of an argument with another default than ``torch.nn``'s."""
    match default:
        case None:
            return f"{name} has no default"
        case builtins.Ellipsis:
            return f"{name} has another default than torch.nn's"
    return f"{name} is {default!r} unless told"
