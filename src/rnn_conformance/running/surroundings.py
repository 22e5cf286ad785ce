"""What a check presupposes of the process that it runs in, whatever ran there before."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def surroundings(seed: int) -> Iterator[None]:
    """The process as Python, NumPy and torch start it, with generators seeded; then as it was.

    A default dtype, a generator's state or a mode that somebody's tests have set is none of an
    implementation's doing.
    """
    # Here, so that a process that runs no check need not load it.
    import torch

    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    python, numpy = random.getstate(), np.random.get_state()
    with (
        warnings.catch_warnings(),
        np.errstate(all="warn", under="ignore"),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")
        torch.set_default_dtype(torch.float32)
        if device.type != "cpu":
            # Not always: it puts itself between every function and its caller.
            torch.set_default_device(None)
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            if device.type != "cpu":
                torch.set_default_device(device)
            random.setstate(python)
            np.random.set_state(numpy)
