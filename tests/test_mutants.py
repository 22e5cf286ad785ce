"""The mutants: what they are, and that the suite kills every one of them."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

from rnn_conformance.checking import violations
from rnn_conformance.deviations import CATALOGUE as DEVIATIONS
from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviation
from rnn_conformance.mutants import BACKWARD, CATALOGUE, FORWARD, WRITTEN, Mutant, mutants_of
from rnn_conformance.mutants.arguments import legal_calls
from rnn_conformance.mutants.mixtures import MIXTURES
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.reference.bounds import forward
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.reference.problem import Problem
from rnn_conformance.results.records import Outcome
from rnn_conformance.running.trials import Choice, try_out
from rnn_conformance.spec.backward import Backward
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Feature, Kind
from tests.support.kinds import marks
from tests.support.random_calls import random_case

# torch says so once for each process, and computes the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last"),
]


def kinds_of(mutant: Mutant, clause: str) -> list[Kind]:
    """Those in which it breaks a clause."""
    return [kind for kind in mutant.kinds if clause in mutant.clauses(kind)]


# What is written as a class or a function must be killed in each clause that it breaks; a
# deviation of the equations breaks many, and is killed in one of them.
TRIALS = [
    pytest.param(
        mutant, kind, (), id=f"{mutant.name}-{kind}", marks=marks(mutant.name, kind, mutant.kinds)
    )
    for chapter in (*FORWARD, *BACKWARD)
    for mutant in chapter
    for kind in sorted(mutant.kinds)
] + [
    pytest.param(
        mutant,
        kind,
        (clause,),
        id=f"{mutant.name}-{kind}-{clause}",
        marks=marks(f"{mutant.name} {clause}", kind, kinds_of(mutant, clause)),
    )
    for chapter in WRITTEN
    for mutant in chapter
    for kind in sorted(mutant.kinds)
    for clause in sorted(mutant.clauses(kind))
]


@pytest.mark.parametrize(("mutant", "kind", "clauses"), TRIALS)
def test_the_suite_kills(mutant: Mutant, kind: Kind, clauses: tuple[str, ...]) -> None:
    """By a check of a clause that it breaks, and not by an exception."""
    trial = try_out(mutant, kind, Choice(clauses=clauses))
    faulty = [attempt for attempt in trial.attempts if attempt.outcome == Outcome.ERROR]
    assert not faulty, f"the suite or the adapter is at fault: {faulty}"
    seen = "\n".join(f"{a.check}: {a.outcome}, {a.message}" for a in trial.attempts)
    assert trial.killed, f"a {kind} with {mutant.name} survives:\n{seen}"


# The catalogue.


def test_names_are_unique() -> None:
    (name, times) = Counter(mutant.name for mutant in CATALOGUE).most_common(1)[0]
    assert times == 1, f"{name} is there {times} times"


def test_every_deviation_is_a_mutant() -> None:
    mutants = {mutant.name for mutant in CATALOGUE}
    deviations = {deviation.name for deviation in DEVIATIONS} | {
        deviation.name for deviation in GRADIENT_DEVIATIONS
    }
    missing = deviations - mutants
    assert not missing, f"no mutants: {sorted(missing)}"


def test_the_catalogue_has_mutants_of_every_chapter_and_kind() -> None:
    assert len(CATALOGUE) >= 600
    assert all(chapter for chapter in (*FORWARD, *BACKWARD, *WRITTEN))
    for kind in Kind:
        assert len(mutants_of(kind)) >= 200, f"few mutants of {kind}"


def test_each_clause_is_broken_by_some_mutant() -> None:
    broken = {clause for mutant in CATALOGUE for clause in mutant.breaks}
    due = {id for id, clause in CLAUSES.items() if not clause.optional}
    assert due <= broken, f"nothing breaks {sorted(due - broken)}"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"breaks": "EQ-99"}, "EQ-99, which is no clause"),
        ({"kinds": []}, "exists in no kind"),
        ({"kinds": [Kind.GRU_CELL]}, "breaks no clause that applies to GRUCell"),
        ({"needs": [Feature.PROJECTION]}, "needs projection, which GRU has not"),
        ({"source": ""}, "a defect has a name and a source"),
    ],
)
def test_what_cannot_be_a_mutant_is_refused(changed: dict[str, object], said: str) -> None:
    legal: dict[str, object] = {"breaks": "EQ-3", "kinds": [Kind.GRU]}
    chapter = Chapter("Made up")
    with pytest.raises(ValueError, match=said):
        chapter.put("a defect", make=CATALOGUE[0].make, **{**legal, **changed})  # type: ignore[arg-type]


def test_what_is_in_no_chapter_is_refused() -> None:
    with pytest.raises(ValueError, match="a defect is in no chapter"):
        Chapter("").put("a defect", "EQ-3", CATALOGUE[0].make, kinds=[Kind.GRU])


def test_a_mutant_of_another_kind_is_refused() -> None:
    (mutant,) = (mutant for mutant in CATALOGUE if mutant.name == "gates in the order z, r, n")
    with pytest.raises(ValueError, match="there is no LSTM with gates in the order z, r, n"):
        mutant.implementation(Kind.LSTM)


# The gradients.


@pytest.mark.parametrize(
    "deviation",
    [deviation for deviation in GRADIENT_DEVIATIONS if deviation.needs],
    ids=lambda deviation: deviation.name,
)
def test_a_gradient_deviation_cannot_show_without_what_it_needs(
    deviation: Deviation[Adjoint],
) -> None:
    for kind in deviation.kinds:
        for seed, feature in enumerate(sorted(deviation.needs)):
            without = frozenset({feature})
            call = random_case(kind, seed, needs=deviation.needs - without, without=without).call()
            cotangents = {name: np.ones(call.shape(name)) for name in call.results}
            if "output" in cotangents:
                cotangents["output"][~call.steps] = 0.0
            backward = Backward(call, cotangents)
            answer = forward(Problem(call)).answer
            exact = Adjoint().derivative(backward, answer).gradients
            wrong = deviation.variant().derivative(backward, answer).gradients
            for name in backward.arguments:
                np.testing.assert_array_equal(
                    wrong[name], exact[name], f"it shows without {feature}: {call}"
                )


# The argument checks.


@pytest.mark.parametrize("kind", Kind)
def test_each_illegal_call_is_answered_by_a_mutant_that_leaves_out_its_check(kind: Kind) -> None:
    """So there is no check of torch.nn's, as far as ``violations`` knows them, without one."""
    families = [
        violations.inputs,
        violations.states,
        violations.input_dtypes,
        violations.state_dtypes,
    ]
    if not kind.is_cell:
        families.append(violations.no_steps)
    lenient = [
        mutant.implementation(kind)
        for mutant in mutants_of(kind)
        if mutant.chapter in ("Argument checks left out", MIXTURES.title)
    ]
    for call in legal_calls(kind):
        judge = violations.torchs_own(call, "cpu")
        modules = [implementation.module(call.layer) for implementation in lenient]
        for family in families:
            for violation in family(call, "cpu"):
                if violations.raised(partial(judge, *violation.arguments)) is None:
                    continue
                with torch.no_grad():
                    answered = [
                        violations.raised(partial(module, *violation.arguments)) is None
                        for module in modules
                    ]
                twofold = violation.why.endswith("and state") or "with a state" in violation.why
                assert any(answered) or twofold, f"every mutant refuses {violation.why}: {call}"


@pytest.mark.parametrize("kind", Kind)
def test_each_illegal_construction_is_made_by_a_mutant(kind: Kind) -> None:
    lenient = [
        mutant.implementation(kind).module_class
        for mutant in mutants_of(kind)
        if mutant.chapter == "Argument checks left out"
    ]
    judge = getattr(torch.nn, kind.value)
    for why, keywords in violations.constructions(legal_calls(kind)[0]):
        if violations.raised(partial(judge, **keywords)) is None:
            continue
        made = [violations.raised(partial(cls, **keywords)) is None for cls in lenient]
        assert any(made), f"every mutant refuses {why}"
