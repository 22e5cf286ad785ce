"""What an implementation is asked before any check: each thing that it declares, once, alone.

And then all of it together, of which the smallest combination is told that is refused.

One missing feature would otherwise fail a third of the checks, and hide what else is wrong.
What is refused is told once, under DCL-1, and everything else is run as if it had not been
declared. An argument whose default is another than ``torch.nn``'s is told once, under PAR-1,
and is passed explicitly from then on; so are names of parameters, and what needs ``torch.nn``'s
is not run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from rnn_conformance.checking.defaults import in_words, other_defaults
from rnn_conformance.checking.subject import Subject
from rnn_conformance.errors import (
    AdapterError,
    Gap,
    Nature,
    NonConforming,
    Sort,
    Unsupported,
    deliberate,
)
from rnn_conformance.implementations.interface import Declaration, Implementation
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case
from rnn_conformance.spec.combinations import STATED, Combination, accompanied, largest
from rnn_conformance.spec.config import Config, Dtype, Feature, Kind, Level
from rnn_conformance.texts import worded

ANSWERS = "DCL-1"
"""The clause that what is declared is answered."""

INPUTS, HIDDEN, PROJECTED = 3, 4, 2
"""Sizes of the layers that are asked."""

Asked: TypeAlias = Feature | Dtype | Combination
"""What is asked for by itself."""

FAILS = (Exception, SystemExit)
"""What an implementation may raise and be told of; what else there is ends the run."""


@dataclass(frozen=True, eq=False)
class Probed:
    """What was found out about one kind of an implementation.

    ``implementation`` is what the checks are to be run on: it declares what it did not refuse.
    ``unusable`` is why there is nothing to run them on, in a sentence. ``refused`` are the
    features, combinations and dtypes that were declared and are refused, each with a sentence.
    ``defaults`` are the arguments that have another default than ``torch.nn``'s and do not declare
    it (see ``defaults.in_words``); ``named`` is false where the parameters have names that are
    not declared.
    """

    implementation: Implementation
    kind: Kind
    unusable: str | None = None
    refused: Mapping[Asked, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    named: bool = True


def probe(
    implementation: Implementation,
    kind: Kind,
    observe: Callable[[Call, Asked], None] = lambda call, asked: None,
) -> Probed:
    """Ask for each thing that is declared; nothing is compared with what is right.

    It is the same each time; what was narrowed before is asked for again. ``observe`` is told
    each call before it is made, and what is asked for by it. Raises no ``Exception``, whatever
    the implementation raises.
    """
    with _quiet():
        implementation, defaults = _told(_whole(implementation), kind)
        unusable, answers = _answers(implementation, kind, observe)
    refused = {asked: answer.sentence for asked, answer in answers.items()}
    return Probed(
        _without(implementation, refused),
        kind,
        None if unusable is None else unusable.sentence,
        refused,
        defaults,
        implementation.named,
    )


def demand_answers(subject: Subject) -> None:
    """What is declared is answered (DCL-1); raises ``NonConforming`` for what is refused."""
    with _quiet():
        implementation, _ = _told(_whole(subject.implementation), subject.kind)
        unusable, answers = _answers(implementation, subject.kind)
    if not implementation.loads:
        raise _unloaded(implementation, subject.kind)
    bad = list(answers.values()) if unusable is None else [unusable]
    if not bad:
        return
    error = bad[0].error
    if isinstance(error, AdapterError):
        raise error
    raise NonConforming(
        "; ".join(answer.sentence for answer in bad),
        sort=error.sort if isinstance(error, NonConforming) else Sort.RAISED,
        calls=tuple(answer.call for answer in reversed(bad)),
        exception=None if isinstance(error, NonConforming) else error,
    )


def demand_torchs_defaults(subject: Subject) -> None:
    """What is not told is as ``torch.nn`` has it; raises ``NonConforming`` where it is not.

    And ``Unsupported`` for what is no class.
    """
    subject.implementation.module_class  # noqa: B018
    implementation = subject.implementation.knowing(told=())
    dtype = _dtypes(implementation)[0]
    with _quiet():
        found = other_defaults(implementation, subject.kind, dtype)
    if found:
        raise NonConforming(
            "; ".join(in_words(name, default) for name, default in found.items()),
            sort=Sort.SURFACE,
            calls=(_call(subject.kind, (), subject.features, dtype),),
        )


def _unloaded(implementation: Implementation, kind: Kind) -> Exception:
    """That nothing can be compared; a class that claims its surface is told so under PAR-1."""
    if implementation.declaration.level is Level.DROP_IN:
        return Unsupported("has parameters that do not load under torch.nn's names", Gap.NAMES)
    call = _call(kind, (), implementation.declaration.features, Dtype.FLOAT32)
    names = [name for name, _ in implementation.construct(call.config).named_parameters()]
    why = ""
    try:
        implementation.knowing(loads=True).build(call.layer)
    except FAILS as error:
        why = f" ({worded(error)})"
    return NonConforming(
        f"its parameters, {', '.join(names) or 'none'}, do not load under torch.nn's names{why}: "
        "declare them, or take torch.nn's in load_state_dict",
        sort=Sort.SURFACE,
        calls=(call,),
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of being asked: a sentence that says what was raised, if something was.

    ``refusal`` says that it was one of what was asked for, and no accident on the way; it may be
    by an answer that shows that this is unknown to it.
    """

    call: Call
    sentence: str = ""
    refusal: bool = False
    error: BaseException | None = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings are for the checks to see."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _whole(implementation: Implementation) -> Implementation:
    """As it was declared, with what was refused since."""
    declaration = implementation.declaration
    refused = declaration.refused
    whole = replace(
        declaration,
        features=declaration.features | {asked for asked in refused if isinstance(asked, Feature)},
        dtypes=declaration.dtypes | {asked for asked in refused if isinstance(asked, Dtype)},
        apart=declaration.apart.difference(refused),
        refused={},
    )
    return replace(implementation, declaration=whole).knowing(named=True, loads=True)


