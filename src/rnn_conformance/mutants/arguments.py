"""Every argument check of ``torch.nn``'s layers and cells, left out: a mutant for each.

Which checks there are is read off ``violations``: each illegal construction or call that it
knows and that ``torch.nn`` refuses departs from a legal one in some way, and for each way there
is a class that does not look at it and makes what it got fit.
"""

# mypy: allow-subclassing-any

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_conformance import violations
from rnn_conformance.calls import Call
from rnn_conformance.cases import Case
from rnn_conformance.classes import arguments, drop_in
from rnn_conformance.clauses import CLAUSES
from rnn_conformance.mutants.mutant import (
    Chapter,
    Mixin,
    cycled,
    mapped,
    of_kind,
    state_shape,
    tensors,
)
from rnn_conformance.spec import Config, Kind

ARGUMENTS = Chapter("Argument checks left out")

SIZES = ("input_size", "hidden_size", "num_layers")


# The constructor.


def way(kind: Kind, name: str, value: Any, hidden_size: int) -> str:
    """How an argument of the constructor departs from what is legal; empty if it does not."""
    if name == "nonlinearity":
        if kind.layer is not Kind.RNN:
            return "a nonlinearity where there is none"
        return "" if value in ("tanh", "relu") else "an unknown nonlinearity"
    if name not in (*SIZES, "dropout", "proj_size"):
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and math.isnan(value)):
        return f"{name}={value!r}"
    if value < 0:
        return f"a negative {name}"
    if name == "dropout":
        return f"a {name} above 1" if value > 1 else ""
    if name == "proj_size":
        if value and kind is not Kind.LSTM:
            return f"a {name} where there is no projection"
        return f"a {name} of hidden_size or more" if value and value >= hidden_size else ""
    if value == 0:
        return f"{name}=0"
    if isinstance(value, float):
        return f"a {'whole float' if value.is_integer() else 'fraction'} for {name}"
    return ""


class _TakesConstruction(Mixin):
    """An argument that departs in one way is made legal."""

    kind: Kind
    taken: str

    def __init__(self, input_size: Any, hidden_size: Any, *args: Any, **keywords: Any) -> None:
        keywords |= {"input_size": input_size, "hidden_size": hidden_size}
        for name, value in list(keywords.items()):
            if way(self.kind, name, value, hidden_size) == self.taken:
                if name in SIZES:
                    keywords[name] = max(1, abs(int(value)))
                else:
                    del keywords[name]
        sizes = keywords.pop("input_size"), keywords.pop("hidden_size")
        super().__init__(*sizes, *args, **keywords)


# The call.


def departures(module: Any, input: Any, hx: Any = None) -> set[str]:
    """The ways in which a call's arguments depart from what is legal."""
    data, dtype = tensors(input)[0], next(module.parameters()).dtype
    packed, cell = isinstance(input, PackedSequence), isinstance(module, nn.RNNCellBase)
    found = set()
    if data.dtype != dtype:
        found.add("an input of another dtype")
    rank = 2 if cell else 3
    if not packed and data.dim() not in (rank - 1, rank):
        count = {0: "no dimension", 1: "one dimension"}.get(data.dim(), "too many dimensions")
        found.add(f"an input of {count}")
    elif data.shape[-1] != module.input_size:
        found.add(f"an input of too {_many(data.shape[-1], module.input_size)} features")
    elif not (packed or cell) and data.shape[_time(module, data)] == 0:
        found.add("an input of no steps")
    right = state_shape(module, input)
    if hx is None or right is None:
        return found
    lstm = isinstance(module, (nn.LSTM, nn.LSTMCell))
    if isinstance(hx, tuple) != lstm or (lstm and len(hx) != 2):
        return found | {_structure(module, hx)}
    names = ("h_0", "c_0") if lstm else ("h_0",)
    for name, state in zip(names, hx if lstm else (hx,), strict=True):
        if state.dtype != dtype:
            found.add(f"{_article(name)} of another dtype")
        due = (*right[:-1], module.hidden_size) if name == "c_0" else right
        if misfit := _misfit(tuple(state.shape), due):
            found.add(f"{_article(name)} {misfit}")
    return found


def _many(size: int, due: int) -> str:
    return "few" if size < due else "many"


def _article(name: str) -> str:
    return f"an {name}" if name == "h_0" else f"a {name}"


def _time(module: Any, data: Tensor) -> int:
    return 1 if data.dim() == 3 and module.batch_first else 0


def _structure(module: Any, hx: Any) -> str:
    if isinstance(hx, Tensor):
        alone = hx.shape[-1] in (module.hidden_size, getattr(module, "proj_size", 0))
        return "a lone h_0 for a state" if alone else "h_0 and c_0 side by side in one tensor"
    return f"a tuple of {len(hx)} for a state"


def _misfit(shape: tuple[int, ...], due: tuple[int, ...]) -> str:
    if len(shape) != len(due):
        return f"of too {_many(len(shape), len(due))} dimensions"
    axes = (
        ("features", "samples", "layers and directions")
        if len(due) == 3
        else (
            "features",
            "samples" if len(due) == 2 else "",
        )
    )
    wrong = [
        f"of too {_many(size, right)} {axis}"
        for axis, size, right in zip(axes, shape[::-1], due[::-1], strict=False)
        if size != right
    ]
    return wrong[0] if len(wrong) == 1 else "with its axes swapped" if wrong else ""


