"""What is handed over to a ``torch.nn.Module``, and what it hands back.

All that a module is given is made here, on its device and in the dtype of what it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.implementations.structure import parts_of
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.calls import Call, LayerSpec
from rnn_conformance.spec.config import Storage
from rnn_conformance.spec.result import Result
from rnn_conformance.texts import name_of, said


def tensor(array: Array, dtype: torch.dtype, device: str) -> torch.Tensor:
    """A fresh contiguous tensor of these values."""
    return torch.tensor(np.array(array, order="C"), dtype=dtype, device=device)


def parameters(layer: LayerSpec, device: str) -> dict[str, torch.Tensor]:
    """The layer's parameters by name."""
    dtype = torch_dtype(layer.dtype)
    return {name: tensor(array, dtype, device) for name, array in layer.parameters.items()}


def tensors(call: Call, device: str) -> dict[str, torch.Tensor]:
    """The input and the states that are given, by name, in the layout of the call."""
    dtype = torch_dtype(call.arguments.dtype)
    given = {"input": call.input, **call.arguments.states}
    return {name: tensor(call.give(name, array), dtype, device) for name, array in given.items()}


def assembled(call: Call, given: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
    """A module's arguments, from what :func:`tensors` gives: packed where there are lengths."""
    data = given["input"] if call.lengths is None else pack(call, given["input"])
    if call.h_0 is None:
        return (data,)
    return (data, given["h_0"] if call.c_0 is None else (given["h_0"], given["c_0"]))


def arguments(call: Call, device: str) -> tuple[Any, ...]:
    """A module's arguments, made afresh."""
    return assembled(call, tensors(call, device))


def pack(call: Call, padded: torch.Tensor) -> PackedSequence:
    """The caller's packing, with ``enforce_sorted`` where the lengths are in order."""
    assert call.lengths is not None
    in_order = list(call.lengths) == sorted(call.lengths, reverse=True)
    return pack_padded_sequence(
        padded,
        torch.tensor(call.lengths),
        batch_first=call.config.batch_first,
        enforce_sorted=in_order,
    )


def tensors_of(call: Call, returned: Any) -> tuple[dict[str, torch.Tensor], PackedSequence | None]:
    """What a module returned, by name and unpacked, and the packed output as it came.

    Raises ``NonConforming`` for another structure.
    """
    parts, packed = parts_of(call, returned, pairs=(tuple,)), None
    if call.lengths is not None:
        packed = parts["output"]
        if not isinstance(packed, PackedSequence):
            raise NonConforming(
                f"a packed input must give a packed output (PCK-1), not {name_of(type(packed))}",
                sort=Sort.STRUCTURE,
                calls=(call,),
                array="output",
            )
        parts["output"] = _unpacked(call, packed)
    for name, part in parts.items():
        if not isinstance(part, torch.Tensor):
            raise NonConforming(
                f"{name} must be a tensor, not {name_of(type(part))}",
                sort=Sort.STRUCTURE,
                calls=(call,),
                array=name,
            )
    return parts, packed


def result_of(
    call: Call, returned: Any, *, tf32: bool = False, weights: Storage | None = None
) -> Result:
    """What a module returned, by name; raises ``NonConforming`` for another structure.

    ``tf32`` and ``weights`` as in a :class:`~rnn_conformance.spec.result.Result`.
    """
    parts, packed = tensors_of(call, returned)
    return Result(
        call,
        {name: values(part) for name, part in parts.items()},
        dtypes={name: str(part.dtype).removeprefix("torch.") for name, part in parts.items()},
        devices={name: str(part.device) for name, part in parts.items()},
        packed=None if packed is None else bookkeeping(packed),
        tf32=tf32,
        weights=weights,
    )


def values(tensor: torch.Tensor) -> Array:
    """A tensor's values; NaN on the meta device, where it has a shape and no values."""
    if tensor.is_meta:
        return np.full(tuple(tensor.shape), np.nan)
    # One after the other: not every accelerator knows float64. Copied: a result kept must
    # not change when the implementation writes into what it returned.
    array: Array = np.array(tensor.detach().cpu().double().numpy())
    return array


def bookkeeping(packed: PackedSequence) -> dict[str, tuple[int, ...] | None]:
    """``batch_sizes``, ``sorted_indices`` and ``unsorted_indices`` as plain numbers."""
    return {
        name: None if value is None else tuple(value.tolist())
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices")
        for value in [getattr(packed, name)]
    }


def _unpacked(call: Call, packed: PackedSequence) -> torch.Tensor:
    """Unpack as a caller would, by what the output itself says."""
    try:
        padded, _ = pad_packed_sequence(
            packed, batch_first=call.config.batch_first, total_length=call.length
        )
    except (RuntimeError, ValueError, IndexError) as error:
        raise NonConforming(
            f"the packed output cannot be unpacked: {said(error)} (PCK-1)",
            sort=Sort.STRUCTURE,
            calls=(call,),
            array="output",
        ) from error
    return padded