def _told(implementation: Implementation, kind: Kind) -> tuple[Implementation, Mapping[str, Any]]:
    """The implementation, told what it would default otherwise and known by its names; and that.

    In this order: without an argument that has another default it has other parameters.
    """
    dtype = _dtypes(implementation)[0]
    defaults = other_defaults(implementation.knowing(told=()), kind, dtype)
    implementation = implementation.knowing(told=defaults)
    if _are_named(implementation, kind):
        return implementation, defaults
    implementation = implementation.knowing(named=False)
    try:
        call = _call(kind, (), implementation.declaration.features, Dtype.FLOAT32)
        implementation.build(call.layer)
    except FAILS:
        return implementation.knowing(loads=False), defaults
    return implementation, defaults


def _without(implementation: Implementation, refused: Mapping[Asked, str]) -> Implementation:
    """The implementation, no longer declaring what it refuses."""
    declaration = implementation.declaration
    narrow = replace(
        declaration,
        features=frozenset(asked for asked in declaration.features if asked not in refused),
        dtypes=frozenset(asked for asked in declaration.dtypes if asked not in refused),
        apart=declaration.apart | {asked for asked in refused if isinstance(asked, Combination)},
        refused=dict(refused),
    )
    return replace(implementation, declaration=narrow)


def _dtypes(implementation: Implementation) -> list[Dtype]:
    """The declared dtypes, in the order of all."""
    return [dtype for dtype in Dtype if dtype in implementation.declaration.dtypes]


def _are_named(implementation: Implementation, kind: Kind) -> bool:
    """Whether a plain layer's parameters have the names that are declared, or ``torch.nn``'s."""
    config = Config(kind, INPUTS, HIDDEN)
    try:
        given = {name for name, _ in implementation.construct(config).named_parameters()}
    except FAILS:
        # It is no class, or cannot be constructed, which is told elsewhere.
        return True
    return given == set(implementation.names(config).values())


def _answers(
    implementation: Implementation,
    kind: Kind,
    observe: Callable[[Call, Asked], None] = lambda call, asked: None,
) -> tuple[Answer | None, dict[Asked, Answer]]:
    """Why nothing at all is answered, if so; and what is refused of what is declared."""
    dtypes = _dtypes(implementation)
    features = set(implementation.declaration.features & Feature.of(kind))
    refused: dict[Asked, Answer] = {}

    def ask(*asked: Feature, dtype: Dtype, by: Asked | None = None) -> Answer:
        call = _call(kind, asked, features, dtype)
        observe(call, by or (asked[0] if asked else dtype))
        return _ask(implementation, call)

    plain = {dtype: ask(dtype=dtype) for dtype in dtypes}
    if all(answer.sentence for answer in plain.values()):
        first = plain[dtypes[0]]
        if not {Feature.INITIAL_STATE, Feature.OMITTED_STATE} <= features:
            return first, {}
        # With a state it may do what it does not do without.
        features.remove(Feature.OMITTED_STATE)
        plain = {dtype: ask(dtype=dtype) for dtype in dtypes}
        if all(answer.sentence for answer in plain.values()):
            return first, {}
        refused[Feature.OMITTED_STATE] = first
    refused |= {dtype: answer for dtype, answer in plain.items() if answer.refusal}
    answered = next(dtype for dtype, answer in plain.items() if not answer.sentence)
    # Last what others are asked for with: dropout, and what is part of something.
    for feature in sorted(features, key=lambda f: (f.is_finer, f is Feature.DROPOUT, f)):
        if feature.within <= features:
            ways: list[tuple[Feature, ...]] = [(feature,)]
            if feature is Feature.UNBATCHED and Feature.INITIAL_STATE in features:
                # The state has other axes then too.
                ways.append((feature, Feature.INITIAL_STATE))
            answers = [ask(*asked, dtype=answered) for asked in ways]
            if answer := next((answer for answer in answers if answer.refusal), None):
                refused[feature] = answer
                features.remove(feature)

    def ask_for(combination: Combination) -> Answer:
        return ask(*sorted(combination.features), dtype=answered, by=combination)

    refused.update(_refused_together(implementation.declaration, features, ask_for))
    return None, {
        thing: replace(answer, sentence=f"{thing} is declared, and {answer.sentence}")
        for thing, answer in refused.items()
    }


