"""Legal ways to compute a layer in torch, to be differentiated automatically."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Config, Dtype, Kind, Role


class Way:
    """A legal way to compute a layer, to be differentiated; subclasses take other ones."""

    def __init__(self, dtype: Dtype) -> None:
        self.dtype = dtype
        self.work = torch_dtype(dtype)

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        return x @ w.T

    def affine(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return self.add(self.product(x, w), b)

    def preactivation(self, p: dict[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        return self.add(
            self.affine(x, p["weight_ih"], p["bias_ih"]),
            self.affine(h, p["weight_hh"], p["bias_hh"]),
        )

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def sigmoid(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def tanh(self, z: Tensor) -> Tensor:
        return torch.tanh(z)

    def update(self, z: Tensor, n: Tensor, h: Tensor) -> Tensor:
        return self.add(self.multiply(1.0 - z, n), self.multiply(z, h))

    def step(
        self, config: Config, p: dict[str, Tensor], x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        match config.kind.layer:
            case Kind.LSTM:
                zi, zf, zg, zo = self.preactivation(p, x, h).chunk(4, dim=1)
                i, f, o = self.sigmoid(zi), self.sigmoid(zf), self.sigmoid(zo)
                c = self.add(self.multiply(f, c), self.multiply(i, self.tanh(zg)))
                h = self.multiply(o, self.tanh(c))
                return (self.product(h, p["weight_hr"]) if "weight_hr" in p else h), c
            case Kind.GRU:
                xr, xz, xn = self.affine(x, p["weight_ih"], p["bias_ih"]).chunk(3, dim=1)
                hr, hz, hn = self.affine(h, p["weight_hh"], p["bias_hh"]).chunk(3, dim=1)
                r, z = self.sigmoid(self.add(xr, hr)), self.sigmoid(self.add(xz, hz))
                return self.update(z, self.tanh(self.add(xn, self.multiply(r, hn))), h), c
            case _:
                z = self.preactivation(p, x, h)
                return (torch.relu(z) if config.nonlinearity == "relu" else self.tanh(z)), c

    def parameters(
        self, call: Call, leaves: dict[str, Tensor], layer: int, direction: int
    ) -> dict[str, Tensor]:
        """By their roles; zeros for the biases that there are not."""
        names = {role: call.config.parameter_name(role, layer, direction) for role in Role}
        p = {role.value: leaves[name] for role, name in names.items() if name in leaves}
        zeros = torch.zeros(len(p[Role.WEIGHT_IH]), dtype=self.work)
        return {"bias_ih": zeros, "bias_hh": zeros, **p}

    def results(self, call: Call, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
        """The results by name, canonical."""
        config, steps = call.config, torch.tensor(call.steps)[:, :, None]
        below, states = leaves["input"], dict(leaves)
        for name, width in (("h_0", config.output_size), ("c_0", config.hidden_size)):
            shape = (config.num_states, call.batch, width)
            states.setdefault(name, torch.zeros(shape, dtype=self.work))
        h_n: list[Tensor] = []
        c_n: list[Tensor] = []
        for layer in range(config.num_layers):
            halves = []
            for direction in range(config.num_directions):
                p = self.parameters(call, leaves, layer, direction)
                h, c = states["h_0"][len(h_n)], states["c_0"][len(h_n)]
                outputs: list[Any] = [None] * call.length
                for t in reversed(range(call.length)) if direction else range(call.length):
                    new_h, new_c = self.step(config, p, below[t], h, c)
                    h, c = torch.where(steps[t], new_h, h), torch.where(steps[t], new_c, c)
                    outputs[t] = torch.where(steps[t], h, torch.zeros_like(h))
                halves.append(torch.stack(outputs))
                h_n.append(h)
                c_n.append(c)
            below = torch.cat(halves, dim=-1)
        arrays = {"output": below, "h_n": torch.stack(h_n), "c_n": torch.stack(c_n)}
        return {name: arrays[name] for name in call.results}

    def gradients(self, backward: Backward) -> dict[str, Array]:
        call = backward.call
        arrays = {"input": call.input, **call.arguments.states, **call.parameters}
        leaves = {
            name: torch.tensor(array.copy(), dtype=self.work, requires_grad=True)
            for name, array in arrays.items()
        }
        results = self.results(call, leaves)
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            [results[name] for name in backward.cotangents],
            list(leaves.values()),
            [torch.tensor(a.copy(), dtype=self.work) for a in backward.cotangents.values()],
            allow_unused=True,
        )
        return {
            name: np.zeros(leaf.shape) if array is None else array.double().numpy()
            for (name, leaf), array in zip(leaves.items(), gradients, strict=True)
        }


class InDouble(Way):
    """Everything in float64."""

    def __init__(self, dtype: Dtype) -> None:
        super().__init__(dtype)
        self.work = torch.float64


class OneByOne(Way):
    """Sums from the last term to the first; gradients of weights column by column."""

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        total = torch.zeros(len(x), len(w), dtype=self.work)
        for k in reversed(range(w.shape[1])):
            total = total + x[:, k, None] * w[:, k]
        return total


class SampleBySample(Way):
    """Products of one sample at a time, so that samples' gradients are added up in turn."""

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        return torch.stack([w @ row for row in x])


class GateByGate(Way):
    """A product for each gate, so that the state's gradient is a sum over gates."""

    def product(self, x: Tensor, w: Tensor) -> Tensor:
        return torch.cat([x @ part.T for part in torch.split(w, max(1, len(w) // 4))], dim=1)


class Fused(Way):
    """Input and state side by side, in one product; the biases added to one another first."""

    def preactivation(self, p: dict[str, Tensor], x: Tensor, h: Tensor) -> Tensor:
        both = torch.cat([p["weight_hh"], p["weight_ih"]], dim=1)
        return torch.cat([h, x], dim=1) @ both.T + (p["bias_ih"] + p["bias_hh"])


class SigmoidFromTanh(Way):
    """``sigmoid(z) = (1 + tanh(z / 2)) / 2``."""

    def sigmoid(self, z: Tensor) -> Tensor:
        return 0.5 + 0.5 * torch.tanh(0.5 * z)


class TanhFromSigmoid(Way):
    """``tanh(z) = 2 sigmoid(2 z) - 1``."""

    def tanh(self, z: Tensor) -> Tensor:
        return 2.0 * torch.sigmoid(2.0 * z) - 1.0


class FromExponentials(Way):
    """Both activations from ``exp``, differentiated operation by operation."""

    def sigmoid(self, z: Tensor) -> Tensor:
        return 1.0 / (1.0 + torch.exp(-z))


class UpdateByDifference(Way):
    """``h' = n + z (h - n)``."""

    def update(self, z: Tensor, n: Tensor, h: Tensor) -> Tensor:
        return n + z * (h - n)


WAYS = (
    Way,
    InDouble,
    OneByOne,
    SampleBySample,
    GateByGate,
    Fused,
    SigmoidFromTanh,
    TanhFromSigmoid,
    FromExponentials,
    UpdateByDifference,
)
