"""What the derived tolerance sees, and whether it is ever wrong: the tables of docs/tolerance.md.

``python -m benchmarks.sensitivity defects`` counts, for each small defect, how many cases show
it; ``… correct`` counts false alarms over implementations that are right and different. Both take
``--cases`` and ``--seed`` and print a table in Markdown. The correct ways, the defects and the
random cases are those of the tests.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

import torch

from rnn_conformance import drop_in
from rnn_conformance.reference.tolerance import most_outliers
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.config import Dtype, Kind
from tests.support.gradient_ways import WAYS as GRADIENT_WAYS
from tests.support.miniatures import correct_implementations
from tests.support.random_calls import random_case
from tests.support.small_defects import (
    DEFECTS,
    GRADIENT_DEFECTS,
    Verdicts,
    derived,
    judged,
    typical_calls,
)
from tests.support.structured_calls import STRUCTURES

BLOCK = 20
"""Cases of a check of accuracy in the quick profile."""


def first_refusal(outliers: list[bool]) -> int | None:
    """After how many cases the rank test refuses, if it does."""
    total = 0
    for count, is_outlier in enumerate(outliers, 1):
        total += is_outlier
        if total > most_outliers(count):
            return count
    return None


def row(name: str, cases: list[Verdicts]) -> str:
    """One line of the table."""

    def share(which: str) -> str:
        return f"{100.0 * sum(getattr(case, which) for case in cases) / len(cases):.1f} %"

    blocks = [cases[start : start + 2 * BLOCK] for start in range(0, len(cases) - BLOCK, BLOCK)]
    first = [next((k for k, v in enumerate(block, 1) if v.scatter), None) for block in blocks]
    ranked = [first_refusal([case.outlier for case in block]) for block in blocks]
    return (
        f"| {name} | {share('hard')} | {share('scatter')} | {share('outlier')} | {share('fixed')} "
        f"| {_middle(first)} | {_middle(ranked)} |"
    )


def _middle(counts: list[int | None]) -> str:
    known = [count for count in counts if count is not None]
    if 2 * len(known) < len(counts):
        return "–"
    return f"{median(sorted(known)):g}"


def defects(count: int, seed: int) -> None:
    """The table of defects."""
    print(
        "| defect | E | min(E, tS) | rank hit | PyTorch's defaults | first case refused "
        "| cases until refused by rank |\n|---|---|---|---|---|---|---|"
    )
    for name, defect in DEFECTS.items():
        cases = [
            judged(call, defect.answer(call))
            for call in typical_calls(defect.dtype, count, seed, defect.without)
        ]
        print(row(name, cases), flush=True)
    for name, (adjoint, dtype) in GRADIENT_DEFECTS.items():
        backwards = [drawn(call, seed) for call in typical_calls(dtype, count, seed)]
        cases = [judged(backward, derived(adjoint, backward)) for backward in backwards]
        print(row(name, cases), flush=True)


# What is right.


@dataclass
class Tally:
    """What came of the cases of one implementation."""

    cases: int = 0
    hard: int = 0
    scatter: int = 0
    fixed: int = 0
    worst: float = 0.0
    outliers: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))

    def add(self, group: str, verdicts: Verdicts) -> None:
        """One more case; ``group`` is what a check would judge together."""
        self.cases += 1
        self.hard += verdicts.hard
        self.scatter += verdicts.scatter
        self.fixed += verdicts.fixed
        self.worst = max(self.worst, verdicts.worst)
        self.outliers[group].append(verdicts.outlier)

    @property
    def refused_by_rank(self) -> int:
        """Blocks of cases, as a check has them, that the rank test refuses."""
        return sum(
            sum(block) > most_outliers(len(block))
            for outliers in self.outliers.values()
            for start in range(0, len(outliers), BLOCK)
            for block in [outliers[start : start + BLOCK]]
        )

    @property
    def outlying(self) -> int:
        """Cases that are worse than every member."""
        return sum(map(sum, self.outliers.values()))


def all_calls(count: int, seed: int) -> Iterator[tuple[str, Call]]:
    """Every dtype, kind and distribution; one in four is structured."""
    names = list(STRUCTURES)
    dtypes = (Dtype.FLOAT32, Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)
    for number in range(seed, seed + count):
        kind, dtype = list(Kind)[number % 6], dtypes[number % 5]
        call = random_case(kind, number, dtype).call()
        if number % 4 == 3:
            name = names[number // 4 % len(names)]
            yield f"{name}, {dtype}", STRUCTURES[name](call, number)
        else:
            yield f"drawn, {dtype}", call


def correct(count: int, seed: int) -> None:
    """The table of false alarms."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    begun = perf_counter()
    implementations = {kind: list(correct_implementations(kind)) for kind in Kind}
    for number, (group, call) in enumerate(all_calls(count, seed)):
        if not call.batch:
            continue
        for implementation in implementations[call.config.kind]:
            result = implementation.build(call.layer)(call.arguments)
            name = (
                implementation.name.removesuffix("Cell")
                if "." in implementation.name
                else implementation.name
            )
            got = {array: result[array] for array in call.results}
            tallies[name].add(group, judged(call, got))
        if number % 10 == 0:
            backward = drawn(call, number)
            pullback = drop_in(getattr(torch.nn, call.config.kind.value)).pullback(call.layer)
            gradients = pullback(backward)
            got = {argument: gradients[argument] for argument in backward.arguments}
            tallies["gradients: torch.nn"].add(group, judged(backward, got))
            for way in GRADIENT_WAYS:
                got = way(call.dtype).gradients(backward)
                tallies[f"gradients: {way.__name__}"].add(group, judged(backward, got))
    print(
        "| implementation | cases | beyond E | beyond min(E, tS) | worst error by tolerance "
        "| worse than all members | refused by rank | beyond PyTorch's defaults |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name, tally in tallies.items():
        print(
            f"| {name} | {tally.cases} | {tally.hard} | {tally.scatter} | {tally.worst:.2f} "
            f"| {100.0 * tally.outlying / tally.cases:.2f} % | {tally.refused_by_rank} "
            f"| {100.0 * tally.fixed / tally.cases:.1f} % |"
        )
    total = sum(tally.cases for tally in tallies.values())
    print(f"\n{total} cases of {len(tallies)} implementations in {perf_counter() - begun:.0f} s")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("defects", "correct"))
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "LSTM with projections is not supported")
    {"defects": defects, "correct": correct}[options.table](options.cases, options.seed)


if __name__ == "__main__":
    main()
