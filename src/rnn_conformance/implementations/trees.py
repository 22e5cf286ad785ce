"""Nested tuples, lists and mappings of arrays: what layers take and return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnn_conformance.texts import name_of

DEEPEST, MOST, ELLIPSIS = 4, 8, "…"
"""How far what came back is described."""


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """The arrays in it, by their places there; a packed sequence is a tuple with names."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        inside = list(value.items())
    elif isinstance(value, (tuple, list)):
        inside = list(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    else:
        return {place: value}
    return {
        deeper: leaf
        for key, item in inside
        for deeper, leaf in leaves(item, f"{place}.{key}" if place else str(key)).items()
    }


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with ``change`` applied to each array of floating-point numbers."""
    if isinstance(value, tuple):
        inside = [mapped(change, item) for item in value]
        return type(value)(*inside) if hasattr(value, "_fields") else tuple(inside)
    return change(value) if value is not None and is_floating(value) else value


def is_floating(array: Any) -> bool:
    """Whether it holds floating-point numbers; lengths and indices do not."""
    # NumPy tells it by the kind of the dtype, torch by the dtype itself.
    return bool(getattr(array.dtype, "is_floating_point", getattr(array.dtype, "kind", "") == "f"))


def describe(returned: Any, depth: int = 0) -> str:
    """The structure of what came back, in words: ``(8x5, (3x8, 3x8))``.

    Of what has many parts, or parts within parts, the first of them.
    """
    if isinstance(returned, (tuple, list)):
        more = [ELLIPSIS] if depth == DEEPEST or len(returned) > MOST else []
        parts = () if depth == DEEPEST else returned[:MOST]
        inside = ", ".join([*(describe(part, depth + 1) for part in parts), *more])
        return f"({inside})" if isinstance(returned, tuple) else f"[{inside}]"
    try:
        return "x".join(map(str, returned.shape)) or "a scalar"
    except Exception:  # It may have no shape, or say anything at all of it.
        return name_of(type(returned))
