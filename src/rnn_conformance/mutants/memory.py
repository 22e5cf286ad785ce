"""What is done to the caller's memory and with it (MEM)."""

# mypy: allow-subclassing-any

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance.implementations.trees import leaves, mapped
from rnn_conformance.mutants.mutant import Chapter, Mixin, as_given, both, data_of
from rnn_conformance.spec.clauses import LAYERS

MEMORY = Chapter("Memory")


@MEMORY.add("the mean subtracted where the input lies", "MEM-1")
class _NormalisesInPlace(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        with torch.no_grad():
            data = input.data if isinstance(input, PackedSequence) else input
            data.sub_(data.mean())
        return super().forward(input, hx)


@MEMORY.add("the new state copied into the caller's", "MEM-1", source="keras-team/keras#23462")
class _WritesTheStateBack(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if hx is not None:
            with torch.no_grad():
                for old, new in zip(
                    both(hx), list(leaves(returned).values())[-len(both(hx)) :], strict=True
                ):
                    old.copy_(new)
        return returned


@MEMORY.add("a bias left in another shape", "MEM-1", source="pytorch/pytorch#1721")
class _ReshapesABias(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        for name, parameter in self.named_parameters():
            if name.startswith("bias_hh"):
                parameter.data = parameter.data.unsqueeze(0)
        return returned


@MEMORY.add("a parameter written to and restored", "MEM-1")
class _ScalesAndScalesBack(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        with torch.no_grad():
            self.get_parameter(next(iter(self._parameters))).mul_(2.0)
        returned = super().forward(input, hx)
        with torch.no_grad():
            self.get_parameter(next(iter(self._parameters))).mul_(0.5)
        return returned


@MEMORY.add("parameters left frozen by a call without gradients", "MEM-1 LIF-3")
class _Freezes(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if not torch.is_grad_enabled():
            self.requires_grad_(False)
        return super().forward(input, hx)


def from_the_beginning(array: Tensor) -> Tensor:
    """What lies where a contiguous tensor would lie that had all of the memory."""
    strides = torch.empty(array.shape, device="meta").stride()
    return array.as_strided(array.shape, strides, 0)


def without_strides(array: Tensor) -> Tensor:
    """What lies where a contiguous tensor would lie, if that is inside the memory."""
    strides = torch.empty(array.shape, device="meta").stride()
    end = array.storage_offset() + array.numel()
    if end > array.untyped_storage().nbytes() // array.element_size():
        return array
    return array.as_strided(array.shape, strides)


@MEMORY.add("strided input read as if it were contiguous", "MEM-2")
class _ReadsTheInputContiguously(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(mapped(without_strides, input), hx)


@MEMORY.add(
    "a strided state read as if it were contiguous", "MEM-2", source="allenai/allennlp#1486"
)
class _ReadsTheStateContiguously(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, mapped(without_strides, hx))


@MEMORY.add("input read from the beginning of its memory, whatever its offset", "MEM-2")
class _ReadsFromTheBeginning(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(mapped(from_the_beginning, input), hx)


@MEMORY.add("a strided state refused", "MEM-2", source="allenai/allennlp#1486", crashes=True)
class _RefusesASlicedState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None and not all(state.is_contiguous() for state in both(hx)):
            raise RuntimeError("rnn: hx is not contiguous")
        return super().forward(input, hx)


@MEMORY.add("results in memory that the next call uses again", "MEM-3")
class _ReturnsItsBuffer(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        buffers = self.__dict__.setdefault("_buffers_of", {})

        def into_buffer(array: Tensor) -> Tensor:
            counter.append(0)
            key = (len(counter), array.shape, array.dtype)
            buffer: Tensor = buffers.setdefault(key, torch.empty_like(array))
            return buffer.copy_(array)

        counter: list[int] = []
        with torch.no_grad():
            return mapped(into_buffer, returned)


@MEMORY.add("the first call's own results for the same call again", "MEM-3")
class _ReturnsWhatItRemembers(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        seen = self.__dict__.setdefault("_seen", {})
        arrays = [data_of(input), *leaves(hx).values()]
        key = tuple(array.detach().double().numpy().tobytes() for array in arrays)
        if key not in seen:
            seen[key] = super().forward(input, hx)
        return seen[key]


@MEMORY.add("a final state that is a view of the output", "MEM-3", kinds=LAYERS)
class _ReturnsAView(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        output, state = super().forward(input, hx)
        plain = not isinstance(output, PackedSequence) and not torch.is_grad_enabled()
        if plain and self.num_layers == 1 and not self.bidirectional and not self.proj_size:
            time = output.dim() - 2 if self.batch_first or output.dim() == 2 else 0
            view = output.select(time, -1).unsqueeze(0)
            return output, as_given(state, [view, *both(state)[1:]])
        return output, state


@MEMORY.add("the final state returned in the initial state's memory", "MEM-1 MEM-3")
class _ReturnsTheCallersState(Mixin):
    def forward(self, input: Any, hx: Any = None) -> Any:
        returned = super().forward(input, hx)
        if hx is None:
            return returned
        with torch.no_grad():
            kept = [old.copy_(new) for old, new in zip(
                both(hx), list(leaves(returned).values())[-len(both(hx)) :], strict=True
            )]  # fmt: skip
        state = as_given(hx, kept)
        return state if isinstance(self, nn.RNNCellBase) else (returned[0], state)
