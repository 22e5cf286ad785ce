"""Drop-in classes that are right and written in other ways than ``torch.nn``'s.

``Written…`` share nothing with them but the surface; the others are to be mixed into the
classes of ``torch.nn`` and do around them what the clauses leave open.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from rnn_conformance.mutants.mutant import of_kind
from rnn_conformance.spec.config import Kind

Mixin: Any = object
"""What is mixed into a class of ``torch.nn``."""

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


class Illegal(Exception):
    """None of torch.nn's classes of exceptions."""


def positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Illegal(f"{name} is to be a positive number, not {value!r}")
    return value


def step(kind: str, activation: Callable[[Tensor], Tensor], z: Tensor, y: Tensor,
         state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # fmt: skip
    """The next state, from the input's part and the state's part of the gates."""
    if kind == "RNN":
        return (activation(z + y),)
    if kind == "LSTM":
        i, f, g, o = (z + y).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c
    (a, b, n), (p, q, m) = z.chunk(3, -1), y.chunk(3, -1)
    update = torch.sigmoid(b + q)
    new = torch.tanh(n + torch.sigmoid(a + p) * m)
    return (new - update * new + update * state[0],)


class Written(nn.Module):
    """A layer without ``torch.nn.RNNBase``: sample after sample, so nothing is padded."""

    kind = ""
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *positional: Any,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        names = ["bias", "batch_first", "dropout", "bidirectional", "proj_size"]
        if self.kind == "RNN":
            names.insert(0, "nonlinearity")
        given: dict[str, Any] = {
            "nonlinearity": nonlinearity,
            "bias": bias,
            "batch_first": batch_first,
            "dropout": dropout,
            "bidirectional": bidirectional,
            "proj_size": proj_size,
        }
        given |= dict(zip(names, positional, strict=False))
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.num_layers = positive("num_layers", num_layers)
        p, size = given["dropout"], given["proj_size"]
        if isinstance(p, bool) or not 0 <= p <= 1:
            raise Illegal(f"dropout is to be a probability, not {p!r}")
        if type(size) is not int or not 0 <= size < hidden_size or (size and self.kind != "LSTM"):
            raise Illegal(f"proj_size is to be less than hidden_size, and LSTM's: {size!r}")
        if given["nonlinearity"] not in ("tanh", "relu"):
            raise Illegal(f"no nonlinearity {given['nonlinearity']!r}")
        if self.kind == "RNN":
            self.nonlinearity = given["nonlinearity"]
        elif nonlinearity != "tanh":
            raise Illegal("a nonlinearity is RNN's")
        for name in ("bias", "batch_first", "dropout", "bidirectional", "proj_size"):
            setattr(self, name, given[name])
        self.mode = f"RNN_{self.nonlinearity.upper()}" if self.kind == "RNN" else self.kind
        self.directions = 1 + self.bidirectional
        width, rows = self.proj_size or hidden_size, GATES[self.kind] * hidden_size
        for layer in range(num_layers):
            below = input_size if layer == 0 else self.directions * width
            for end in (f"_l{layer}", f"_l{layer}_reverse")[: self.directions]:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, below),
                    "weight_hh": (rows, width),
                }
                if self.bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if self.proj_size:
                    shapes["weight_hr"] = (self.proj_size, hidden_size)
                for name, shape in shapes.items():
                    empty = torch.empty(shape, device=device, dtype=dtype)
                    self.register_parameter(name + end, nn.Parameter(empty))
        self.names = list(self._parameters)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Not uniform_: the same distribution made in another way."""
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            parameter.copy_((2.0 * torch.rand_like(parameter) - 1.0) * limit)

    def flatten_parameters(self) -> None:
        """Nothing to flatten."""

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        count = len(self._parameters) // (self.num_layers * self.directions)
        weights = list(self.parameters())
        return [weights[i : i + count] for i in range(0, len(weights), count)]

    def forward(self, input: Any, hx: Any = None) -> Any:
        lengths = None
        if isinstance(input, PackedSequence):
            x, lengths = pad_packed_sequence(input)
        else:
            x = input
            if x.dim() not in (2, 3):
                raise Illegal(f"input of {x.dim()} dimensions")
            if x.dim() == 2:
                x = x.unsqueeze(1)
            elif self.batch_first:
                x = x.transpose(0, 1)
        unbatched = isinstance(input, Tensor) and input.dim() == 2
        if x.shape[0] == 0 or x.shape[2] != self.input_size:
            raise Illegal(f"input of shape {tuple(x.shape)}")
        if x.dtype != self.weight_ih_l0.dtype:
            raise Illegal(f"input of {x.dtype}")
        states = self.initial(x, hx, unbatched)
        steps = [x.shape[0]] * x.shape[1] if lengths is None else lengths.tolist()
        finals: list[tuple[Tensor, ...]] = []
        rows = [x[:count, n] for n, count in enumerate(steps)]
        for layer in range(self.num_layers):
            if layer:
                joined = dropout(torch.cat(rows), self.dropout, self.training) if rows else None
                rows = list(torch.split(joined, steps)) if joined is not None else rows
            rows, of_layer = self.layer(layer, rows, states)
            finals += of_layer
        width = self.directions * (self.proj_size or self.hidden_size)
        state = tuple(torch.stack([final[s] for final in finals]) for s in range(len(states)))
        if isinstance(input, PackedSequence):
            order = range(len(rows)) if input.sorted_indices is None else input.sorted_indices
            data = [
                rows[int(order[n])][t]
                for t, count in enumerate(input.batch_sizes.tolist())
                for n in range(count)
            ]
            output: Any = input._replace(data=torch.stack(data))
        else:
            output = torch.stack(rows, 1) if rows else x.new_zeros(x.shape[0], 0, width)
            if unbatched:
                output, state = output.squeeze(1), tuple(final.squeeze(1) for final in state)
            elif self.batch_first:
                output = output.transpose(0, 1)
        return output, state if self.kind == "LSTM" else state[0]

    def initial(self, x: Tensor, hx: Any, unbatched: bool) -> list[Tensor]:
        """``h_0``, and ``c_0`` for LSTM, with samples."""
        places = self.num_layers * self.directions
        widths = [self.proj_size or self.hidden_size, self.hidden_size]
        shapes = [(places, x.shape[1], w) for w in widths[: 1 + (self.kind == "LSTM")]]
        if hx is None:
            return [x.new_zeros(shape) for shape in shapes]
        given = hx if self.kind == "LSTM" else (hx,)
        if not isinstance(given, (tuple, list)) or len(given) != len(shapes):
            raise Illegal("the state is a pair for LSTM, else a tensor")
        states = []
        for state, shape in zip(given, shapes, strict=True):
            if not isinstance(state, Tensor) or state.dtype != x.dtype:
                raise Illegal("a state is a tensor of the input's dtype")
            batched = state.unsqueeze(1) if unbatched and state.dim() == 2 else state
            if batched.shape != shape or (unbatched and state.dim() != 2):
                raise Illegal(f"a state of shape {tuple(state.shape)}")
            states.append(batched)
        return states

    def layer(
        self, layer: int, rows: list[Tensor], states: list[Tensor]
    ) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
        """The outputs of each sample, and the final states of each direction."""
        halves, finals = [], []
        for direction in range(self.directions):
            initial = [state[layer * self.directions + direction] for state in states]
            outputs, last = [], []
            for n, row in enumerate(rows):
                first = tuple(state[n : n + 1] for state in initial)
                output, final = self.sample(layer, direction, row, first)
                outputs.append(output)
                last.append(final)
            halves.append(outputs)
            stacked = [torch.cat(states) for states in zip(*last, strict=True)]
            finals.append(tuple(stacked or initial))
        return [torch.cat(outputs, -1) for outputs in zip(*halves, strict=True)], finals

    def sample(
        self, layer: int, direction: int, row: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One direction of one sequence ``(T, ·)``: ``(T, H_out)`` and the last state."""
        end = f"_l{layer}" + "_reverse" * direction
        weights: dict[str, Any] = {
            name.removesuffix(end): getattr(self, name) for name in self.names if name.endswith(end)
        }
        activation = torch.relu if self.mode == "RNN_RELU" else torch.tanh
        outputs: list[Tensor] = []
        for x in row.flip(0) if direction else row:
            z = linear(x[None], weights["weight_ih"], weights.get("bias_ih"))
            y = linear(state[0], weights["weight_hh"], weights.get("bias_hh"))
            state = step(self.kind, activation, z, y, state)
            if "weight_hr" in weights:
                state = (linear(state[0], weights["weight_hr"]), *state[1:])
            outputs.append(state[0])
        return torch.cat(outputs[::-1] if direction else outputs), state


