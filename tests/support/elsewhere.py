"""A device that there is not, whose tensors have values all the same.

On ``meta`` nothing can be compared, and a machine with an accelerator is seldom at hand. Here
tensors that are asked for on :data:`DEVICE` lie in the CPU's memory and say that they are on the
device; an operation on such a tensor and one that is not is refused as torch refuses it. So every
check can be run on it, and whoever makes a tensor without saying where is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DEVICE = "cuda:0"

MISMATCH = "Expected all tensors to be on the same device"
"""How torch refuses an operation on tensors of two devices."""

MIXING = {"copy_", "_has_compatible_shallow_copy_type", "__set__"}
"""What may be done with tensors of two devices."""

TO_NUMPY = {"numpy", "__array__"}

PACKING = {"_pack_padded_sequence", "_pad_packed_sequence"}
"""What gives an array on the device, and lengths that are always on the CPU."""


class Generators:
    """What torch's module of an accelerator has for its generator."""

    @staticmethod
    def get_rng_state(device: Any) -> Tensor:
        """The state of the one generator that there is."""
        return torch.default_generator.get_state()

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Seed it."""
        torch.default_generator.manual_seed(seed)

    @staticmethod
    def synchronize(device: Any) -> None:
        """There is nothing to wait for."""


class Elsewhere(TorchFunctionMode):
    """While it is entered, there is a device :data:`DEVICE`; in this thread alone."""

    def __init__(self) -> None:
        super().__init__()
        # Kept, so that no other tensor is given the memory of one that is gone.
        self.storages: dict[int, Any] = {}
        self.device_module = torch.get_device_module
        self.patched = patch.object(torch, "get_device_module", self._device_module)

    def __enter__(self) -> Any:
        self.patched.start()
        return super().__enter__()  # type: ignore[no-untyped-call]  # torch's

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]  # torch's
        self.patched.stop()

    def _device_module(self, device: Any = None) -> Any:
        """The device draws from the CPU's generator, as its tensors lie in the CPU's memory."""
        return Generators if str(device) == DEVICE else self.device_module(device)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name, keywords = func.__name__, dict(kwargs or {})
        given = list(_tensors((args, keywords)))
        elsewhere = any(map(self.has, given))
        if func == Tensor.device.__get__:
            return torch.device(DEVICE) if elsewhere else func(*args)
        if name in TO_NUMPY and elsewhere:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")
        if name not in MIXING and elsewhere:
            self._refuse_others(given)
        asked = _asked(name, args, keywords)
        if asked is not None:
            # What is on "meta" has no memory, and is there as it is.
            if asked.type != "meta":
                args, keywords = _without_device(name, args, keywords)
            elsewhere = str(asked) == DEVICE
        returned = func(*args, **keywords)
        if func == Tensor.data.__set__:  # type: ignore[attr-defined]
            args[0]._elsewhere = self.has(args[1])
        if name in MIXING:
            return returned
        if asked is not None and isinstance(returned, Tensor) and any(returned is t for t in given):
            # The same memory on two devices there is not.
            if self.has(returned) == elsewhere:
                return returned
            returned = returned.clone()
        if elsewhere:
            for tensor in _tensors(returned[:1] if name in PACKING else returned):
                self._place(tensor)
        return returned

    def has(self, tensor: Tensor) -> bool:
        """Whether the tensor is on the device."""
        if not getattr(tensor, "_elsewhere", False) and _address(tensor) in self.storages:
            tensor._elsewhere = True  # type: ignore[attr-defined]
        return getattr(tensor, "_elsewhere", False)

    def _place(self, tensor: Tensor) -> None:
        # The memory says so of all that shares it; the object itself where there is no memory,
        # as in an empty tensor, and in what is made of its pickle.
        tensor._elsewhere = True  # type: ignore[attr-defined]
        if address := _address(tensor):
            self.storages[address] = tensor.untyped_storage()

    def _refuse_others(self, given: list[Tensor]) -> None:
        # Single numbers and indices may be on the CPU.
        arrays = [tensor for tensor in given if tensor.is_floating_point() and tensor.dim()]
        if not all(map(self.has, arrays)):
            raise RuntimeError(f"{MISMATCH}, but found at least two devices, {DEVICE} and cpu!")


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and mappings."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)


def _address(tensor: Tensor) -> int:
    """Of its memory; 0 where it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def _asked(name: str, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """The device that is asked for, if one is."""
    match name:
        case "to":
            return _to(args, keywords)[0]
        case "cpu":
            return torch.device("cpu")
    return None if keywords.get("device") is None else torch.device(keywords["device"])


def _without_device(
    name: str, args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the CPU in the device's place."""
    match name:
        case "to":
            return args[:1], {"dtype": _to(args, keywords)[1] or args[0].dtype}
        case "cpu":
            return args, dict(keywords)
    return args, {**keywords, "device": "cpu"}


def _to(args: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Any, Any]:
    """The device and the dtype that ``Tensor.to`` is asked for, in any of its forms."""
    if len(args) > 1 and isinstance(args[1], Tensor):
        return None, args[1].dtype
    device, dtype, _, _ = torch._C._nn._parse_to(*args[1:], **keywords)
    return device, dtype
