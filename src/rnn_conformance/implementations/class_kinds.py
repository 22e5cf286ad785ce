"""Which kind of recurrent layer a class is, as far as it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.spec.config import Kind
from rnn_conformance.texts import name_of, shown

DECLARATION = "rnn_conformance"
"""The class attribute, a mapping, in which a class may declare what it leaves out."""


def kind_of(cls: type, *, by_name: bool = True) -> Kind | None:
    """The kind, from the declaration, the base class, ``mode`` or the name; else ``None``."""
    declared = getattr(cls, DECLARATION, {}).get("kind")
    if declared:
        try:
            return Kind(declared)
        except ValueError:
            known = ", ".join(Kind)
            raise UsageError(
                f"{name_of(cls)} declares the kind {shown(declared)}, not one of {known}",
                Refusal.DECLARATION,
            ) from None
    if not issubclass(cls, torch.nn.Module):
        return None
    for kind in Kind:
        if issubclass(cls, getattr(torch.nn, kind.value)):
            return kind
    words = [getattr(cls, "mode", None), *([name_of(cls)] if by_name else [])]
    for word in words:
        if isinstance(word, str) and (layer := re.search("LSTM|GRU|RNN", word, re.IGNORECASE)):
            kind = Kind(layer.group().upper())
            return kind.cell if "cell" in name_of(cls).lower() else kind
    return None


def own_classes(namespace: dict[str, Any], module_name: str) -> Iterable[type[torch.nn.Module]]:
    """The public classes of layers that a module itself defines."""
    for name, value in namespace.items():
        if (
            # By its type alone: a lazy object may raise anything when it is looked at.
            issubclass(type(value), type)
            and issubclass(value, torch.nn.Module)
            and value.__module__ == module_name
            and not name.startswith("_")
        ):
            yield value


def drop_in_classes(namespace: dict[str, Any], module_name: str) -> Iterable[type[torch.nn.Module]]:
    """Those of them that are recurrent, as far as they say."""
    return (cls for cls in own_classes(namespace, module_name) if kind_of(cls) is not None)
