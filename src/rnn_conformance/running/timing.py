"""One implementation timed beside ``torch.nn``, in the process that holds it.

Both have the same weights and arguments. What came back is compared with the reference before
anything is timed. Pyperf finds the number of calls that a timer can tell, warms up and repeats;
what it repeats is a pair, one right after the other, so that whatever else the machine does
meets both.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap

from rnn_conformance.checking.assertions import assert_within_bound
from rnn_conformance.errors import NonConforming, Unsupported, interrupts
from rnn_conformance.implementations.devices import torch_dtype
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.implementations.process import contained
from rnn_conformance.implementations.registry import load
from rnn_conformance.implementations.tensors import assembled, tensor, tensors, tensors_of
from rnn_conformance.results.speed import Clock, Measurement, Ratio, Shape, Work
from rnn_conformance.spec.backward import Backward, drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind
from rnn_conformance.texts import LINE, said, worded

PAIRS = 20
"""Behind each figure: of fewer, the interval of a median is nearly their range."""

CONFIDENCE = 0.95
"""With which the true median lies in the interval."""

PAIR_SECONDS = 0.01
"""That a pair takes at least: the timer's own error is a ten-thousandth of it."""

CLOCKS: dict[Clock, Callable[[], float]] = {
    Clock.PROCESSOR: process_time,
    Clock.WALL: perf_counter,
}

_names = itertools.count()


@dataclass(frozen=True, eq=False)
class Ready:
    """A layer that was built and has answered once: what is to be repeated, and what it took.

    ``adapted`` says that the suite's adapter is part of ``again``.
    """

    again: Callable[[], Any]
    building: float
    first: float
    adapted: bool = False


def call_of(implementation: Implementation, kind: Kind, shape: Shape, dtype: Dtype) -> Call:
    """The call that is timed: of the plainest layer, with a state only where one is needed."""
    omitted = Feature.OMITTED_STATE in implementation.declaration.features
    case = Case(
        Config(kind, shape.input_size, shape.hidden_size),
        1 if kind.is_cell else shape.length,
        shape.batch,
        dtype,
        state=State.OMITTED if omitted else State.GIVEN,
        values=Values.TYPICAL,
    )
    return case.call()


def measure(
    implementation: Implementation,
    kind: Kind,
    shape: Shape,
    dtype: Dtype,
    work: Work,
    *,
    pairs: int = PAIRS,
    pair_seconds: float = PAIR_SECONDS,
    threads: int = 1,
) -> Measurement:
    """What an implementation takes for a call of this shape, beside ``torch.nn``'s own class.

    What it raises, refuses or gets wrong is part of the measurement. ``pairs`` are timed, each
    of ``pair_seconds`` at least; torch computes with so many ``threads``.
    """
    torch.set_num_threads(threads)
    blank = Measurement(shape.name, dtype.value, work)
    call = call_of(implementation, kind, shape, dtype)
    if missing := implementation.declaration.undeclared(call):
        return replace(blank, reason=f"does not declare {', '.join(sorted(missing))}")
    prepare = _forward if work is Work.FORWARD else _training
    (reference,) = load(f"torch.nn:{kind}")
    theirs = prepare(reference, call)
    try:
        # First, since whatever is compiled is compiled now.
        ready = prepare(implementation, call)
        wrong = _wrong(implementation, call, work)
        with contained():
            # What computes less than half as much of its time waits for another process.
            waits = _share(ready.again) < 0.5 * _share(theirs.again)
            clock = Clock.WALL if threads > 1 or waits else Clock.PROCESSOR
            times = _pairs(ready.again, theirs.again, CLOCKS[clock], pairs, pair_seconds)
    except Unsupported as reason:
        return replace(blank, reason=str(reason))
    except BaseException as error:
        if interrupts(error):
            raise
        return replace(blank, reason=f"raised {worded(error, LINE)}")
    ratios = [own / other for own, other in times]
    return replace(
        blank,
        building=ready.building,
        first=ready.first,
        seconds=median(own for own, _ in times),
        reference_seconds=median(other for _, other in times),
        ratio=Ratio(median(ratios), *interval(ratios)),
        clock=clock,
        adapted=ready.adapted,
        wrong=wrong,
    )


