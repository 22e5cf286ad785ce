"""Runs of the engine in tests: what they test, and what of their results no clock decides."""

import json
from pathlib import Path
from typing import Any

LAYERS = """
import ctypes

import torch


class Right(torch.nn.GRUCell):
    pass


class Wrong(torch.nn.GRUCell):
    def forward(self, input, hx=None):
        size, swapped = self.hidden_size, []
        for p in (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh):
            reset, update, new = (None,) * 3 if p is None else p.split(size)
            swapped.append(None if p is None else torch.cat([update, reset, new]))
        rows = torch.atleast_2d(input)
        state = rows.new_zeros(len(rows), size) if hx is None else torch.atleast_2d(hx)
        return torch.gru_cell(rows, state, *swapped).reshape(*input.shape[:-1], size)


class Raises(torch.nn.GRUCell):
    def forward(self, input, hx=None):
        if hx is not None:
            raise ValueError("takes no state")
        return super().forward(input, hx)


class Dies(torch.nn.GRUCell):
    def forward(self, input, hx=None):
        if input.dtype == torch.float64 and input.dim() == 2 and len(input) == 5:
            ctypes.string_at(0)
        return super().forward(input, hx)
"""
"""Four cells: one is right, one wrong, one raises at times, and one ends its process at times."""

CLAUSES = ("CEL-2", "CEL-3")


def layers(folder: Path) -> Path:
    """The file with ``LAYERS``."""
    file = folder / "layers.py"
    file.write_text(LAYERS, encoding="utf-8")
    return file


def timeless(value: Any) -> Any:
    """Results without what time and the machine say in them."""
    if isinstance(value, dict):
        return {
            name: timeless(item)
            for name, item in value.items()
            if name not in ("seconds", "seconds_inside", "started", "output")
        }
    return [*map(timeless, value)] if isinstance(value, list) else value


def results(folder: Path) -> str:
    """A run's ``results.json``, byte for byte but for times."""
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return json.dumps(timeless(document), indent=1)
