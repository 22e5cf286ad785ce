"""What the declaration of an implementation would say, as the probe finds it, to be pasted."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from rnn_conformance.checking.defaults import in_words
from rnn_conformance.checking.probing import Probed, probe
from rnn_conformance.errors import Unsupported
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.implementations.registry import load
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level, Role

if TYPE_CHECKING:
    from rnn_conformance.implementations.torch_module import DropInImplementation


def described(target: str, kind: str = "") -> Iterator[str]:
    """A text for each implementation and kind that a target names.

    ``kind`` is for a class that does not tell its own. Raises ``UsageError`` if there is
    nothing to load.
    """
    for implementation in load(target, kind):
        for one in Kind:
            if one in implementation.declaration.kinds:
                yield "\n".join(_lines(probe(implementation, one)))


def _lines(probed: Probed) -> Iterator[str]:
    implementation, declaration = probed.implementation, probed.implementation.declaration
    yield f"# {implementation.target or implementation.name}, {probed.kind}"
    if probed.unusable is not None:
        yield f"# it cannot be tested: {probed.unusable}"
        return
    for sentence in probed.refused.values():
        yield f"# {sentence}"
    for name, default in probed.defaults.items():
        yield f"# {in_words(name, default)}"
    try:
        module = implementation.construct(Config(probed.kind, 3, 4))
    except Unsupported:
        yield "@implementation("
        for name, value in _of_function(declaration, probed.kind).items():
            yield f"    {name}={value!r},"
        yield ")"
        return
    names = [name for name, _ in module.named_parameters()]
    if not probed.named and not names:
        yield "# it has no parameters: what needs them by name is not run"
    elif not probed.named:
        yield f"# its parameters are {', '.join(names)};"
        yield f"# say so by role ({', '.join(Role)}), as in"
        yield '# "parameters": {"weight_hh": "cells.{layer}.weight_hh"}'
    entries = _of_class(implementation, probed)  # type: ignore[arg-type]
    if not entries and probed.named:
        yield "# it leaves nothing out: there is nothing to declare"
    if not entries:
        return
    yield "rnn_conformance = {"
    for name, value in entries.items():
        yield f"    {name!r}: {value!r},"
    yield "}"


def _of_class(implementation: DropInImplementation, probed: Probed) -> dict[str, Any]:
    """What differs from declaring nothing."""
    declaration = implementation.declaration
    entries: dict[str, Any] = {
        "without": _left_out(declaration, Feature.of(probed.kind)),
        "dtypes": _dtypes(declaration) if declaration.dtypes != set(Dtype) else [],
        "level": "" if declaration.level is Level.DROP_IN else declaration.level.value,
        "defaults": {**implementation.defaults, **probed.defaults},
        "parameters": {role.value: name for role, name in implementation.parameters.items()},
        "weights": declaration.weights.value if declaration.weights else "",
        "excluded": dict(declaration.excluded),
    }
    entries = {name: value for name, value in entries.items() if value}
    if not _takes_device_and_dtype(implementation, probed.kind):
        entries["factory_arguments"] = False
    return entries


def _of_function(declaration: Declaration, kind: Kind) -> dict[str, Any]:
    features = declaration.features & Feature.of(kind)
    finer = {feature for feature in Feature.of(kind) if feature.is_finer}
    entries: dict[str, Any] = {
        "kinds": [kind.value],
        "features": sorted(feature.value for feature in features - finer),
        "dtypes": _dtypes(declaration),
        "level": declaration.level.value,
    }
    if without := _left_out(declaration, finer):
        entries["without"] = without
    if declaration.weights:
        entries["weights"] = declaration.weights.value
    return entries


def _left_out(declaration: Declaration, possible: Collection[Feature]) -> list[str]:
    """Those that are not declared and are no part of what is not, and those apart."""
    features = declaration.features
    apart = [one.value for one in declaration.apart if one.features <= features]
    alone = [f.value for f in possible if f not in features and f.within <= features]
    return sorted(alone) + sorted(apart)


def _dtypes(declaration: Declaration) -> list[str]:
    return [dtype.value for dtype in Dtype if dtype in declaration.dtypes]


def _takes_device_and_dtype(implementation: DropInImplementation, kind: Kind) -> bool:
    keywords = implementation.keywords(Config(kind, 3, 4))
    try:
        implementation.cls(**keywords, device=None, dtype=None)
    except Exception:
        return False
    return True