def interval(ratios: list[float]) -> tuple[float, float]:
    """Between what the median of such ratios lies, with ``CONFIDENCE``: a bootstrap."""
    if min(ratios) == max(ratios):
        return ratios[0], ratios[0]
    found = bootstrap(
        (np.array(ratios),),
        np.median,
        confidence_level=CONFIDENCE,
        # The distribution of a median is not smooth, which the corrected methods suppose.
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def _wrong(implementation: Implementation, call: Call, work: Work) -> str | None:
    """What is wrong with what comes back, if anything is: beyond the hard bound."""
    try:
        if work is Work.FORWARD:
            assert_within_bound(implementation.build(call.layer)(call.arguments))
        else:
            assert_within_bound(implementation.pullback(call.layer)(drawn(call, 0)))
    except NonConforming as error:
        return said(error, LINE)
    return None


def _forward(implementation: Implementation, call: Call) -> Ready:
    """A call, without the suite's adapter where that can be had."""
    begun = perf_counter()
    try:
        bare = implementation.bare(call.layer)
    except Unsupported:
        layer = implementation.build(call.layer)
        return _ready(lambda: layer(call.arguments), begun, adapted=True)
    arguments = bare.arguments(call.arguments)
    return _ready(lambda: bare.layer(*arguments), begun)


def _training(implementation: Implementation, call: Call) -> Ready:
    """A call and its backward pass, without the suite's adapter where that can be had."""
    backward, begun = drawn(call, 0), perf_counter()
    try:
        return _ready(_graph(implementation, backward), begun)
    except Unsupported:
        pullback = implementation.pullback(call.layer)
    try:
        vjp = getattr(implementation.bare(call.layer).layer, "vjp", None)
    except Unsupported:
        vjp = None
    if vjp is None:
        return _ready(lambda: pullback(backward), begun, adapted=True)
    arguments = implementation.arguments(call)
    cotangents = {
        name: np.array(call.give(name, array), dtype=call.dtype.value, order="C")
        for name, array in backward.cotangents.items()
    }
    return _ready(lambda: vjp(cotangents, *arguments), begun)


def _graph(implementation: Implementation, backward: Backward) -> Callable[[], Any]:
    """A module's step of training; raises ``Unsupported`` for what is no module."""
    call = backward.call
    module = implementation.module(call.layer)
    given = tensors(call, implementation.device)
    leaves = [leaf.requires_grad_() for leaf in (*given.values(), *module.parameters())]
    arguments = assembled(call, given)
    results, _ = tensors_of(call, module(*arguments))
    cotangents = [
        tensor(call.give(name, array), torch_dtype(call.dtype), implementation.device)
        for name, array in backward.cotangents.items()
    ]
    names = list(backward.cotangents)
    assert set(names) <= set(results)

    def step() -> Any:
        results, _ = tensors_of(call, module(*arguments))
        return torch.autograd.grad(
            [results[name] for name in names], leaves, cotangents, allow_unused=True
        )

    return step


def _ready(again: Callable[[], Any], begun: float, *, adapted: bool = False) -> Ready:
    built = perf_counter()
    with contained():
        again()
    return Ready(again, built - begun, perf_counter() - built, adapted)


def _share(function: Callable[[], Any]) -> float:
    """Which part of a call this process computes: the best of some, on a busy machine."""
    shares = []
    for _ in range(5):
        wall, processor = perf_counter(), process_time()
        function()
        shares.append((process_time() - processor) / (perf_counter() - wall))
    return max(shares)


def _pairs(
    own: Callable[[], Any],
    other: Callable[[], Any],
    clock: Callable[[], float],
    pairs: int,
    pair_seconds: float,
) -> list[tuple[float, float]]:
    """Seconds of a call of either, pair by pair."""
    times: list[tuple[float, float]] = []
    once = [min(_elapsed(function, 1, clock) for _ in range(3)) for function in (own, other)]
    # The faster one is called more often, so that both take as long: the one that took longer
    # would be kept waiting more by whatever else the machine does.
    many = [max(1, round(max(once) / seconds)) for seconds in once]

    def pair(loops: int) -> float:
        sides = [(own, loops * many[0]), (other, loops * many[1])]
        # Turn about: what follows on something else finds its caches full of that.
        order = (0, 1) if len(times) % 2 else (1, 0)
        taken = {side: _elapsed(*sides[side], clock) for side in order}
        times.append((taken[0] / sides[0][1], taken[1] / sides[1][1]))
        return taken[0] + taken[1]

    runner = _runner()
    runner.args.values, runner.args.min_time = pairs, pair_seconds
    runner.bench_time_func(f"pairs {next(_names)}", pair)
    return times[-pairs:]


def _elapsed(function: Callable[[], Any], loops: int, clock: Callable[[], float]) -> float:
    repeated = itertools.repeat(None, loops)
    begun = clock()
    for _ in repeated:
        function()
    return clock() - begun


@functools.cache
def _runner() -> Any:
    """Pyperf's runner, of which a process has one."""
    import pyperf

    runner = pyperf.Runner(values=PAIRS, processes=1, warmups=2, min_time=PAIR_SECONDS)
    runner.parse_args(["--in-process", "--quiet"])
    return runner
