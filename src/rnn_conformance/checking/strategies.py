"""Which cases are drawn.

Hypothesis draws the configuration; the arrays follow from a drawn seed and distribution
(``cases``). Every choice lists its simplest value first, because that is what Hypothesis
shrinks to: one layer, one direction, no state, sizes of one, plain values, seed 0.

A case that discriminates has sizes that all differ, at least two steps and three samples,
a state, and biases that are distinct and not zero: measured on known wrong
implementations, each of these left out hides some of them. So four cases in five are of
that sort. The fifth is degenerate (a single step, sample or unit; all sizes equal), since
code has special branches there; it comes first, so that what fails there shrinks to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

from rnn_conformance.errors import Gap, Unsupported
from rnn_conformance.implementations.interface import Declaration
from rnn_conformance.spec.cases import Case, State, Values
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind

T = TypeVar("T")

NEEDED_BY = {
    State.OMITTED: Feature.OMITTED_STATE,
    State.ZEROS: Feature.INITIAL_STATE,
    State.GIVEN: Feature.INITIAL_STATE,
}
"""The feature without which no case has this state."""

PALETTE = ((2, 3, 4, 5), (3, 4, 2, 6), (1, 1, 3, 4), (5, 1, 4, 3))
"""Sizes ``(L, N, H_in, H)`` for implementations that compile each new shape: two that
discriminate, a single step of a single sample, and a single sample."""


SMALL: dict[str, Any] = {
    "layers": (1, 2),
    "length": (2, 4),
    "inputs": (2, 5),
    "hidden": (2, 6),
    "states": [State.GIVEN, State.OMITTED],
    "degenerate": False,
}
"""What narrows :func:`cases` for properties of what is done with a layer, which take many calls a
case and do not show by its size."""


@dataclass(frozen=True)
class Cases:
    """A family of cases, narrowed to what an implementation declares when it is drawn.

    ``needs`` are features that every case has, ``without`` features that none has;
    ``layers``, ``length``, ``batch``, ``inputs`` and ``hidden`` are inclusive ranges for the
    sizes of the discriminating cases. ``degenerate`` admits the others. With ``undeclared``
    the cases are instead those that an implementation does not declare: they have all of
    ``needs`` (at least one of them undeclared), or else an undeclared dtype. ``dropouts`` are
    the probabilities of dropout, which a case has only where it is needed.
    """

    needs: frozenset[Feature] = frozenset()
    without: frozenset[Feature] = frozenset()
    layers: tuple[int, int] = (1, 3)
    length: tuple[int, int] = (2, 6)
    batch: tuple[int, int] = (3, 6)
    inputs: tuple[int, int] = (2, 7)
    hidden: tuple[int, int] = (2, 8)
    states: tuple[State, ...] = (State.OMITTED, State.ZEROS, State.GIVEN)
    values: tuple[Values, ...] = tuple(Values)
    dtypes: tuple[Dtype, ...] = (Dtype.FLOAT32, Dtype.FLOAT64)
    degenerate: bool = True
    undeclared: bool = False
    dropouts: tuple[float, ...] = (0.5, 0.2, 0.8)

    def conclude(self) -> None:
        """A refusal of what is not declared is no pass: raises ``Unsupported``."""
        if self.undeclared:
            whole = frozenset[Feature]().union(*(feature.within for feature in self.needs))
            missing = ", ".join(sorted(self.needs - whole)) or "another dtype"
            raise Unsupported(f"does not declare {missing}, and does not pretend to", Gap.REFUSED)

    def strategy(self, kind: Kind, declaration: Declaration) -> st.SearchStrategy[Case]:
        """The cases for one kind of one implementation.

        Raises ``Unsupported``, naming what is missing, if it can answer none of them.
        """
        possible = Feature.of(kind)
        if missing := self.needs - possible:
            raise Unsupported(f"{kind} has no {', '.join(sorted(missing))}", Gap.NOT_IN_KIND)
        if self.undeclared:
            declaration = self._beyond(declaration)
        if missing := self.needs - declaration.features:
            raise Unsupported(f"does not declare {', '.join(sorted(missing))}", Gap.UNDECLARED)
        if parted := declaration.parted(self.needs):
            raise Unsupported(f"does not declare {parted[0]}", Gap.UNDECLARED)
        dtypes = [dtype for dtype in self.dtypes if dtype in declaration.dtypes]
        if not dtypes:
            raise Unsupported(f"does not declare {' or '.join(self.dtypes)}", Gap.UNDECLARED)
        states = [state for state in self.states if NEEDED_BY[state] in declaration.features]
        if Feature.BIDIRECTIONAL in self.needs:
            states = _with_directions(states, declaration)
        if not states:
            needed = " or ".join(sorted({NEEDED_BY[state] for state in self.states}))
            raise Unsupported(f"does not declare {needed}", Gap.UNDECLARED)
        if self.undeclared:
            # The simplest: what is wrong elsewhere must not be seen as what is asked for here.
            states = states[:1]
            dtypes = dtypes[:1] if self.needs else dtypes
        return _case(self, kind, declaration, possible - self.without, dtypes, states)

    def _beyond(self, declaration: Declaration) -> Declaration:
        """The declaration with what is needed in it; raises ``Unsupported`` if it was there.

        Or if that means nothing, being a finer part of what is not declared either.
        """
        whole = frozenset[Feature]().union(*(feature.within for feature in self.needs))
        if missing := whole - declaration.features:
            raise Unsupported(f"does not declare {', '.join(sorted(missing))}", Gap.UNDECLARED)
        if not self.needs and (dtypes := frozenset(self.dtypes) - declaration.dtypes):
            return replace(declaration, dtypes=dtypes)
        if self.needs - declaration.features:
            return replace(declaration, features=declaration.features | self.needs)
        what = ", ".join(sorted(self.needs)) or "every dtype"
        raise Unsupported(f"declares {what}, and is held to it by other checks", Gap.DECLARED)


def cases(
    *needs: Feature,
    without: Collection[Feature] = (),
    layers: tuple[int, int] = (1, 3),
    length: tuple[int, int] = (2, 6),
    batch: tuple[int, int] = (3, 6),
    inputs: tuple[int, int] = (2, 7),
    hidden: tuple[int, int] = (2, 8),
    states: Sequence[State] = (),
    values: Sequence[Values] = tuple(Values),
    dtypes: Sequence[Dtype] = (Dtype.FLOAT32, Dtype.FLOAT64),
    degenerate: bool = True,
    undeclared: bool = False,
    dropouts: Sequence[float] = (0.5, 0.2, 0.8),
) -> Cases:
    """Cases that have the features ``needs`` and vary in all that is left open.

    ``states`` are by default those that ``needs`` allows: with a state needed, no case
    omits it.
    """
    whole = frozenset(needs).union(*(feature.within for feature in needs))
    if not states:
        needed = whole & {Feature.INITIAL_STATE, Feature.OMITTED_STATE}
        states = [state for state in State if not needed or NEEDED_BY[state] in needed]
    return Cases(
        whole,
        frozenset(without),
        layers,
        length,
        batch,
        inputs,
        hidden,
        tuple(states),
        tuple(values),
        tuple(dtypes),
        degenerate,
        undeclared,
        tuple(dropouts),
    )


@cache
def _one_of(options: tuple[T, ...]) -> st.SearchStrategy[T]:
    """Kept, since making a strategy costs more than drawing from it."""
    return st.sampled_from(options)


@st.composite
def _case(
    draw: st.DrawFn,
    family: Cases,
    kind: Kind,
    declaration: Declaration,
    possible: frozenset[Feature],
    dtypes: Sequence[Dtype],
    states: Sequence[State],
) -> Case:
    def choose(options: Sequence[T]) -> T:
        return draw(_one_of(tuple(options))) if len(options) > 1 else options[0]

    def free(feature: Feature) -> bool:
        """Whether it may be there too."""
        return feature in possible and declaration.allows({feature, *features, *family.needs})

    def has(feature: Feature, odds: tuple[bool, ...]) -> bool:
        if feature in family.needs:
            return True
        if not free(feature):
            return False
        return choose(odds)

    rare, often = (False, False, False, True), (False, True)
    out_of_order = Feature.UNSORTED in family.needs
    # It takes two steps and two samples.
    degenerate = family.degenerate and not out_of_order and draw(st.integers(0, 4)) == 0
    features = family.needs & {Feature.EMPTY_BATCH, Feature.DROPOUT}
    with_directions = _with_directions(states, declaration)
    if with_directions and has(Feature.BIDIRECTIONAL, often):
        features |= {Feature.BIDIRECTIONAL}
        states = with_directions
    num_layers = 1
    if Feature.MULTI_LAYER in family.needs or (free(Feature.MULTI_LAYER)):
        least = 2 if Feature.MULTI_LAYER in family.needs else family.layers[0]
        num_layers = choose(range(least, family.layers[1] + 1))
    if num_layers > 1:
        features |= {Feature.MULTI_LAYER}
    for feature, odds in (
        # With biases is the plain case, although bias=False has fewer parameters.
        (Feature.BIAS_FREE, rare),
        (Feature.BATCH_FIRST, often),
        (Feature.PROJECTION, rare),
        (Feature.RELU, often),
    ):
        if has(feature, odds):
            features |= {feature}
    empty = Feature.EMPTY_BATCH in family.needs
    if not empty and has(Feature.PACKED, rare):
        features |= {Feature.PACKED}
    elif not empty and has(Feature.UNBATCHED, rare):
        features |= {Feature.UNBATCHED}
    length, batch, inputs, hidden, proj = _sizes(
        draw,
        family,
        degenerate,
        Feature.PROJECTION in features,
        declaration.compiles_per_shape,
    )
    lengths = _lengths(draw, length, batch) if Feature.PACKED in features else ()
    if Feature.UNSORTED not in declaration.features:
        lengths = tuple(sorted(lengths, reverse=True))
    elif out_of_order and min(length, batch) > 1:
        lengths = (min(lengths[0], length - 1), *lengths[1:-1], length)
    if not declaration.allows({*features, Feature.INITIAL_STATE} & declaration.features):
        states = [state for state in states if state is State.OMITTED] or states
    # A given state four times in six: cases without one are blind to half of the defects.
    odds_of_states = [state for state in states for _ in range(4 if state is State.GIVEN else 1)]
    config = Config.having(
        kind,
        features,
        inputs,
        hidden,
        num_layers=num_layers,
        proj_size=proj,
        dropout=choose(family.dropouts) if Feature.DROPOUT in features else 0.0,
    )
    dtype, state = choose(dtypes), choose(odds_of_states)
    if state is not State.OMITTED:
        features |= {Feature.INITIAL_STATE}
    return Case.having(
        features,
        config,
        length,
        batch,
        lengths,
        dtype=dtype,
        state=state,
        values=choose(family.values),
        seed=draw(st.integers(0, 2**16 - 1)),
    )


def _with_directions(states: Sequence[State], declaration: Declaration) -> list[State]:
    """Those of the states that a call with two directions may have."""
    if Feature.BIDIRECTIONAL_STATE in declaration.features:
        return list(states)
    return [state for state in states if state is State.OMITTED]


def _sizes(
    draw: st.DrawFn, family: Cases, degenerate: bool, projected: bool, palette: bool
) -> tuple[int, int, int, int, int]:
    """``L, N, H_in, H, P``; all different unless degenerate."""
    if palette:
        length, batch, inputs, hidden = draw(_one_of(PALETTE))
        return length, batch, inputs, hidden, hidden - 1 if projected else 0
    if degenerate:
        # As many draws as below: Hypothesis takes the fewest draws for the simplest case.
        drawn = [draw(st.integers(1, 3)) for _ in range(4)]
        # All equal is a case of its own: only then can two axes be swapped unnoticed.
        if max(drawn) == 3 and drawn[0] >= 2:
            drawn = [drawn[0]] * 4
        hidden, length, batch, inputs = drawn
        if projected:
            hidden = max(hidden, 2)
        # A family that asks for three steps or more needs them here too.
        least = 1 if family.length[0] <= 2 else 3
        return max(length, least), batch, inputs, hidden, 1 if projected else 0
    taken: list[int] = []

    def distinct(low: int, high: int) -> int:
        free = [size for size in range(low, high + 1) if size not in taken] or [low]
        taken.append(draw(_one_of(tuple(free))))
        return taken[-1]

    hidden = distinct(max(family.hidden[0], 3 if projected else 2), family.hidden[1])
    proj = distinct(1, hidden - 1) if projected else 0
    batch = distinct(*family.batch)
    return distinct(*family.length), batch, distinct(*family.inputs), hidden, proj


def _lengths(draw: st.DrawFn, length: int, batch: int) -> tuple[int, ...]:
    """One length a sample, in any order; the longest is ``length``."""
    drawn = draw(st.lists(st.integers(1, length), min_size=batch, max_size=batch))
    drawn[draw(st.integers(0, batch - 1))] = length
    return tuple(drawn)
