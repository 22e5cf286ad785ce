"""How often the diagnosis names what is wrong: every mutant, and drawn pairs of deviations.

    python -m benchmarks.diagnosis            # every mutant in every kind
    python -m benchmarks.diagnosis --pairs 200
    python -m benchmarks.diagnosis --scoped 200             # deviations in drawn scopes
    python -m benchmarks.diagnosis --scoped 200 --held-out  # of which the search knows four fifths
    python -m benchmarks.diagnosis --scoped 200 --at-once 2 # two of these at once, or three

Each is an opaque implementation that is run against the checks of the clauses that it breaks
until one fails, and that failure is diagnosed. What is named is right if the mutant is among
it; or else if it gives what the mutant gives in a hundred other cases: then the two are the
same in all that can be asked. Anything else that is named is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from statistics import median, quantiles
from time import process_time
from typing import Any

import torch

from rnn_conformance.checking.checks import checks
from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations import CATALOGUE as DEVIATIONS
from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviation, deviations_of
from rnn_conformance.deviations.scoped import scoped
from rnn_conformance.deviations.scopes import SCOPES
from rnn_conformance.diagnosis.covering import made
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.diagnosis.evidence import ask
from rnn_conformance.diagnosis.probes import Probe, differentiable, fresh
from rnn_conformance.diagnosis.suspects import PARTS, composed
from rnn_conformance.errors import NonConforming, Sort, Unsupported
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants.equations import miniature
from rnn_conformance.running.trials import QUICK, Choice
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.config import Kind
from rnn_conformance.spec.result import Quantity

OTHERS = 100
"""Cases that decide whether what is named is the same as what is wrong."""


@dataclass(frozen=True)
class Verdict:
    """What came of one of them: ``seconds`` of the processor is what the diagnosis took."""

    name: str
    kind: str
    chapter: str
    verdict: str
    seconds: float
    text: str


def judged(
    names: tuple[str, ...],
    implementation: Implementation,
    kind: Kind,
    diagnosis: Diagnosis | None,
) -> str:
    """One word or two for what was said of an implementation that is wrong in these ways."""
    if diagnosis is None:
        return "left to the message"
    if not diagnosis.known:
        return "left to the symptoms"
    # By part, the deviation named and those that are the same.
    parts = [{known.name, *known.same} for known in diagnosis.known]
    if len(parts) == len(names) and all(any(name in part for part in parts) for name in names):
        if diagnosis.where:
            return "named under a condition"
        if {known.name for known in diagnosis.known} == set(names):
            alone = all(not known.same for known in diagnosis.known)
            return "named alone" if alone else "named first among equals"
        return "named among equals"
    return "named by an equal" if same(implementation, kind, diagnosis) else "WRONG"


def same(implementation: Implementation, kind: Kind, diagnosis: Diagnosis) -> bool:
    """Whether what was named gives what the implementation gives, in other cases."""
    subject = Subject(implementation, kind)
    named = {known.name for known in diagnosis.known}
    every: list[Deviation[Any]] = [*DEVIATIONS, *GRADIENT_DEVIATIONS]
    variants = [deviation.variant for deviation in every if deviation.name in named]
    cases = fresh(kind, implementation.declaration, OTHERS, seed=2)
    probes = (
        [Probe.of(case) for case in cases]
        if diagnosis.of is Quantity.RESULTS
        else [Probe.back(drawn(case.call(), case.seed), case) for case in differentiable(cases)]
    )
    answers = [ask(subject, probe) for probe in probes]
    evidence = [answer for answer in answers if answer is not None and not answer.raised]
    for part in PARTS:
        if part.words == diagnosis.where:
            evidence = part.of(evidence)
    telling = [answer for answer in evidence if answer.telling or not answer.wrong]
    orders = {tuple(variants), tuple(reversed(variants))}
    return any(all(answer.fits(composed(order)) for answer in telling) for order in orders)


def failure(
    implementation: Implementation, kind: Kind, clauses: frozenset[str]
) -> tuple[NonConforming, tuple[str, ...]] | None:
    """The first failure of a check of these clauses, and the check's own clauses."""
    for check in checks():
        if kind in check.kinds and clauses.intersection(check.clauses):
            random.seed(0)
            torch.default_generator.manual_seed(0)
            try:
                check.test(Subject(implementation, kind, QUICK))
            except NonConforming as error:
                return error, check.clauses
            except Unsupported:
                continue
    return None


