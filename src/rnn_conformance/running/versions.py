"""What a result was made with, without which it cannot be made again."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Those of Python, of this package, and of what its results rest on."""
    names = ("rnn-conformance", "torch", "numpy", "hypothesis")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
