"""A bidirectional, multi-layer LSTM stacked by hand from loops that know one direction.

The recipe is flip, run, flip back, concatenate. Flipped is each sequence within its own
length: where a whole padded batch is flipped, the reverse direction starts in the padding.
The constructor, the parameters and the checks of arguments are those of ``torch.nn.LSTM``;
what is computed is all here.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout, linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnn_conformance import drop_in


def run(x: Tensor, h: Tensor, c: Tensor, weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """One direction, forward: all ``h`` ``(L, N, H_out)`` and all ``c`` ``(L, N, H)``."""
    zx = linear(x, weights["weight_ih"], weights.get("bias_ih"))
    hs, cs = [], []
    for t in range(len(x)):
        z = zx[t] + linear(h, weights["weight_hh"], weights.get("bias_hh"))
        i, f, g, o = z.chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        if "weight_hr" in weights:
            h = linear(h, weights["weight_hr"])
        hs.append(h)
        cs.append(c)
    return torch.stack(hs), torch.stack(cs)


def flip(x: Tensor, lengths: Tensor) -> Tensor:
    """Each sequence of ``x`` ``(L, N, ·)`` backwards within its own length; its own inverse."""
    t = torch.arange(len(x), device=x.device)[:, None]
    source = torch.where(t < lengths, lengths - 1 - t, t)
    return x[source, torch.arange(x.shape[1], device=x.device)]


class LSTM(torch.nn.LSTM):
    """Arguments, parameters and results as ``torch.nn.LSTM``'s."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """``input`` ``(L, N, H_in)``, or batch-first, unbatched or packed."""
        packed = isinstance(input, PackedSequence)
        unbatched = not packed and input.dim() == 2
        if packed:
            x, lengths = pad_packed_sequence(input)
        else:
            swapped = input.transpose(0, 1) if self.batch_first and not unbatched else input
            x = swapped.unsqueeze(1) if unbatched else swapped
            lengths = torch.full(x.shape[1:2], len(x))
        self.check(x)
        h_0, c_0 = self.initial_states(x, hx, unbatched)
        output, h_n, c_n = self.stack(x, h_0, c_0, lengths.to(x.device))
        if packed:
            if (order := input.sorted_indices) is not None:
                output, lengths = output[:, order], lengths[order.cpu()]
            return input._replace(data=pack_padded_sequence(output, lengths).data), (h_n, c_n)
        if unbatched:
            return output.squeeze(1), (h_n.squeeze(1), c_n.squeeze(1))
        return output.transpose(0, 1) if self.batch_first else output, (h_n, c_n)

    def stack(
        self, x: Tensor, h_0: Tensor, c_0: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All layers and directions over ``x`` ``(L, N, H_in)``; ``lengths`` ``(N,)``."""
        samples = torch.arange(x.shape[1], device=x.device)
        h_n: list[Tensor] = []
        c_n: list[Tensor] = []
        for layer in range(self.num_layers):
            halves = []
            for direction in range(1 + self.bidirectional):
                k = len(h_n)
                inputs = flip(x, lengths) if direction else x
                hs, cs = run(inputs, h_0[k], c_0[k], self.weights(layer, direction))
                h_n.append(hs[lengths - 1, samples])
                c_n.append(cs[lengths - 1, samples])
                halves.append(flip(hs, lengths) if direction else hs)
            x = torch.cat(halves, dim=-1)
            if layer < self.num_layers - 1:
                x = dropout(x, self.dropout, self.training)
        return x, torch.stack(h_n), torch.stack(c_n)

    def weights(self, layer: int, direction: int) -> dict[str, Tensor]:
        """The parameters of one layer and direction, without the ends of their names."""
        end = f"_l{layer}" + ("_reverse" if direction else "")
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return {name: getattr(self, name + end) for name in names if hasattr(self, name + end)}

    def initial_states(self, x: Tensor, hx: Any, unbatched: bool) -> tuple[Tensor, Tensor]:
        """``h_0`` ``(D*K, N, H_out)`` and ``c_0`` ``(D*K, N, H)``; zeros where not given."""
        states = self.num_layers * (1 + self.bidirectional)
        h_shape = (states, x.shape[1], self.proj_size or self.hidden_size)
        c_shape = (states, x.shape[1], self.hidden_size)
        if hx is None:
            return x.new_zeros(h_shape), x.new_zeros(c_shape)
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise RuntimeError("the state must be a pair (h_0, c_0)")
        h_0, c_0 = (state.unsqueeze(1) if unbatched else state for state in hx)
        if h_0.shape != h_shape or c_0.shape != c_shape:
            raise RuntimeError(f"h_0 must have the shape {h_shape} and c_0 {c_shape}")
        if h_0.dtype != x.dtype or c_0.dtype != x.dtype:
            raise RuntimeError(f"h_0 and c_0 must be {x.dtype}")
        return h_0, c_0

    def check(self, x: Tensor) -> None:
        """Refuse what is not ``(L, N, H_in)``, has no steps, or is of another dtype."""
        if x.dim() != 3 or len(x) == 0 or x.shape[2] != self.input_size:
            raise RuntimeError(f"input of shape {tuple(x.shape)} for input_size {self.input_size}")
        if x.dtype != self.weight_ih_l0.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"input of {x.dtype} for weights of {self.weight_ih_l0.dtype}")


handmade_bidirectional = drop_in(LSTM, name="handmade_bidirectional")