def tried(
    names: tuple[str, ...],
    chapter: str,
    implementation: Implementation,
    kind: Kind,
    clauses: frozenset[str],
) -> Verdict:
    """One of them, run and diagnosed."""
    failed = failure(implementation, kind, clauses)
    name = " and ".join(names)
    if failed is None:
        return Verdict(name, str(kind), chapter, "never failed", 0.0, "")
    begun = process_time()
    diagnosis = Diagnostician(implementation, kind).diagnose(*failed)
    seconds = process_time() - begun
    verdict = judged(names, implementation, kind, diagnosis)
    return Verdict(name, str(kind), chapter, verdict, seconds, diagnosis.text if diagnosis else "")


def mutant(position: int) -> Verdict:
    """One mutant in one kind, by its position among all."""
    warnings.simplefilter("ignore")
    wrong, kind = Choice().trials()[position]
    return tried(
        (wrong.name,), wrong.chapter, wrong.implementation(kind), kind, wrong.clauses(kind)
    )


def pair(seed: int) -> Verdict | None:
    """Two drawn deviations of one kind at once; ``None`` if they do not go together."""
    warnings.simplefilter("ignore")
    rng = random.Random(seed)
    kind = rng.choice(list(Kind))
    first, second = rng.sample(deviations_of(kind), 2)
    try:
        both = composed((first.variant, second.variant))
    except TypeError:
        return None
    names = (first.name, second.name)
    clauses = first.breaks | second.breaks
    return tried(names, "pairs", miniature(" and ".join(names), kind, both), kind, clauses)


def held_out(names: Iterable[str]) -> frozenset[str]:
    """A fifth of them, always the same."""
    return frozenset(name for name in names if sha256(name.encode()).digest()[0] % 5 == 0)


def confined(seed: int, unknown: bool) -> Verdict | None:
    """A drawn deviation in a drawn scope; ``unknown`` if one of the two is not searched for.

    ``None`` where the one cannot be in the other, or where no probe shows it.
    """
    warnings.simplefilter("ignore")
    rng = random.Random(seed)
    kind = rng.choice(list(Kind))
    without = held_out([scope.words for scope in SCOPES] + [one.name for one in DEVIATIONS])
    deviation, scope = rng.choice(deviations_of(kind)), rng.choice(SCOPES)
    if unknown is not bool({deviation.name, scope.words} & without):
        return None
    try:
        variant = scoped(deviation.variant, scope)
    except TypeError:
        return None
    names = (f"{deviation.name}, {scope.words}",)
    return diagnosed(names, variant, kind, deviation.breaks, without if unknown else frozenset())


def several(seed: int, count: int) -> Verdict | None:
    """So many drawn deviations at once, each in a drawn scope; ``None`` where that is nothing, or
    one of them does not show by itself."""
    warnings.simplefilter("ignore")
    rng = random.Random(seed)
    kind = rng.choice(list(Kind))
    parts = [(one, rng.choice(SCOPES)) for one in rng.sample(deviations_of(kind), count)]
    try:
        together, alone = made(parts), [scoped(one.variant, scope) for one, scope in parts]
    except TypeError:
        return None
    for variant in alone:
        one = Diagnostician(miniature("one of several", kind, variant), kind)
        if not any(piece.telling for piece in one.results.evidence):
            return None
    names = tuple(f"{one.name}, {scope.words}" for one, scope in parts)
    breaks = frozenset[str]().union(*(one.breaks for one, _ in parts))
    return diagnosed(names, together, kind, breaks, frozenset())


