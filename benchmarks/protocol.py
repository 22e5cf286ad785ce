"""What a call through the protocol costs: ``python -m benchmarks.protocol``.

Each request is made many times, those of all programs in turn, and the median told with the
quartiles; beside it is the same call of the bundled NumPy implementation, which has no process
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from statistics import quantiles
from time import perf_counter

from rnn_conformance.implementations.command import Remote
from rnn_conformance.implementations.numpy_function import FunctionImplementation
from rnn_conformance.implementations.registry import load
from rnn_conformance.implementations.wire import PROTOCOL
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.config import Config, Kind

TIMES = 300
"""How often each is measured."""

CASES = {
    "1 step, 1 sample, 3 units": Case(Config(Kind.LSTM, 2, 3), 1, 1),
    "20 steps, 14 samples, 21 units": Case(Config(Kind.LSTM, 18, 21), 20, 14),
}

NAMES = ("numpy_loops", "c_loops", "javascript_loops")


def measured(acts: Mapping[str, Callable[[], object]]) -> dict[str, str]:
    """Microseconds of each, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(TIMES):
        for name, act in acts.items():
            begun = perf_counter()
            act()
            seconds[name].append(perf_counter() - begun)
    told = {}
    for name, each in seconds.items():
        low, middle, high = (1e6 * one for one in quantiles(each, n=4))
        told[name] = f"{middle:,.0f} ({low:,.0f} to {high:,.0f})"
    return told


def row(words: str, cells: dict[str, str]) -> None:
    """A row of the page's table."""
    print(f"| {words} | {' | '.join(cells.get(name, '–') for name in NAMES)} |", flush=True)


def main() -> None:
    """Print the table."""
    loaded: dict[str, FunctionImplementation] = {}
    for name in NAMES:
        (one,) = load(name)
        assert isinstance(one, FunctionImplementation)
        loaded[name] = one
    engines = {
        name: one.build_layer.engine
        for name, one in loaded.items()
        if isinstance(one.build_layer, Remote)
    }
    print(f"| microseconds | {' | '.join(NAMES)} |\n|---|---|---|---|")
    greetings = {
        name: partial(engine.ask, {"do": "hello", "protocol": PROTOCOL}, {})
        for name, engine in engines.items()
    }
    row("a request without arrays", measured(greetings))
    for words, case in CASES.items():
        call = case.call()
        acts = {
            name: partial(one.build(call.layer), call.arguments) for name, one in loaded.items()
        }
        row(f"a call: {words}", measured(acts))


if __name__ == "__main__":
    main()
