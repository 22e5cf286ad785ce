"""Arrays where they lie: what was written to, and the same values laid out in another way.

For NumPy arrays and tensors alike, and for the tuples of them that layers take and return
(a packed sequence is a tuple too). That two arrays share memory is shown by writing to one
and reading the other, which needs no pointers and holds on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.implementations.trees import is_floating, leaves

Layout: TypeAlias = Callable[[Any], Any]
Snapshot: TypeAlias = dict[str, tuple[Any, ...]]


def contents(array: Any) -> NDArray[Any]:
    """A copy of what is in an array or a tensor; bfloat16, which NumPy lacks, as float32."""
    if not hasattr(array, "detach"):
        return np.array(array)
    plain = array.detach().cpu()
    try:
        return np.array(plain.numpy())
    except TypeError:
        return np.array(plain.float().numpy())


def snapshot(value: Any, *, writes: bool = True) -> Snapshot:
    """What can be seen of each array: shape, dtype, bytes and whether it asks for gradients.

    With ``writes`` its version too: autograd counts there what was written to a tensor,
    even if the values stayed.
    """
    return {
        place: (
            tuple(array.shape),
            str(array.dtype),
            contents(array).tobytes(),
            getattr(array, "requires_grad", None),
            getattr(array, "_version", None) if writes else None,
        )
        for place, array in leaves(value).items()
    }


def difference(before: Snapshot, after: Snapshot) -> str:
    """What changed, in words; empty if nothing did."""
    if list(before) != list(after):
        return f"{list(before)} became {list(after)}"
    seen = ("shape", "dtype", "values", "requires_grad", "version counter")
    for place, old in before.items():
        for what, was, now in zip(seen, old, after[place], strict=True):
            if was != now:
                inside = "" if what == "values" else f" from {was} to {now}"
                return f"{place} changed its {what}{inside}"
    return ""


def overwrite(value: Any) -> None:
    """Write another number over every array of floating-point numbers that can be written."""
    for array in leaves(value).values():
        if not is_floating(array):
            continue
        if hasattr(array, "detach"):
            array.detach().fill_(7.0)
        elif getattr(getattr(array, "flags", None), "writeable", False):
            array[...] = 7.0


def blank(like: Any, shape: tuple[int, ...]) -> Any:
    """An array of NaN, so that whoever reads beside the values shows it."""
    if hasattr(like, "new_full"):
        return like.new_full(shape, float("nan"))
    return np.full(shape, np.nan, like.dtype)


def _placed(array: Any, room: Any) -> Any:
    room[...] = array
    return room


def first_and_last_axis_swapped(array: Any) -> Any:
    """Stored with the last axis first."""
    shape = tuple(array.shape)
    shape = (shape[-1], *shape[1:-1], shape[0]) if len(shape) > 1 else shape
    return _placed(array, blank(array, shape).swapaxes(0, -1))


def first_two_axes_swapped(array: Any) -> Any:
    """Stored samples-first where steps come first, and the reverse."""
    shape = tuple(array.shape)
    if len(shape) == 1:
        return array
    return _placed(array, blank(array, (shape[1], shape[0], *shape[2:])).swapaxes(0, 1))


def every_other(array: Any) -> Any:
    """Every other element, in each axis, of a larger array."""
    room = blank(array, tuple(2 * size + 1 for size in array.shape))
    return _placed(array, room[(slice(1, None, 2),) * len(array.shape)])


def sliced(array: Any) -> Any:
    """The inside of a larger array."""
    room = blank(array, tuple(size + 3 for size in array.shape))
    return _placed(array, room[(slice(1, -2),) * len(array.shape)])


def at_an_offset(array: Any) -> Any:
    """Contiguous, but not at the beginning of what was allocated."""
    return _placed(array, blank(array, (array.shape[0] + 1, *array.shape[1:]))[1:])


LAYOUTS: tuple[Layout, ...] = (
    first_and_last_axis_swapped,
    first_two_axes_swapped,
    every_other,
    sliced,
    at_an_offset,
)
"""Ways to lay out an array; the values, shape and dtype stay. None has a negative stride,
which ``torch`` does not have."""


def expanded(array: Any, axis: int) -> Any:
    """The first element along an axis, repeated by a stride of zero; writable."""
    first = array[(slice(None),) * axis + (slice(0, 1),)]
    if hasattr(array, "expand"):
        return first.expand(*array.shape)
    strides = tuple(0 if i == axis else stride for i, stride in enumerate(array.strides))
    return np.lib.stride_tricks.as_strided(array, array.shape, strides)
