"""A layer of ``torch.nn`` with dropout of its own, for mutants to vary.

It computes layer by layer with ``torch.nn``'s own kernels for one layer, and drops in between
with a method of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence

KERNELS: dict[str, Any] = {
    "LSTM": torch._VF.lstm,
    "GRU": torch._VF.gru,
    "RNN_TANH": torch._VF.rnn_tanh,
    "RNN_RELU": torch._VF.rnn_relu,
}


class LayerByLayer(nn.RNNBase):
    """Right: what ``torch.nn`` computes, a layer at a time. To be mixed into its classes."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As ``torch.nn`` has it."""
        packed = isinstance(input, PackedSequence)
        unbatched = not packed and input.ndim == 2
        data, sizes = (input.data, input.batch_sizes) if packed else (input, None)
        if unbatched:
            data = data.unsqueeze(1)
        elif self.batch_first and not packed:
            data = data.transpose(0, 1)
        batch = int(sizes[0]) if sizes is not None else data.shape[1]
        if hx is None:
            widths = [self.proj_size or self.hidden_size, self.hidden_size]
            states = [
                data.new_zeros(self.num_layers * self.directions, batch, width)
                for width in widths[: 1 + (self.mode == "LSTM")]
            ]
        else:
            states = list(hx) if self.mode == "LSTM" else [hx]
            if unbatched:
                states = [state.unsqueeze(1) for state in states]
            if packed and input.sorted_indices is not None:
                states = [state[:, input.sorted_indices] for state in states]
        data, finals = self.stack(data, sizes, states)
        if packed:
            output: Any = PackedSequence(data, sizes, input.sorted_indices, input.unsorted_indices)
            if input.unsorted_indices is not None:
                finals = [final[:, input.unsorted_indices] for final in finals]
        else:
            output = data.transpose(0, 1) if self.batch_first and not unbatched else data
        if unbatched:
            output, finals = output.squeeze(1), [final.squeeze(1) for final in finals]
        return output, tuple(finals) if self.mode == "LSTM" else finals[0]

    @property
    def directions(self) -> int:
        """1 or 2."""
        return 2 if self.bidirectional else 1

    def stack(
        self, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """All layers, time-major or packed: the output and the final states."""
        finals: list[list[Tensor]] = [[] for _ in states]
        for layer in range(self.num_layers):
            if layer:
                data = self.between(data, layer, sizes)
            places = slice(layer * self.directions, (layer + 1) * self.directions)
            data, ends = self.layer(layer, data, sizes, [state[places] for state in states])
            for series, end in zip(finals, ends, strict=True):
                series.append(end)
        return data, [torch.cat(series) for series in finals]

    def between(self, data: Tensor, layer: int, sizes: Tensor | None) -> Tensor:
        """What ``layer`` reads of the output below it."""
        return self.drop(data)

    def drop(self, data: Tensor) -> Tensor:
        """What is left of an output."""
        return dropout(data, self.dropout, self.training)

    def layer(
        self, layer: int, data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """One layer, time-major or packed, in all its directions."""
        weights = [
            weight
            for direction in range(self.directions)
            for weight in self.all_weights[layer * self.directions + direction]
        ]
        return self.run(weights, data, sizes, states)

    def run(
        self, weights: Sequence[Tensor], data: Tensor, sizes: Tensor | None, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """``torch.nn``'s own kernel for one layer of these weights, in all its directions."""
        state = tuple(states) if self.mode == "LSTM" else states[0]
        common = (list(weights), self.bias, 1, 0.0, False, self.bidirectional)
        kernel = KERNELS[self.mode]
        output, *ends = (
            kernel(data, state, *common, False)
            if sizes is None
            else kernel(data, sizes, state, *common)
        )
        return output, ends


def mask(like: Tensor, p: float) -> Tensor:
    """1 with probability ``1 - p``, else 0."""
    return torch.full_like(like, 1.0 - p).bernoulli()


class Masked(LayerByLayer):
    """What is dropped is told by a mask."""

    def drop(self, data: Tensor) -> Tensor:
        """What is left of an output."""
        if not (self.training and self.dropout):
            return data
        return data * self.mask(data) * self.factor()

    def mask(self, data: Tensor) -> Tensor:
        """1 for what is kept, 0 for what is dropped."""
        return mask(data, self.dropout)

    def factor(self) -> float:
        """What is kept is multiplied with."""
        return 1.0 / (1.0 - self.dropout) if self.dropout < 1.0 else 0.0
