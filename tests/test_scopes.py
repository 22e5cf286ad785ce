"""Any deviation in any scope: wrong there, right elsewhere, and named as that."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from rnn_conformance.checking.subject import Subject
from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviant, Deviation, deviations_of
from rnn_conformance.deviations.gradient_limits import gradient_limits
from rnn_conformance.deviations.scoped import HANDING_OVER, overrides, scoped
from rnn_conformance.deviations.scopes import (
    IN_CALLS,
    IN_DIRECTIONS,
    IN_LAYERS,
    IN_SAMPLES,
    IN_STEPS,
    SCOPES,
    Scope,
    larger,
)
from rnn_conformance.diagnosis.diagnosis import Diagnosis, Diagnostician
from rnn_conformance.diagnosis.evidence import ask
from rnn_conformance.diagnosis.probes import Probe, differentiable, fresh
from rnn_conformance.diagnosis.suspects import composed
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.reference.derivatives import Adjoint, Backtrace
from rnn_conformance.reference.oracle import Oracle, Trace
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import drawn as drawn_backward
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, State
from rnn_conformance.spec.clauses import CLAUSES
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Role
from tests.support.random_calls import random_case

FAILED = NonConforming("a check failed", sort=Sort.VALUE)

EVERYWHERE = Scope("everywhere", samples=lambda count: np.ones(count, dtype=bool))
NOWHERE = Scope("nowhere", samples=lambda count: np.zeros(count, dtype=bool))

LAYERS = (Kind.RNN, Kind.LSTM, Kind.GRU)


def in_parts(kind: Kind) -> Iterator[Deviation[Deviant]]:
    """The deviations that can be confined to a part of a call."""
    for deviation in deviations_of(kind):
        if not overrides(deviation.variant, *HANDING_OVER):
            yield deviation


def calls(kind: Kind, needs: frozenset[Feature]) -> Iterator[Call]:
    for seed in range(3):
        yield random_case(kind, seed, needs=needs).call()


def same(first: type[Deviant], second: type[Deviant], call: Call) -> bool:
    """Whether two oracles hand the same over; raises what the second raises."""
    others = second().results(call)
    given = first().results(call)
    return all(
        np.allclose(given[name], others[name], rtol=1e-13, atol=0.0, equal_nan=True)
        for name in call.results
    )


@pytest.mark.parametrize("kind", LAYERS)
def test_everywhere_it_is_the_deviation_and_nowhere_it_is_right(kind: Kind) -> None:
    for deviation in in_parts(kind):
        everywhere = scoped(deviation.variant, EVERYWHERE)
        nowhere = scoped(deviation.variant, NOWHERE)
        for call in calls(kind, deviation.needs):
            assert same(nowhere, Deviant, call), f"{deviation.name} shows nowhere: {call}"
            wrong = deviation.variant().answer(call)
            # Parts of another shape cannot stand for parts of what is right.
            if wrong.output.shape == call.shape("output") and wrong.h_n.shape == call.shape("h_n"):
                assert same(everywhere, deviation.variant, call), f"{deviation.name}: {call}"


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.words)
def test_a_scope_is_a_part_of_what_is_computed(scope: Scope) -> None:
    covered = set()
    for kind in LAYERS:
        for seed in range(80):
            dtype, length = list(Dtype)[seed % 4], 1 if seed % 5 == 0 else None
            call = random_case(kind, seed, dtype, length=length).call()
            covered |= {scope.covers(call, number) for number in (1, 2)}
            part, whole = scope.covers(call, 1)
            assert part or not whole or not call.batch
    # More units, steps and samples than are drawn.
    many = Case(Config(Kind.RNN, 2, 67), 70, 70).call()
    covered |= {scope.covers(many, number) for number in (1, 2)}
    assert any(part for part, _ in covered), "it is nothing"
    assert any(not whole for _, whole in covered), "it is everything"


WIDER = frozenset({Feature.MULTI_LAYER, Feature.PROJECTION})


@pytest.mark.parametrize("scope", IN_DIRECTIONS, ids=lambda scope: scope.words)
def test_in_one_direction_of_one_layer_the_other_half_is_right(scope: Scope) -> None:
    for deviation in in_parts(Kind.LSTM):
        if Feature.PROJECTION in deviation.needs:
            continue
        needs = frozenset({Feature.BIDIRECTIONAL}) | deviation.needs
        call = random_case(Kind.LSTM, 3, needs=needs, without=WIDER).call()
        if call.config.num_layers > 1:
            continue
        size = call.config.hidden_size
        half = slice(0, size) if scope.direction else slice(size, None)
        try:
            output = scoped(deviation.variant, scope)().answer(call).output
        except ValueError:
            # Of another shape.
            continue
        right = Deviant().answer(call).output
        np.testing.assert_allclose(output[..., half], right[..., half], rtol=1e-12)


EVERY_LAYER = Scope("in every layer", layers=lambda layer, layers: True)
NO_LAYER = Scope("in no layer", layers=lambda layer, layers: False)


def way_back(name: str) -> type[Adjoint]:
    (deviation,) = (one for one in GRADIENT_DEVIATIONS if one.name == name)
    return deviation.variant


def gradients(variant: type[Adjoint], call: Call) -> dict[str, Array]:
    with np.errstate(all="ignore"):
        answer = Oracle().answer(call)
        return variant().derivative(drawn_backward(call, 5), answer).gradients


@pytest.mark.parametrize("kind", LAYERS)
def test_a_way_back_everywhere_is_the_deviation_and_nowhere_is_right(kind: Kind) -> None:
    for deviation in GRADIENT_DEVIATIONS:
        if kind not in deviation.kinds:
            continue
        everywhere = scoped(deviation.variant, EVERY_LAYER)
        nowhere = scoped(deviation.variant, NO_LAYER)
        for call in calls(kind, deviation.needs):
            wrong, right = gradients(deviation.variant, call), gradients(Adjoint, call)
            for name, array in gradients(everywhere, call).items():
                np.testing.assert_allclose(array, wrong[name], 1e-12, 1e-300, err_msg=name)
            for name, array in gradients(nowhere, call).items():
                np.testing.assert_allclose(array, right[name], 1e-12, 1e-300, err_msg=name)


@pytest.mark.parametrize("one_and_the_rest", [IN_STEPS[:2], IN_SAMPLES[:2]])
def test_what_a_parameter_lacks_in_a_scope_and_outside_is_what_it_lacks(
    one_and_the_rest: Sequence[Scope],
) -> None:
    cut = way_back("the gradient of the parameters of the gate r of GRU cut")
    call = Case(Config(Kind.GRU, 2, 3), 5, 4, Dtype.FLOAT64, state=State.GIVEN).call()
    right, wrong = gradients(Adjoint, call), gradients(cut, call)
    inside, others = (gradients(scoped(cut, one), call) for one in one_and_the_rest)
    for name in call.config.parameters:
        assert not np.allclose(inside[name], right[name]), name
        assert not np.allclose(inside[name], wrong[name]), name
        np.testing.assert_allclose(
            inside[name] + others[name], wrong[name] + right[name], rtol=1e-12, err_msg=name
        )


def test_a_sum_is_in_no_part_of_what_it_is_summed_over() -> None:
    call = Case(Config(Kind.GRU, 2, 3), 5, 4, dtype=Dtype.FLOAT64).call()
    clipped = next(one for one in gradient_limits() if "of the parameters clipped" in one.name)
    with pytest.raises(TypeError, match="summed over all"):
        gradients(scoped(clipped.variant, IN_STEPS[0]), call)


@pytest.mark.parametrize("role", [Role.WEIGHT_IH, Role.WEIGHT_HH, Role.BIAS_IH, Role.BIAS_HH])
def test_what_a_role_lacks_at_some_steps_is_what_these_add_up_to(role: Role) -> None:
    call = Case(Config(Kind.LSTM, 2, 3), 7, 2, Dtype.FLOAT64, state=State.GIVEN).call()
    cut = way_back(f"the gradient of {role} cut")
    (past,) = (scope for scope in IN_STEPS if scope.words.endswith("past a multiple of 4 alone"))
    name = call.config.parameter_name(role, 0, 0)
    at_all, at_three = gradients(Adjoint, call)[name], gradients(scoped(cut, past), call)[name]

    class FirstFour(Adjoint):
        def of_parameters(
            self, call: Call, layer: int, direction: int, trace: Trace, back: Backtrace
        ) -> dict[Role, Array]:
            kept = np.arange(call.length)[:, None, None] < 4
            zx, zh = np.where(kept, back.zx, 0.0), np.where(kept, back.zh, 0.0)
            ours = replace(back, zx=zx, zh=zh)
            return super().of_parameters(call, layer, direction, trace, ours)

    np.testing.assert_allclose(at_three, gradients(FirstFour, call)[name], rtol=1e-12)
    assert not np.allclose(at_three, at_all)


def test_what_is_of_whole_calls_is_in_no_part_of_one() -> None:
    (handing,) = (
        one for one in deviations_of(Kind.LSTM) if one.name == "results always in float32"
    )
    with pytest.raises(TypeError, match="handed over as a whole"):
        scoped(handing.variant, IN_DIRECTIONS[0])
    assert scoped(handing.variant, IN_CALLS[0]) is scoped(handing.variant, IN_CALLS[0])


def test_scopes_of_different_things_go_together_and_others_do_not() -> None:
    reverse, above = IN_DIRECTIONS[0], IN_LAYERS[0]
    both = reverse & above
    call = random_case(
        Kind.GRU, 0, needs=frozenset({Feature.BIDIRECTIONAL, Feature.MULTI_LAYER})
    ).call()
    assert both.at(call, 1, 1)
    assert not both.at(call, 0, 1)
    assert not both.at(call, 1, 0)
    assert both.words == "in the reverse direction alone in layers above the first alone"
    with pytest.raises(TypeError, match="narrow the same"):
        IN_DIRECTIONS[0] & IN_DIRECTIONS[1]


def test_a_size_is_a_scope() -> None:
    scope = larger("units", lambda call: call.config.hidden_size, 3)
    sizes = {
        call.config.hidden_size > 3: scope.covers(call, 1)
        for call in (random_case(Kind.RNN, seed).call() for seed in range(40))
    }
    assert sizes == {True: (True, True), False: (False, False)}


# Diagnosed.


def said_of(variant: type[Deviant], kind: Kind) -> Diagnosis | None:
    return Diagnostician(miniature("x", kind, variant), kind).diagnose(FAILED, CLAUSES)


def drawn(seed: int) -> tuple[Kind, Deviation[Deviant], Scope, type[Deviant]]:
    """A deviation in a scope in which there can be one."""
    rng = random.Random(seed)
    while True:
        kind = rng.choice(LAYERS)
        deviation, scope = rng.choice(deviations_of(kind)), rng.choice(SCOPES)
        try:
            return kind, deviation, scope, scoped(deviation.variant, scope)
        except TypeError:
            continue


@pytest.mark.parametrize("seed", range(24))
def test_a_deviation_in_a_scope_is_named_with_its_scope_or_what_is_the_same(seed: int) -> None:
    kind, deviation, scope, variant = drawn(seed)
    diagnostician = Diagnostician(miniature("x", kind, variant), kind)
    if not any(piece.telling for piece in diagnostician.results.evidence):
        pytest.skip("no probe shows it: it is told from the check that does")
    # What is the same may break other clauses by name.
    diagnosis = diagnostician.diagnose(FAILED, CLAUSES)
    assert diagnosis is not None
    assert diagnosis.known, diagnosis.text
    assert not diagnosis.where, diagnosis.text
    named = {name for known in diagnosis.known for name in (known.name, *known.same)}
    if f"{deviation.name}, {scope.words}" in named:
        return
    # Another name for the same: then it is the same in cases that were not tried.
    (search,) = diagnostician.results.searches
    for case in fresh(kind, diagnostician.declaration, 60, seed=7):
        evidence = ask(Subject(miniature("x", kind, variant), kind), Probe.of(case))
        assert evidence is not None
        if evidence.telling or not evidence.wrong:
            assert evidence.fits(search.suspects[0].variant), f"{diagnosis.text}: {scope.words}"


@pytest.mark.parametrize("seed", range(16))
def test_a_way_back_in_a_scope_is_named_with_its_scope_or_what_is_the_same(seed: int) -> None:
    rng = random.Random(seed)
    kind, scope = rng.choice(LAYERS), rng.choice([one for one in SCOPES if one.units is None])
    deviation = rng.choice([one for one in GRADIENT_DEVIATIONS if kind in one.kinds])
    variant = scoped(deviation.variant, scope)
    wrong = differentiated("x", kind, variant)
    diagnostician = Diagnostician(wrong, kind)
    shown = [piece for piece in diagnostician.gradients.evidence if piece.telling]
    if not shown:
        pytest.skip("no probe shows it: it is told from the check that does")
    failed = NonConforming("a check failed", sort=Sort.VALUE, backward=shown[0].probe.backward)
    diagnosis = diagnostician.diagnose(failed, CLAUSES)
    assert diagnosis is not None
    assert diagnosis.known, diagnosis.text
    assert not diagnosis.where, diagnosis.text
    named = {name for known in diagnosis.known for name in (known.name, *known.same)}
    if f"{deviation.name}, {scope.words}" in named:
        return
    (search,) = diagnostician.gradients.searches
    for case in differentiable(fresh(kind, diagnostician.declaration, 60, seed=7)):
        evidence = ask(Subject(wrong, kind), Probe.back(drawn_backward(case.call(), 3)))
        assert evidence is not None
        if evidence.telling or not evidence.wrong:
            assert evidence.fits(search.suspects[0].variant), f"{diagnosis.text}: {scope.words}"


def test_a_deviation_in_two_scopes_is_named_with_both() -> None:
    (deviation,) = (one for one in deviations_of(Kind.GRU) if one.name == "b_hn left out")
    scope = IN_DIRECTIONS[0] & IN_LAYERS[0]
    diagnosis = said_of(scoped(deviation.variant, scope), Kind.GRU)
    assert diagnosis is not None
    (known,) = diagnosis.known
    assert f"{deviation.name}, {scope.words}" in {known.name, *known.same}, diagnosis.text


PACKED = next(scope for scope in IN_CALLS if scope.words == "in calls with packed sequences alone")


def named_gru(name: str) -> Deviation[Deviant]:
    (deviation,) = (one for one in deviations_of(Kind.GRU) if one.name == name)
    return deviation


@pytest.mark.parametrize("where", [IN_DIRECTIONS[0], PACKED], ids=lambda scope: scope.words)
def test_of_two_deviations_in_scopes_both_are_named(where: Scope) -> None:
    """One in some calls alone, the other in a part of each call, or in the same calls."""
    first, second = named_gru("b_hn left out"), named_gru("no reset gate")
    if where is PACKED:
        both = scoped(composed((first.variant, second.variant)), PACKED)
    else:
        inside = scoped(composed((first.variant, second.variant)), where, first.variant)
        both = scoped(inside, PACKED, scoped(second.variant, where))
    diagnosis = said_of(both, Kind.GRU)
    assert diagnosis is not None
    named = [{known.name, *known.same} for known in diagnosis.known]
    expected = {f"{first.name}, {PACKED.words}", f"{second.name}, {where.words}"}
    assert len(named) == 2, diagnosis.text
    assert all(any(name in one for one in named) for name in expected), diagnosis.text