def diagnosed(
    names: tuple[str, ...],
    variant: type[Any],
    kind: Kind,
    clauses: frozenset[str],
    without: frozenset[str],
) -> Verdict | None:
    """What is said of what no check was run on; ``None`` where no probe shows it."""
    name = " and ".join(names)
    begun = process_time()
    diagnostician = Diagnostician(miniature(name, kind, variant), kind, without)
    wrong = [piece for piece in diagnostician.results.evidence if piece.telling]
    if not wrong:
        return None
    failed = NonConforming("a call is off", sort=Sort.VALUE, calls=wrong[0].probe.calls)
    diagnosis = diagnostician.diagnose(failed, clauses)
    seconds = process_time() - begun
    verdict = of_confined(names, diagnostician, diagnosis)
    return Verdict(name, str(kind), "scopes", verdict, seconds, diagnosis.text if diagnosis else "")


def of_confined(
    names: tuple[str, ...], diagnostician: Diagnostician, diagnosis: Diagnosis | None
) -> str:
    """One word or two for what was said of deviations in scopes."""
    if diagnosis is None:
        return "left to the message"
    if diagnosis.plain:
        return "told plainly"
    if not diagnosis.known:
        return "left to the symptoms"
    parts = [{known.name, *known.same} for known in diagnosis.known]
    if all(any(name in part for part in parts) for name in names):
        return "named"
    first = diagnosis.known[0].name
    if diagnosis.where:
        known = any(name.startswith(first) for name in names)
        return "named in part" if known else "a part is named"
    # By another name: then it is the same in cases that were not tried.
    suspect = diagnostician.results.searches[-1].suspects[0]
    cases = fresh(diagnostician.kind, diagnostician.declaration, OTHERS, seed=2)
    answers = [ask(diagnostician.subject, Probe.of(case)) for case in cases]
    telling = [piece for piece in answers if piece and (piece.telling or not piece.wrong)]
    if all(piece.fits(suspect.variant) for piece in telling):
        return "named by an equal"
    known = any(name.startswith(first) for name in names)
    return "named without its scope" if known else "WRONG"


def main() -> None:
    """Print the shares, what is wrong, and the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=0, help="so many pairs, not single mutants")
    parser.add_argument("--scoped", type=int, default=0, help="so many deviations in scopes")
    parser.add_argument("--held-out", action="store_true", help="a fifth of which is not known")
    parser.add_argument("--at-once", type=int, default=1, help="of these, so many at once")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kind", choices=list(Kind), help="this kind alone")
    parser.add_argument("--chapter", default="", help="mutants of this chapter alone")
    options = parser.parse_args()
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, spawning) as pool:
        jobs: Iterable[Verdict | None]
        if options.pairs:
            jobs = pool.map(pair, range(options.pairs))
        elif options.scoped and options.at_once > 1:
            jobs = pool.map(several, range(options.scoped), repeat(options.at_once))
        elif options.scoped:
            jobs = pool.map(confined, range(options.scoped), repeat(options.held_out))
        else:
            numbered = enumerate(Choice().trials())
            chosen = [
                position
                for position, (wrong, kind) in numbered
                if options.kind in (None, kind) and options.chapter in wrong.chapter
            ]
            jobs = pool.map(mutant, chosen, chunksize=4)
        trials = []
        for trial in jobs:
            if trial is None:
                continue
            trials.append(trial)
            if trial.verdict in ("WRONG", "never failed"):
                print(f"{trial.verdict}: {trial.kind}, {trial.name}: {trial.text}", flush=True)
    chapters: dict[str, Counter[str]] = {}
    for trial in trials:
        chapters.setdefault(trial.chapter, Counter())[trial.verdict] += 1
    for chapter, counts in chapters.items():
        shares = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        print(f"{chapter}: {shares}")
    total = Counter(trial.verdict for trial in trials)
    for verdict, count in total.most_common():
        print(f"{verdict}: {count} of {len(trials)}, {100.0 * count / len(trials):.1f} %")
    seconds = [trial.seconds for trial in trials]
    print(
        f"seconds of the processor a diagnosis: median {median(seconds):.2f}, "
        f"95 % below {quantiles(seconds, n=20)[-1]:.2f}, at most {max(seconds):.2f}"
    )


if __name__ == "__main__":
    main()
