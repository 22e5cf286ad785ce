"""torch's dtypes, devices and generators."""

from __future__ import annotations

from functools import cache

import torch

from rnn_conformance.errors import Refusal, UsageError
from rnn_conformance.spec.config import Dtype


def torch_dtype(dtype: Dtype) -> torch.dtype:
    """torch's dtype of this name."""
    named = getattr(torch, dtype.value)
    assert isinstance(named, torch.dtype)
    return named


def device_named(name: str) -> str:
    """torch's full name of a device, as a tensor on it has it: ``cuda:0`` for ``cuda``.

    Raises ``UsageError``, naming those that there are, if there is no such device.
    """
    try:
        return str(torch.empty(0, device=name).device)
    except Exception as error:
        # Each backend says so with an exception of its own.
        accelerator = torch.accelerator.current_accelerator()
        present = [accelerator.type] if accelerator and torch.accelerator.is_available() else []
        raise UsageError(
            f"there is no device {name!r} here ({str(error).splitlines()[0]}); "
            f"there is {' and '.join(['cpu', *present])}",
            Refusal.DEVICE,
        ) from error


def seed_generators(seed: int, device: str) -> None:
    """As ``torch.manual_seed``, but for what concerns absent devices.

    For each absent accelerator, that one leaves a call pending, which costs time and memory.
    """
    if device == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@cache
def trains_only(device: str) -> bool:
    """Whether ``torch.nn`` differentiates on a device in training mode alone, as cuDNN does."""
    if device == "cpu":
        return False
    layer = torch.nn.GRU(1, 1, device=device).eval()
    try:
        layer(torch.ones(1, 1, 1, device=device))[0].sum().backward()
    except RuntimeError:
        return True
    return False


def silenced(device: str) -> str:
    """What a device says to everything since a kernel of it failed; empty if it answers.

    CUDA ends a context for good with the first assertion of a kernel that does not hold.
    """
    try:
        module = torch.get_device_module(device)
    except RuntimeError:
        # Nothing computes there: it is meta.
        return ""
    try:
        module.synchronize(device)
    except Exception as error:
        return f"{device} no longer answers: {error}"
    return ""
