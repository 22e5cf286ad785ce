"""Arrays in values: they cannot be written to, and are compared by what is in them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A copy in C's order that nobody can write to; the array itself if it is one.

    In one order, so that what is computed from equal arrays is equal to the last bit.
    """
    base, flags = array.base, array.flags
    if (
        flags.writeable
        or not flags.c_contiguous
        or (isinstance(base, np.ndarray) and base.flags.writeable)
    ):
        array = np.array(array, order="C")
        array.flags.writeable = False
    return array


class ByValue:
    """For frozen dataclasses that hold arrays: equal if all in them is, bit for bit, NaN to NaN."""

    @property
    def _names(self) -> Iterable[str]:
        # Not fields(), which looks at each. Who uses this has no class variables beside them.
        return self.__dataclass_fields__  # type: ignore[attr-defined, no-any-return]

    @cached_property
    def digest(self) -> bytes:
        """What stands for the whole value where it is compared or is the key of a cache."""
        state = hashlib.blake2b(type(self).__name__.encode(), digest_size=20)
        for name in self._names:
            for part in _parts(getattr(self, name)):
                state.update(part)
        return state.digest()

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, ByValue) and type(self) is type(other) and self.digest == other.digest
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        """To be sent to another process: made anew there, since no view of a mapping travels."""
        values = (getattr(self, name) for name in self._names)
        return type(self), tuple(
            dict(value) if isinstance(value, Mapping) else value for value in values
        )


def _parts(value: Any) -> Iterator[bytes]:
    """A value as bytes that tell it from every other of its sort."""
    match value:
        case np.ndarray():
            yield f"{value.dtype.str}{value.shape}".encode()
            # One NaN is as good as another, whatever its sign and what it carries.
            missing = np.isnan(value)
            yield (
                np.where(missing, np.nan, value) if np.count_nonzero(missing) else value
            ).tobytes()
        case ByValue():
            yield value.digest
        case Mapping():
            for key, item in value.items():
                yield f"{key}:".encode()
                yield from _parts(item)
        case tuple():
            yield f"({len(value)}".encode()
            for item in value:
                yield from _parts(item)
        case _:
            yield repr(value).encode()


def to_plain(array: Array) -> dict[str, Any]:
    """An array as JSON values: its shape, and its numbers in C's order.

    Those that JSON does not know are ``"nan"``, ``"inf"`` and ``"-inf"``.
    """
    numbers = (float(number) for number in array.ravel())
    return {
        "shape": list(array.shape),
        "numbers": [number if math.isfinite(number) else str(number) for number in numbers],
    }


def from_plain(plain: Mapping[str, Any]) -> Array:
    """The inverse of :func:`to_plain`."""
    return np.array([float(number) for number in plain["numbers"]]).reshape(plain["shape"])