class _TakesCalls(Mixin):
    """A call that departs in one way alone is made legal, as far as that can be done."""

    taken: str

    def forward(self, input: Any, hx: Any = None) -> Any:
        if departures(self, input, hx) == {self.taken}:
            input = self.fitted(input)
            hx = self.fitted_state(input, hx)
        return super().forward(input, hx)

    def fitted(self, input: Any) -> Any:
        """The input in a dtype and a shape that are legal."""
        dtype = next(self.parameters()).dtype
        if isinstance(input, PackedSequence):
            return mapped(lambda data: cycled(data.to(dtype), -1, self.input_size), input)
        data, rank = input.to(dtype), 2 if isinstance(self, nn.RNNCellBase) else 3
        while data.dim() < rank - 1:
            data = data[None]
        if data.dim() > rank:
            data = data.reshape(-1, *data.shape[1 - rank :])
        if rank == 3 and data.shape[axis := _time(self, data)] == 0:
            shape = list(data.shape)
            shape[axis] = 1
            data = data.new_zeros(shape)
        return cycled(data, -1, self.input_size)

    def fitted_state(self, input: Any, hx: Any) -> Any:
        """The state in a dtype, a shape and a structure that are legal."""
        right = state_shape(self, input)
        if hx is None or right is None:
            return hx
        lstm = isinstance(self, (nn.LSTM, nn.LSTMCell))
        shapes = (right, (*right[:-1], self.hidden_size)) if lstm else (right,)
        given = hx if isinstance(hx, tuple) else (hx,)
        fit = [self._reshaped(given[min(i, len(given) - 1)], s) for i, s in enumerate(shapes)]
        return tuple(fit) if lstm else fit[0]

    def _reshaped(self, state: Tensor, shape: tuple[int, ...]) -> Tensor:
        """As many numbers as are due, in the order in which they come."""
        numbers = state.to(next(self.parameters()).dtype).reshape(-1)
        return cycled(numbers, 0, math.prod(shape)).reshape(shape)


# The family.


def legal_calls(kind: Kind) -> list[Call]:
    """Calls of all forms, with sizes that all differ."""
    if kind.is_cell:
        return [Case(Config(kind, 5, 4), 1, batch).call() for batch in (3, None)]
    config = Config(kind, 5, 4, 2, bidirectional=True)
    calls = [Case(config, 6, batch).call() for batch in (3, None)]
    if kind is Kind.LSTM:
        # It does not look at the state beside packed input, and what it computes is undefined.
        return [*calls, Case(Config(kind, 5, 4, 2, proj_size=3), 6, 7).call()]
    return [*calls, Case(config, 6, 3, lengths=(6, 2, 4)).call()]


def illegal_constructions(kind: Kind) -> Iterator[str]:
    """How what ``torch.nn``'s constructor refuses departs; what is refused at a call, too."""
    call, cls = legal_calls(kind)[0], getattr(nn, kind.value)

    def use(keywords: Any) -> None:
        cls(**keywords)(*arguments(call))

    for _, keywords in violations.constructions(call):
        if violations.raised(partial(use, keywords)) is not None:
            (found,) = {
                found
                for name, value in keywords.items()
                if (found := way(kind, name, value, call.config.hidden_size))
            }
            yield found


def illegal_calls(kind: Kind) -> Iterator[str]:
    """How what ``torch.nn``'s layer refuses departs, where it does so in one way alone."""
    families = [violations.inputs, violations.states, violations.dtypes]
    for call in legal_calls(kind):
        own = violations.judge(call)
        for family in families if kind.is_cell else [*families, violations.no_steps]:
            for violation in family(call, "cpu"):
                found = departures(own, *violation.arguments)
                if len(found) == 1 and violations.raised(partial(own, *violation.arguments)):
                    yield from found


def _put() -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # Of projections, and of dropout in a single layer.
        warnings.simplefilter("ignore")
        for mixin, family in (
            (_TakesConstruction, illegal_constructions),
            (_TakesCalls, illegal_calls),
        ):
            kinds: dict[str, list[Kind]] = defaultdict(list)
            for kind in Kind:
                for found in dict.fromkeys(family(kind)):
                    kinds[found].append(kind)
            for number, (taken, having) in enumerate(kinds.items()):
                _put_one(mixin, f"{mixin.__name__}{number}_", taken, having)


def _put_one(mixin: type, stem: str, taken: str, kinds: list[Kind]) -> None:
    name = f"{taken} accepted"

    def make(kind: Kind) -> Any:
        defect = type(stem, (mixin,), {"taken": taken, "kind": kind})
        return drop_in(of_kind(defect, kind), name=name)

    ARGUMENTS.put(name, _breaks(mixin, taken, kinds), make, kinds=kinds)


def _breaks(mixin: type, taken: str, kinds: list[Kind]) -> str:
    if mixin is _TakesConstruction:
        return "ERR-1"
    if taken.endswith("dtype"):
        ids = ["TYP-2", "ERR-4"]
    elif taken.endswith("no steps"):
        ids = ["ERR-4", "SHP-5"]
    else:
        ids = ["ERR-2" if taken.startswith("an input") else "ERR-3", "CEL-4"]
    return " ".join(each for each in ids if CLAUSES[each].kinds.intersection(kinds))


_put()