class WrittenRNN(Written):
    """See ``Written``."""

    kind = "RNN"


class WrittenLSTM(Written):
    """See ``Written``."""

    kind = "LSTM"


class WrittenGRU(Written):
    """See ``Written``."""

    kind = "GRU"


class WrittenCell(nn.Module):
    """A cell without ``torch.nn.RNNCellBase``."""

    kind = ""
    weight_ih: nn.Parameter
    weight_hh: nn.Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.bias, self.nonlinearity = bias, nonlinearity
        if nonlinearity not in ("tanh", "relu"):
            raise Illegal(f"no nonlinearity {nonlinearity!r}")
        rows = GATES[self.kind] * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
        }
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            empty = torch.empty(shape, device=device, dtype=dtype)
            self.register_parameter(name, nn.Parameter(empty))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within the limit."""
        limit = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -limit, limit)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        if input.dim() not in (1, 2) or input.shape[-1] != self.input_size:
            raise Illegal(f"input of shape {tuple(input.shape)}")
        if input.dtype != self.weight_ih.dtype:
            raise Illegal(f"input of {input.dtype}")
        shape = (*input.shape[:-1], self.hidden_size)
        count = 2 if self.kind == "LSTM" else 1
        state: Any = (input.new_zeros(shape),) * count
        if hx is not None:
            state = hx if count == 2 else (hx,)
            if not isinstance(state, (tuple, list)) or len(state) != count:
                raise Illegal("the state is a pair for LSTMCell, else a tensor")
            if any(not isinstance(s, Tensor) or s.shape != shape for s in state):
                raise Illegal("a state of another shape")
            if any(s.dtype != input.dtype for s in state):
                raise Illegal("a state of another dtype")
        z = linear(input, self.weight_ih, getattr(self, "bias_ih", None))
        y = linear(state[0], self.weight_hh, getattr(self, "bias_hh", None))
        activation = torch.relu if self.nonlinearity == "relu" else torch.tanh
        new = step(self.kind, activation, z, y, tuple(state))
        return new if count == 2 else new[0]


class WrittenRNNCell(WrittenCell):
    """See ``WrittenCell``."""

    kind = "RNN"


class _WithoutNonlinearity(WrittenCell):
    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
                 dtype: Any = None) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)


class WrittenLSTMCell(_WithoutNonlinearity):
    """See ``WrittenCell``."""

    kind = "LSTM"


class WrittenGRUCell(_WithoutNonlinearity):
    """See ``WrittenCell``."""

    kind = "GRU"


def tree(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """``change`` applied to each tensor, of a packed sequence to its data."""
    if isinstance(value, PackedSequence):
        return value._replace(data=change(value.data))
    if isinstance(value, (tuple, list)):
        return type(value)(tree(change, part) for part in value)
    return change(value) if isinstance(value, Tensor) else value


class Copying(Mixin):
    """Copies all that it gets and all that it gives."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return tree(torch.clone, super().forward(tree(torch.clone, input), tree(torch.clone, hx)))


