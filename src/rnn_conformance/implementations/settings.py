"""The settings of a process that an implementation may change for everybody else in it."""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COMPILERS = frozenset(
    name.encode() if os.name == "posix" else name
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "KMP_DUPLICATE_LIB_OK")
)
"""Environment variables that torch's own compiler sets when it compiles."""


@dataclass(frozen=True, eq=False)
class Setting:
    """One thing that is set for the whole process, or for the thread.

    ``get`` gives what compares by ``==``, or ``None`` where it cannot be told; ``put`` sets it
    back. ``imports_may``: importing a framework may change it, and no computation depends on it.
    """

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    imports_may: bool = False


@functools.cache
def settings(torch: bool) -> tuple[Setting, ...]:
    """All that are looked at, with or without torch's."""
    return (*_of_python(), *_of_numpy(), *(_of_torch() if torch else ()))


def _of_python() -> tuple[Setting, ...]:
    return (
        Setting("flush-to-zero of subnormal numbers", _flushes, _flush),
        Setting("the working directory", _working_directory, _set_working_directory),
        Setting("the environment variable", _environment, _set_environment, True),
        Setting("sys.path", lambda: tuple(sys.path), _set_path, True),
        Setting("the warnings filters", lambda: tuple(warnings.filters), _set_filters, True),
        *(
            Setting(f"{module.__name__}.{name}", *_attribute(module, name), True)
            for module, names in ((warnings, ("warn", "showwarning")), (sys, ("stdout", "stderr")))
            for name in names
        ),
        *(
            Setting(f"file descriptor {number}", functools.partial(_file, number), put, True)
            for number in (1, 2)
            for put in (functools.partial(_set_file, number),)
        ),
        Setting("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    )


def _of_numpy() -> tuple[Setting, ...]:
    return (
        Setting("NumPy's handling of the error", np.geterr, lambda given: np.seterr(**given)),
        Setting(
            "NumPy's print option",
            np.get_printoptions,
            lambda given: np.set_printoptions(**given),
            True,
        ),
    )


def _of_torch() -> tuple[Setting, ...]:
    import torch

    empty = torch.empty
    flags = [(torch.backends.mkldnn, "mkldnn", "enabled")]
    flags += [
        (torch.backends.cudnn, "cudnn", name)
        for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
    ]
    accelerator = torch.accelerator.current_accelerator()
    kinds = ["cpu", *([accelerator.type] if accelerator else [])]
    return (
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Setting(
            "torch's default device",
            lambda: empty(0).device,
            lambda device: torch.set_default_device(None if device.type == "cpu" else device),
        ),
        Setting("torch's grad mode", torch.is_grad_enabled, _set_grad_mode),
        Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        Setting(
            "torch's deterministic algorithms",
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            lambda given: torch.use_deterministic_algorithms(given[0], warn_only=given[1]),
        ),
        Setting(
            "torch's precision of float32 products",
            _precision,
            torch.set_float32_matmul_precision,
        ),
        Setting("torch's anomaly mode", torch.is_anomaly_enabled, _set_anomaly_mode),
        *(
            Setting(f"autocast on {kind}", get, put)
            for kind in kinds
            for get in (functools.partial(torch.is_autocast_enabled, kind),)
            for put in (functools.partial(torch.set_autocast_enabled, kind),)
        ),
        *(
            Setting(f"torch.backends.{name}.{flag}", *_attribute(backend, flag))
            for backend, name, flag in flags
        ),
    )


def _attribute(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    return (
        lambda: getattr(owner, name),
        lambda value: setattr(owner, name, value),
    )


# No constants of the compiler's: multiplied when asked.
_NORMAL, _HALF = sys.float_info.min, 0.5


def _flushes() -> bool:
    return _NORMAL * _HALF == 0.0


def _flush(on: bool) -> None:
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(on)
    elif sys.platform == "linux" and not on:
        # FE_DFL_ENV, the C library's own default of the floating-point environment.
        with suppress(AttributeError):
            ctypes.CDLL(None).fesetenv(ctypes.c_void_p(-1))


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _set_working_directory(path: str) -> None:
    # Removed by now, perhaps.
    with suppress(OSError):
        os.chdir(path)


def _environment() -> dict[Any, Any]:
    # As it is kept, encoded: to decode all of it takes a hundred times as long.
    kept: dict[Any, Any] = vars(os.environ)["_data"].copy()
    for name in COMPILERS:
        kept.pop(name, None)
    return kept


def _set_environment(kept: dict[Any, Any]) -> None:
    variables = os.environ
    for name in _environment().keys() - kept.keys():
        del variables[variables.decodekey(name)]
    for name, value in kept.items():
        variables[variables.decodekey(name)] = variables.decodevalue(value)


def _set_path(path: tuple[str, ...]) -> None:
    sys.path[:] = path


def _set_filters(filters: tuple[Any, ...]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    # Tells the interpreter that they have changed.
    with warnings.catch_warnings():
        pass


@dataclass(frozen=True)
class File:
    """What a file descriptor stands for: a device and a number on it, with a duplicate."""

    device: int
    number: int
    duplicate: int = field(compare=False)

    def __del__(self) -> None:
        os.close(self.duplicate)


_FILES: dict[int, File] = {}
"""What each descriptor was last seen to stand for, so that no more duplicates are made."""


def _file(descriptor: int) -> File | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    known = _FILES.get(descriptor)
    if known is None or (known.device, known.number) != (status.st_dev, status.st_ino):
        known = _FILES[descriptor] = File(status.st_dev, status.st_ino, os.dup(descriptor))
    return known


def _set_file(descriptor: int, file: File) -> None:
    os.dup2(file.duplicate, descriptor)


def _set_grad_mode(on: bool) -> None:
    import torch

    torch.set_grad_enabled(on)


def _set_anomaly_mode(on: bool) -> None:
    import torch

    # It warns that it is slow.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.autograd.set_detect_anomaly(on, torch.is_anomaly_check_nan_enabled())


def _precision() -> str | None:
    import torch

    # torch raises where it was set in the newer way, by product and backend.
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None
