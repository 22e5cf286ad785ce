"""The functions of NumPy and torch, which an implementation may replace for everybody.

They are looked at after every entry, so what is usual, that nothing was put there, must be told
fast: by the interpreter's own count of what was done to a dictionary, where it keeps one, and
by comparing lists otherwise.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

ABSENT = object()
"""What stands for something that is not there."""


FOLLOWING = frozenset({"torch.Storage"})
"""What torch itself replaces when a setting changes, here the default dtype."""


COUNTED = sys.implementation.name == "cpython" and sys.version_info < (3, 13)
"""Whether a dictionary has a version, another one after everything that is done to it (PEP 509)."""


def version(contents: Mapping[str, Any]) -> ctypes.c_uint64:
    """The version of a dictionary, or of the one behind the ``vars`` of a class, as it will be.

    It is read where it lies: the dictionary must not go before it does.
    """
    (behind,) = (contents,) if isinstance(contents, dict) else gc.get_referents(contents)
    # After the header of every object, and the number of items.
    address = id(behind) + object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)
    return ctypes.c_uint64.from_address(address)


class Functions:
    """The public functions of NumPy, of torch if it is loaded, and of Python, as they are now.

    Only functions, classes and real numbers count: a module changes its flags and caches in its
    own work. A name that nobody had before is no change either, as a module imported on first
    use is, unless it stands before what was to be had under it, as ``Tensor.tanh`` would before
    that of a base class.
    """

    def __init__(self) -> None:
        self.with_torch = "torch" in sys.modules
        self._owners = _owners()
        self._versions = [version(vars(owner)) for owner in self._owners.values() if COUNTED]
        self._take()

    def _take(self) -> None:
        self._names = [list(vars(owner)) for owner in self._owners.values()]
        self._contents = [
            (contents, list(contents.values())) for contents in map(vars, self._owners.values())
        ]
        self._seen = self._count()

    def _count(self) -> list[int]:
        return [version.value for version in self._versions]

    def unchanged(self) -> bool:
        """Whether all are what they were."""
        count = self._count()
        if COUNTED and count == self._seen:
            return True
        try:
            for contents, values in self._contents:
                if list(contents.values()) != values:
                    return False
        except Exception:
            # What stands there now refuses to be compared.
            return False
        # Something was put there for a while.
        self._seen = count
        return True

    def restore(self) -> Iterator[tuple[str, Any, Any]]:
        """Undo what was changed: each full name, what it was and what it had become."""
        for (place, owner), names, (contents, values) in zip(
            self._owners.items(), self._names, self._contents, strict=True
        ):
            now = dict(contents)
            for name, value in zip(names, values, strict=True):
                became, full = now.pop(name, ABSENT), f"{place}.{name}"
                if became is value or full in FOLLOWING:
                    continue
                if _counts(value) or _counts(became):
                    setattr(owner, name, value)
                    yield full, value, became
            for name, added in now.items():
                if _counts(added) and (hidden := _behind(owner, name, added)) is not added:
                    yield f"{place}.{name}", hidden, added
        self._take()


def _counts(value: Any) -> bool:
    return callable(value) or type(value) is float


def _behind(owner: Any, name: str, added: Any) -> Any:
    """Take away what was added if something else is then had under its name, which is returned."""
    delattr(owner, name)
    # A module may find its attributes by a function of its own.
    hidden = getattr(owner, name, ABSENT)
    if hidden is ABSENT or hidden is added:
        setattr(owner, name, added)
        return added
    return hidden


def _owners() -> dict[str, Any]:
    """The modules and classes, by name."""
    owners: dict[str, Any] = {
        "builtins": builtins,
        "math": math,
        "numpy": np,
        "numpy.linalg": np.linalg,
        "numpy.random": np.random,
    }
    if torch := sys.modules.get("torch"):
        nn = torch.nn
        owners |= {"torch": torch, "torch.Tensor": torch.Tensor, "torch.nn": nn}
        owners |= {
            f"torch.{name}": getattr(torch, name)
            for name in ("autograd", "cuda", "jit", "linalg", "random", "_VF")
        }
        owners |= {
            f"torch.nn.{name}": getattr(nn, name)
            for name in (
                *("functional", "init", "utils", "Module", "Parameter"),
                *("RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"),
            )
        }
        owners |= {
            "torch.nn.utils.rnn": nn.utils.rnn,
            "torch.autograd.Function": torch.autograd.Function,
        }
    return owners
