"""DRP: dropout between layers, by its consequences."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rnn_conformance.checking import (
    FALSE_ALARM,
    Array,
    Call,
    Case,
    Cases,
    Feature,
    NonConforming,
    Sort,
    Source,
    Subject,
    Values,
    assert_close,
    assert_identical,
    assert_within_bound,
    cases,
    clause,
    drawn,
    everything_dropped,
    for_all,
    improbable,
    legible,
    masks_of,
    nothing_kept,
    read,
    scale,
)

if TYPE_CHECKING:
    from rnn_conformance.checking import torch_kit

STACKS = cases(Feature.DROPOUT, Feature.MULTI_LAYER)
LEGIBLE = cases(
    Feature.DROPOUT, Feature.MULTI_LAYER, without=[Feature.BIAS_FREE], values=[Values.POSITIVE]
)

BY_CHANCE = f"(that happens by chance with a probability below {FALSE_ALARM:g})"


def countable(
    *needs: Feature,
    dropouts: Sequence[float] = (0.5, 0.2, 0.7),
    length: int = 8,
    batch: int = 12,
    hidden: int = 10,
    layers: tuple[int, int] = (2, 3),
) -> Cases:
    """Legible cases of about these sizes, with enough elements to be counted."""
    return cases(
        Feature.DROPOUT,
        Feature.MULTI_LAYER,
        *needs,
        without=[Feature.BIAS_FREE, Feature.PROJECTION, Feature.UNBATCHED],
        values=[Values.POSITIVE],
        length=(length, length + 2),
        batch=(batch, batch + 2),
        hidden=(hidden, hidden + 2),
        layers=layers,
        dropouts=dropouts,
        degenerate=False,
    )


def own_halves(call: Call) -> Source:
    """Each direction reads its own half of the output below."""
    return tuple(range(call.config.num_directions))


def training(subject: Subject, call: Call) -> "torch_kit.Training":
    """A layer in training, with the parameters of the call."""
    from rnn_conformance.checking import torch_kit

    return torch_kit.Training(subject, call)


def gives_what_nothing_kept_gives(subject: Subject, case: Case) -> None:
    """A training call with ``p = 1`` is what the equations say where nothing is kept."""
    call = everything_dropped(case.call())
    expected = subject.expected(call, nothing_kept(call))
    assert_within_bound(training(subject, call)(call), expected=expected)


# Where it acts, and where it does not.


@clause("DRP-1")
@for_all(STACKS, examples=0.5)
def test_evaluation_drops_nothing(subject: Subject, case: Case) -> None:
    assert_within_bound(subject(case.call()))


@clause("DRP-1")
@for_all(STACKS, examples=0.5)
def test_evaluation_after_training_drops_nothing(subject: Subject, case: Case) -> None:
    call = case.call()
    layer = training(subject, call)
    layer(call.replace(training=True))
    layer.train(False)
    assert_within_bound(layer(call))


@clause("DRP-1")
@for_all(STACKS, examples=0.5)
def test_a_probability_of_zero_drops_nothing(subject: Subject, case: Case) -> None:
    call = case.call()
    never = call.replace(config=replace(call.config, dropout=0.0), training=True)
    assert_within_bound(training(subject, never)(never))


@clause("DRP-1")
@for_all(cases(Feature.DROPOUT, without=[Feature.MULTI_LAYER]), examples=0.5)
def test_a_single_layer_drops_nothing(subject: Subject, case: Case) -> None:
    call = case.call().replace(training=True)
    with warnings.catch_warnings():
        # It warns, as it should; where warnings are errors that is no failure.
        warnings.simplefilter("ignore")
        assert_within_bound(training(subject, call)(call))


@clause("DRP-1")
@for_all(cases(Feature.DROPOUT, without=[Feature.MULTI_LAYER]), examples=0.1)
def test_dropout_in_a_single_layer_warns(subject: Subject, case: Case) -> None:
    call = case.call()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        subject.module(call)
    if not any(issubclass(warning.category, UserWarning) for warning in caught):
        raise NonConforming(
            f"constructing a single layer with dropout={call.config.dropout} must warn "
            "(UserWarning), since it has no effect there",
            sort=Sort.SILENCE,
            calls=(call,),
        )


@clause("DRP-3")
@for_all(STACKS)
def test_dropping_everything_leaves_zeros_to_the_upper_layers_and_all_else_as_it_is(
    subject: Subject, case: Case
) -> None:
    gives_what_nothing_kept_gives(subject, case)


@clause("DRP-2")
@for_all(cases(Feature.DROPOUT, Feature.MULTI_LAYER, Feature.PACKED), examples=0.3)
def test_outputs_for_packed_input_are_dropped_too(subject: Subject, case: Case) -> None:
    gives_what_nothing_kept_gives(subject, case)


@clause("DRP-2")
@for_all(STACKS, examples=0.5)
def test_the_first_layers_states_are_those_of_evaluation(subject: Subject, case: Case) -> None:
    call = case.call().replace(training=True)
    result, expected = training(subject, call)(call), subject.expected(case.call())
    first = slice(call.config.num_directions)
    for name in ("h_n", "c_n") if call.config.kind.has_cell_state else ("h_n",):
        assert_close(
            name,
            result[name][first],
            expected[name][first],
            expected.bounds[name][first],
            calls=(call,),
            what="in training as in evaluation, for nothing is dropped below the first layer, of "
            "its states or of what recurs",
        )


@clause("DRP-2")
@for_all(LEGIBLE, examples=0.5)
def test_the_last_layers_output_is_not_dropped(subject: Subject, case: Case) -> None:
    call = legible(case.call().replace(training=True), own_halves(case.call()))
    result = training(subject, call)(call)
    seen = read(call, result, own_halves(call))
    limits = subject.expected(call, masks_of(call, seen)).bounds["h_n"]
    due, bound = result.output.copy(), np.full(call.shape("output"), np.inf)
    size, directions = call.config.output_size, call.config.num_directions
    last, samples = call.steps.sum(axis=0) - 1, np.arange(call.batch)
    for direction in range(directions):
        end = last if direction == 0 else np.zeros_like(last)
        units = slice(direction * size, (direction + 1) * size)
        state = direction - directions
        due[end, samples, units] = result.h_n[state]
        bound[end, samples, units] = 2.0 * limits[state]
    assert_close(
        "output",
        result.output,
        due,
        bound,
        calls=(call,),
        what="the output at a sequence's end is the last layer's final state",
    )


# What is drawn.


@clause("DRP-3")
@for_all(LEGIBLE)
def test_elements_are_dropped_or_scaled(subject: Subject, case: Case) -> None:
    dropped_or_scaled(subject, case, own_halves(case.call()))


@clause("DRP-3")
@for_all(
    cases(
        Feature.DROPOUT,
        Feature.MULTI_LAYER,
        Feature.BIDIRECTIONAL,
        without=[Feature.BIAS_FREE],
        values=[Values.POSITIVE],
    ),
    examples=0.3,
)
def test_an_element_is_dropped_for_both_directions_that_read_it(
    subject: Subject, case: Case
) -> None:
    dropped_or_scaled(subject, case, (case.seed % 2,) * 2)


def dropped_or_scaled(subject: Subject, case: Case, source: Source) -> None:
    """A training call gives what the equations do with the masks that it shows."""
    call = legible(case.call().replace(training=True), source)
    result = training(subject, call)(call, seed=case.seed)
    expected = subject.expected(call, masks_of(call, read(call, result, source)))
    for name in call.results:
        assert_close(
            name,
            result[name],
            expected[name],
            expected.bounds[name],
            calls=(call,),
            what=f"each element of a layer's output is dropped, or scaled by 1/(1-p) = "
            f"{scale(call.config):g}, and the next layer reads it so",
        )


@clause("DRP-3")
@for_all(countable(dropouts=(0.2, 0.7), length=10, batch=20, hidden=12), examples=0.15)
def test_elements_are_dropped_with_probability_p(subject: Subject, case: Case) -> None:
    call = legible(case.call().replace(training=True), own_halves(case.call()))
    layer = training(subject, call)
    draws = [read(call, layer(call), own_halves(call)) for _ in range(8)]
    # Between two layers and the next two: neither may have a probability of its own.
    for place in range(call.config.num_layers - 1):
        mask = np.stack([masks[place] for masks in draws])
        rate(call, mask[~np.isnan(mask)], f"between layers {place} and {place + 1} in 8 calls")


@clause("DRP-3")
@for_all(countable(layers=(3, 3)), examples=0.2)
def test_elements_are_dropped_independently_over_time_batch_and_feature(
    subject: Subject, case: Case
) -> None:
    call = legible(case.call().replace(training=True), own_halves(case.call()))
    masks = read(call, training(subject, call)(call, seed=case.seed), own_halves(call))
    rng = np.random.default_rng(case.seed)
    for half in (half for mask in masks for half in halves(call, mask)):
        for axis, what in enumerate(("steps", "samples", "units")):
            # Disjoint pairs, so that the pairs are independent too.
            order = rng.permutation(half.shape[axis])
            pairs = len(order) // 2
            one, other = order[:pairs], order[pairs : 2 * pairs]
            independent(call, half.take(one, axis), half.take(other, axis), f"pairs of {what}")
    # The lower mask is read mostly where the upper one kept, which says nothing of the two.
    for lower, upper in pairwise(masks):
        for value, fate in ((1.0, "kept"), (0.0, "dropped")):
            chosen = (upper == value) & ~np.isnan(lower)
            rate(call, lower[chosen], f"below those that were {fate}")


@clause("DRP-3")
@for_all(countable(Feature.BIDIRECTIONAL, layers=(2, 2)), examples=0.1)
def test_elements_of_the_two_directions_are_dropped_independently(
    subject: Subject, case: Case
) -> None:
    call = legible(case.call().replace(training=True), own_halves(case.call()))
    (mask,) = read(call, training(subject, call)(call, seed=case.seed), own_halves(call))
    forward, reverse = halves(call, mask)
    independent(call, forward, reverse, "the two directions")


def halves(call: Call, mask: Array) -> list[Array]:
    """The part of each direction."""
    return np.split(mask, call.config.num_directions, axis=-1)


@clause("DRP-4")
@for_all(countable(), examples=0.2)
def test_each_call_and_each_seed_has_a_mask_of_its_own(subject: Subject, case: Case) -> None:
    call = legible(case.call().replace(training=True), own_halves(case.call()))
    layer = training(subject, call)

    def mask(seed: int | None) -> Array:
        return read(call, layer(call, seed=seed), own_halves(call))[-1]

    first = mask(case.seed)
    independent(call, first, mask(None), "a call and the next")
    independent(call, first, mask(case.seed + 1), "calls after manual_seed with two seeds")


def rate(call: Call, mask: Array, where: str) -> None:
    """What was drawn by itself is dropped with probability ``p``."""
    p, trials, dropped = call.config.dropout, mask.size, int((mask == 0.0).sum())
    if improbable(dropped, trials, p):
        raise NonConforming(
            f"{dropped} of {trials} elements {where} were dropped, a share of "
            f"{dropped / trials:.3f}, where p = {p} {BY_CHANCE}",
            sort=Sort.DISTRIBUTION,
            calls=(call,),
            expected=p,
            got=dropped / trials,
        )


def independent(call: Call, one: Array, other: Array, what: str) -> None:
    """Two masks of the same shape that must have nothing to do with each other.

    Given how many elements each of them keeps, what both keep has a hypergeometric
    distribution, whatever the probability of keeping (right or wrong); the bound of
    ``improbable`` holds for that too (Hoeffding 1963, theorem 4).
    """
    known = ~(np.isnan(one) | np.isnan(other))
    trials, both = int(known.sum()), int((one * other)[known].sum())
    kept, share = int(one[known].sum()), float(other[known].mean()) if trials else 0.0
    if improbable(both, kept, share):
        raise NonConforming(
            f"{what} are not dropped independently: of the {kept} elements that the one keeps, "
            f"the other keeps {both}, but of all {trials} a share of {share:.3f} {BY_CHANCE}",
            sort=Sort.DISTRIBUTION,
            calls=(call,),
            expected=share,
            got=both / kept,
        )


@clause("DRP-4")
@for_all(STACKS, examples=0.5)
def test_the_same_seed_gives_the_same_bits(subject: Subject, case: Case) -> None:
    call = case.call().replace(training=True)
    layer = training(subject, call)
    first = layer(call, seed=case.seed)
    # What is drawn in between is no part of the seed's sequence.
    layer(call)
    assert_identical(
        first, layer(call, seed=case.seed), what="after torch.manual_seed with one seed"
    )


# The way back.


@clause("DRP-5")
@for_all(
    cases(
        Feature.DROPOUT,
        Feature.MULTI_LAYER,
        without=[Feature.BIAS_FREE],
        values=[Values.POSITIVE],
        # Every element of a single mask is read; gradients of weights that are zero need them all.
        layers=(2, 2),
    ),
    examples=0.5,
)
def test_the_backward_pass_uses_the_forward_passs_mask(subject: Subject, case: Case) -> None:
    call = legible(case.call().replace(training=True), own_halves(case.call()))
    result, gradients = training(subject, call).backward(drawn(call, case.seed))
    masks = masks_of(call, read(call, result, own_halves(call)))
    assert_within_bound(
        gradients,
        expected=subject.expected(gradients.backward, masks),
        what="with the mask that the forward pass shows",
    )


@clause("DRP-5")
@for_all(STACKS, examples=0.5)
def test_no_gradient_passes_where_everything_is_dropped(subject: Subject, case: Case) -> None:
    call = everything_dropped(case.call())
    _, gradients = training(subject, call).backward(drawn(call, case.seed))
    expected = subject.expected(gradients.backward, nothing_kept(call))
    assert_within_bound(gradients, expected=expected)
