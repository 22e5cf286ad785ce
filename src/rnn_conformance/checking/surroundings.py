"""The process around a layer: its generators of random numbers, and other settings than usual."""

from __future__ import annotations

import gc
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnn_conformance.implementations.process import contained


def generators(device: str) -> dict[str, Any]:
    """The states of the global generators of random numbers, which compare by ``==``."""
    name, keys, *rest = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "Python's random": random.getstate(),
        "numpy.random": (name, np.asarray(keys).tobytes(), *rest),
    }
    if torch := sys.modules.get("torch"):
        states["torch"] = bytes(torch.default_generator.get_state().numpy())
        if device != "cpu":
            states[f"torch on {device}"] = bytes(
                torch.get_device_module(device).get_rng_state(device).numpy()
            )
    return states


def set_generators(seed: int, drawn: int, device: str) -> None:
    """Seed the global generators, and draw so many numbers from each."""
    random.seed(seed)
    np.random.seed(seed)
    np.random.random(drawn)
    for _ in range(drawn):
        random.random()
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)
        torch.rand(drawn)
        if device != "cpu":
            torch.get_device_module(device).manual_seed(seed)
            # One by one: an accelerator's generator counts calls of a few numbers, not numbers.
            for _ in range(drawn):
                torch.rand(1, device=device)


@contextmanager
def set_otherwise() -> Iterator[None]:
    """The settings that a layer is likely to think it knows are others in here.

    What one sets back to the usual is then seen to be changed.
    """
    with contained():
        kept: dict[str, Any] = {**np.geterr()}
        np.seterr(**{what: "warn" if how == "ignore" else "ignore" for what, how in kept.items()})
        np.set_printoptions(precision=np.get_printoptions()["precision"] + 1)
        warnings.filterwarnings("ignore", message="no warning of anybody's")
        if gc.isenabled():
            gc.disable()
        else:
            gc.enable()
        if torch := sys.modules.get("torch"):
            usual = torch.get_default_dtype() == torch.float32
            torch.set_default_dtype(torch.float64 if usual else torch.float32)
            torch.set_num_threads(torch.get_num_threads() + 1)
        yield