class Strided(Mixin):
    """Gives results that are not contiguous."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        def spread(array: Tensor) -> Tensor:
            return torch.stack([array, array], -1)[..., 1]

        return tree(spread, super().forward(input, hx))


class OneAllocation(Mixin):
    """Gives all results in one piece of memory, a new one for each call."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        flat: list[Tensor] = []

        def noted(array: Tensor) -> Tensor:
            flat.append(array.reshape(-1))
            return array

        returned = tree(noted, super().forward(input, hx))
        pieces = iter(torch.split(torch.cat(flat), [len(piece) for piece in flat]))
        return tree(lambda array: next(pieces).view(array.shape), returned)


class Returned(NamedTuple):
    """What a layer returns, or the two states of an LSTM, with names of its own."""

    first: Any
    second: Any


class Names(Mixin):
    """Gives pairs whose parts have names."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        def named(value: Any) -> Any:
            return Returned(*map(named, value)) if type(value) is tuple else value

        return named(super().forward(input, hx))


class PacksByContents(Mixin):
    """Packs its weights again whenever they hold other bytes."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        now = [parameter.detach().clone() for parameter in self.parameters()]
        kept = self.__dict__.setdefault("_kept", [])
        if len(kept) != len(now) or not all(map(self.alike, kept, now)):
            self.__dict__["_kept"] = now
        names = [name for name, _ in self.named_parameters()]
        if torch.is_grad_enabled():
            return super().forward(input, hx)
        packed = dict(zip(names, self.__dict__["_kept"], strict=True))
        with torch.no_grad():
            return self.on(packed, input, hx)

    @staticmethod
    def alike(one: Tensor, other: Tensor) -> bool:
        return one.dtype == other.dtype and one.equal(other)

    def on(self, packed: dict[str, Tensor], input: Any, hx: Any) -> Any:
        """The layer on other parameters, on an object of this call alone."""
        # Not copy.copy, which parametrized modules forbid.
        made: Any = self.__class__.__new__(self.__class__)
        made.__dict__.update(self.__dict__)
        made.__dict__["_parameters"] = {**self._parameters, **{
            name: nn.Parameter(array, requires_grad=False) for name, array in packed.items()
        }}  # fmt: skip
        if hasattr(self, "_flat_weights_names"):
            made._flat_weights = [getattr(made, name) for name in self._flat_weights_names]
            made._flat_weight_refs = []
            made._init_flat_weights()
        return super(PacksByContents, made).forward(input, hx)