def _refused_together(
    declaration: Declaration,
    features: set[Feature],
    ask: Callable[[Combination], Answer],
) -> dict[Asked, Answer]:
    """The smallest combinations that are refused of what is answered one by one.

    Of what is declared to be apart, nothing is asked for but its pairs: the process may not
    have survived the whole, and is asked again without it.
    """

    def refused(of: frozenset[Feature]) -> Answer | None:
        # Dropout is asked for with layers to act between.
        lone = Feature.DROPOUT in of and Feature.MULTI_LAYER in features - of
        if len(of) < 2 or of == STATED or lone:
            return None
        answer = ask(Combination(of))
        # Of what was answered one by one, an exception that does not say so is no refusal: a state
        # of another shape than is taken there raises as well.
        return answer if answer.error is not None and deliberate(answer.error) else None

    found: dict[Asked, Answer] = {}
    apart = set(declaration.apart)
    due = list(largest(features))
    asked: set[frozenset[Feature]] = set()
    while due:
        whole = due.pop()
        if whole in asked:
            continue
        asked.add(whole)
        parted = [one.features for one in apart if one.features <= whole]
        if whole in parted:
            due += [pair.features for pair in Combination(whole).pairs()] if len(whole) > 2 else []
        elif parted:
            due += [whole - {feature} for feature in sorted(parted[0])]
        elif answer := refused(whole):
            smallest = whole
            for feature in sorted(whole):
                if fewer := refused(smallest - {feature}):
                    smallest, answer = smallest - {feature}, fewer
            found[Combination(smallest)] = answer
            apart.add(Combination(smallest))
            due += [whole - {feature} for feature in sorted(smallest)]
    return found


def _call(
    kind: Kind, asked: Collection[Feature], declared: Collection[Feature], dtype: Dtype
) -> Call:
    """The smallest legal call that needs what is asked for: of two steps and two samples.

    These are alike, so that it does not matter which comes first; all other sizes differ.
    """
    features = accompanied(asked, declared)
    config = Config.having(kind, features, INPUTS, HIDDEN, proj_size=PROJECTED)
    lengths = (1, 2) if Feature.UNSORTED in features else (2, 1)
    return Case.having(features, config, 2, 2, lengths, dtype=dtype).call()


def _ask(implementation: Implementation, call: Call) -> Answer:
    """Construct and call."""
    try:
        layer = implementation.build(call.layer)
    except Unsupported as reason:
        # Where nothing can be loaded, nothing can be asked; the names are told elsewhere.
        what = "" if reason.gap is Gap.NAMES else f"{implementation.name} {reason}"
        return Answer(call, what, error=reason)
    except FAILS as error:
        return _unbuilt(implementation, call, error)
    try:
        result = layer(call.arguments)
        if call.unbatched:
            for name in result.names:
                result[name]
    except FAILS as error:
        return _raised(call, str(call), error)
    return Answer(call)


def _unbuilt(implementation: Implementation, call: Call, error: BaseException) -> Answer:
    """What a layer raised when it was made."""
    told = ", ".join(f"{k}={v!r}" for k, v in implementation.keywords(call.config).items())
    made = f"{implementation.name}({told})"
    try:
        implementation.construct(call.config)
    except Unsupported:
        return _raised(call, f"{implementation.name} as {call.config}", error)
    except FAILS as constructing:
        return _raised(call, made, constructing)
    # Parameters that do not fit are no refusal: it was made, and without what was asked for.
    return replace(
        _raised(call, f"to load parameters into {made}", error), refusal=deliberate(error)
    )


def _raised(call: Call, what: str, error: BaseException) -> Answer:
    if isinstance(error, (NonConforming, AdapterError)):
        # What knows of no unbatched input takes its steps for samples, and answers in the shape of
        # these: it has not got what was asked for, rather than that it does it wrongly.
        lacks = call.unbatched and isinstance(error, NonConforming)
        return Answer(call, f"{what}: {error}", lacks, error)
    refusal = isinstance(error, Exception) and Nature.of(error) is Nature.REFUSAL
    return Answer(call, f"{what} raises {type(error).__name__}: {error}", refusal, error)