class Locked(Mixin):
    """One call at a time."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._lock = threading.Lock()

    def __getstate__(self) -> Any:
        state = super().__getstate__() if hasattr(super(), "__getstate__") else self.__dict__
        return {name: value for name, value in dict(state).items() if name != "_lock"}

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._lock = threading.Lock()

    def forward(self, input: Any, hx: Any = None) -> Any:
        with self._lock:
            return super().forward(input, hx)


class OtherExceptions(Mixin):
    """Refuses with an exception that nobody else has."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        try:
            super().__init__(*args, **keywords)
        except Exception as error:
            raise Illegal(str(error)) from error

    def forward(self, input: Any, hx: Any = None) -> Any:
        try:
            return super().forward(input, hx)
        except Exception as error:
            raise Illegal(str(error)) from error


class HasABuffer(Mixin):
    """Counts its calls in a buffer that is not stored."""

    calls: Tensor

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, input: Any, hx: Any = None) -> Any:
        self.calls = self.calls + 1
        return super().forward(input, hx)


class FusedRNNCell(nn.RNNCell):
    """Adds its biases first where it has no state, which rounds in another order."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if hx is not None or not self.bias or self.nonlinearity != "tanh":
            return super().forward(input, hx)
        super().forward(input.detach())
        return (input @ self.weight_ih.mT + (self.bias_ih + self.bias_hh)).tanh()


WRITTEN = {
    Kind.RNN: WrittenRNN,
    Kind.LSTM: WrittenLSTM,
    Kind.GRU: WrittenGRU,
    Kind.RNN_CELL: WrittenRNNCell,
    Kind.LSTM_CELL: WrittenLSTMCell,
    Kind.GRU_CELL: WrittenGRUCell,
}
MIXINS = (
    Copying,
    Strided,
    OneAllocation,
    Names,
    PacksByContents,
    Locked,
    OtherExceptions,
    HasABuffer,
)


def right_classes(kind: Kind) -> list[type[nn.Module]]:
    """All of one kind."""
    fused = [FusedRNNCell] if kind is Kind.RNN_CELL else []
    return [WRITTEN[kind], *fused, *(of_kind(mixin, kind) for mixin in MIXINS)]
