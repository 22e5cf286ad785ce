"""How dropout is done otherwise: where it acts, what is drawn, and how what is kept is scaled."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from rnn_conformance.checking.comparing import are_close
from rnn_conformance.checking.dropout import SeenMasks, Source, legible, masks_of, read
from rnn_conformance.checking.subject import Subject
from rnn_conformance.diagnosis.causes import Experiments, declared, finest
from rnn_conformance.reference.oracle import Masks, Oracle
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import drawn
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.cases import Case, Values
from rnn_conformance.spec.config import Config
from rnn_conformance.spec.result import Result

DROPPING = Experiments()

P = 0.3
"""The probability: not a half, so that kept and dropped, and their scales, are told apart."""

STEPS, SAMPLES, UNITS = 8, 12, 10
"""Enough elements for a share to be told from another by a tenth: 960 a layer."""

CALLS = 4
"""How often what depends on chance is looked at."""


EVERYWHERE = "DRP-1 DRP-2 DRP-3 DRP-5"
"""What fails where dropout acts where it should not, or does not: what is drawn cannot be seen."""


def _call(
    subject: Subject,
    *,
    layers: int = 2,
    directions: int = 1,
    dropout: float = P,
    length: int = STEPS,
    packed: bool = False,
) -> Call:
    """A call in training mode, every output of which is positive."""
    config = Config(
        subject.kind,
        4,
        UNITS,
        num_layers=layers,
        bidirectional=directions == 2,
        dropout=dropout,
    )
    lengths = tuple(length - n // 2 for n in range(SAMPLES)) if packed else None
    case = Case(config, length, SAMPLES, finest(subject), lengths, values=Values.POSITIVE, seed=1)
    return declared(subject, case).call().replace(training=True)


def _answer(
    subject: Subject, call: Call, *, training: bool = True, seed: int | None = None
) -> Result:
    """What a fresh layer gives in a mode."""
    # Loads torch, which whatever is asked here is written in.
    from rnn_conformance.checking.training import Training

    layer = Training(subject, call)
    layer.train(training)
    return layer(call, seed=seed)


def _both(subject: Subject, call: Call) -> tuple[Result, Result]:
    """What fresh layers give in training mode, and in evaluation mode."""
    return _answer(subject, call), _answer(subject, call, training=False)


def _own(call: Call) -> Source:
    return tuple(range(call.config.num_directions))


def _legible(call: Call) -> Call:
    return legible(call, _own(call))


def _masks(subject: Subject, call: Call, seed: int | None = None) -> SeenMasks:
    _demand_right(subject, call)
    return read(call, _answer(subject, call, seed=seed), _own(call))


def _demand_right(subject: Subject, call: Call) -> None:
    """Raise ``LookupError`` where the call is wrong in evaluation: nothing is to be read then."""
    given, due = _answer(subject, call, training=False), Oracle().answer(call)
    if not (are_close(given.output, due.output, 1e-4) and are_close(given.h_n, due.h_n, 1e-4)):
        raise LookupError("what is wrong without dropout, too, tells nothing of dropout")


def _differ(one: Array, other: Array) -> bool:
    """Far more than rounding, and in a good part."""
    scale = np.abs(other).max(initial=0.0)
    return bool((np.abs(one - other) > 1e-3 * scale).mean() > 0.05)


def _share_of_zeros(subject: Subject, name: str) -> float:
    """Of a result in training mode; zero if it is small, or some are zero in evaluation, too."""
    given, plain = _both(subject, _call(subject))
    share, without = (float((result[name] == 0.0).mean()) for result in (given, plain))
    return share if share > P / 3 and not without else 0.0


@DROPPING.add(
    "dropout that the recording of gradients decides, not the mode",
    f"{EVERYWHERE} LIF-2",
    fix="Drop where self.training is set: whether gradients are recorded is another matter.",
)
def _with_gradients(subject: Subject) -> str:
    from rnn_conformance.checking.training import Training

    call = _call(subject)
    _demand_right(subject, call)
    layer = Training(subject, call)
    layer.train(False)
    recorded, _ = layer.backward(drawn(call, 1))
    plain = _answer(subject, call, training=False)
    differ = _differ(recorded.output, plain.output) and not _others(subject, call)
    return "a call in evaluation mode differs where gradients are recorded" * differ


@DROPPING.add(
    "dropout in evaluation",
    EVERYWHERE,
    fix="Drop nothing unless self.training: pass training=self.training to dropout.",
)
def _in_evaluation(subject: Subject) -> str:
    others = _others(subject, _call(subject))
    # What differs from call to call without dropout, too, is not dropped.
    if not others or _others(subject, _call(subject, dropout=0.0)):
        return ""
    return f"{others} of {CALLS - 1} calls in evaluation mode differ from the first"


def _others(subject: Subject, call: Call) -> int:
    """How many calls of one layer in evaluation differ from the first."""
    from rnn_conformance.checking.training import Training

    layer = Training(subject, call)
    layer.train(False)
    first, *rest = (layer(call).output for _ in range(CALLS))
    return sum(_differ(output, first) for output in rest)


@DROPPING.add(
    "no dropout at all",
    EVERYWHERE,
    fix="In training mode, drop elements of the output of every layer but the last.",
)
def _nowhere(subject: Subject) -> str:
    given, plain = _both(subject, _call(subject))
    same = np.array_equal(given.output, plain.output) and bool(plain.output.std())
    return "a call in training mode gives what it gives in evaluation mode" * same


@DROPPING.add(
    "no dropout of packed sequences",
    EVERYWHERE,
    fix="Drop elements of packed sequences as of padded ones: of the data, between layers.",
)
def _not_packed(subject: Subject) -> str:
    if _nowhere(subject):
        return ""
    given, plain = _both(subject, _call(subject, packed=True))
    same = np.array_equal(given.h_n, plain.h_n) and bool(plain.h_n.std())
    return "a packed call in training mode gives what it gives in evaluation mode" * same


@DROPPING.add(
    "dropout of the last layer's output, too",
    EVERYWHERE,
    fix="Drop elements of the output of every layer but the last: what the layer returns is whole.",
)
def _last(subject: Subject) -> str:
    share = _share_of_zeros(subject, "output")
    return f"a share of {share:.2f} of the output is zero in training mode" * bool(share)


@DROPPING.add(
    "dropout in a single layer",
    EVERYWHERE,
    fix="Drop nothing after the last layer, and so nothing where there is one layer.",
)
def _single(subject: Subject) -> str:
    given, plain = _both(subject, _call(subject, layers=1))
    other = _differ(given.output, plain.output)
    return "a single layer gives another output in training mode" * other


@DROPPING.add(
    "dropout of the final states",
    EVERYWHERE,
    fix="Return the states as they are: dropout acts on what the next layer reads, nowhere else.",
)
def _states(subject: Subject) -> str:
    share = _share_of_zeros(subject, "h_n")
    return f"a share of {share:.2f} of h_n is zero in training mode" * bool(share)


def _first_layer_differs(subject: Subject, length: int) -> bool:
    """Whether its final state does in training mode, after so many steps."""
    call = _call(subject, length=length)
    _demand_right(subject, call)
    given, plain = _both(subject, call)
    return _differ(given.h_n[0], plain.h_n[0])


@DROPPING.add(
    "dropout of the first layer's input",
    EVERYWHERE,
    fix="Drop nothing before the first layer: the first elements dropped are those of its output.",
)
def _input(subject: Subject) -> str:
    other = _first_layer_differs(subject, length=1)
    return "the first layer's state after one step is another in training mode" * other


@DROPPING.add(
    "dropout of the state that recurs",
    EVERYWHERE,
    fix="Drop nothing between steps: a layer's state recurs whole, and only what the next layer "
    "reads is dropped.",
)
def _recurrent(subject: Subject) -> str:
    if _input(subject):
        return ""
    other = _first_layer_differs(subject, length=STEPS)
    return (
        "the first layer's state is another in training mode after several steps, and not after one"
        * other
    )


def _pairs(mask: Array, axis: int) -> tuple[Array, Array]:
    """All but the last along an axis, and all but the first."""
    size = mask.shape[axis]
    return mask.take(range(size - 1), axis), mask.take(range(1, size), axis)


def _same(one: Array, other: Array) -> bool:
    """Whether two masks are one, and drop some: by chance, less often than 1 in 1e30."""
    known = ~(np.isnan(one) | np.isnan(other))
    if known.sum() <= 100 or not (one[known] == other[known]).all():
        return False
    # Where all of it reads alike, it is no mask that is read.
    return 0.05 < float(one[known].mean()) < 0.95


for axis, (one, many) in enumerate((("step", "steps"), ("sample", "samples"), ("unit", "units"))):

    def _along(subject: Subject, axis: int = axis, many: str = many) -> str:
        (mask,) = _masks(subject, _legible(_call(subject)))
        return f"what is dropped is the same for all {many}" * _same(*_pairs(mask, axis))

    DROPPING.add(
        f"one dropout mask for all {many}",
        "DRP-3",
        fix=f"Draw a mask for each {one}: each element of a layer's output is dropped by itself.",
    )(_along)


@DROPPING.add(
    "one dropout mask for both directions",
    "DRP-3",
    fix="Draw for each direction's half by itself: dropout acts on the two halves side by side.",
)
def _directions(subject: Subject) -> str:
    (mask,) = _masks(subject, _legible(_call(subject, directions=2)))
    return "the same is dropped in both directions" * _same(*np.split(mask, 2, axis=-1))


@DROPPING.add(
    "one dropout mask for all layers",
    "DRP-3",
    fix="Draw a mask for each layer's output.",
)
def _layers(subject: Subject) -> str:
    lower, upper = _masks(subject, _legible(_call(subject, layers=3)))
    # Below what is dropped above, nothing can be seen.
    kept = lower[(upper == 1.0) & ~np.isnan(lower)]
    same = kept.size > 100 and bool(kept.all())
    return "nothing is dropped below one layer that is kept below the next" * same


@DROPPING.add(
    "dropout taken for the probability of keeping",
    "DRP-3",
    fix="dropout is the probability of dropping an element: keep with 1 - dropout.",
)
def _inverted(subject: Subject) -> str:
    shares = []
    for seed in range(CALLS):
        (mask,) = _masks(subject, _legible(_call(subject)), seed)
        shares.append(float((mask[~np.isnan(mask)] == 0.0).mean()))
    share = float(np.mean(shares))
    # Three hundredths are four standard deviations of so many.
    return f"a share of {share:.3f} is dropped where dropout = {P}" * (abs(share - 1 + P) < 0.03)


SCALES = {
    "kept elements not scaled": (1.0, "Divide what is kept by 1 - dropout in training mode."),
    "kept elements scaled by 1/p": (1.0 / P, "What is kept is scaled by 1/(1-p), not by 1/p."),
    "kept elements scaled by 1-p": (1.0 - P, "What is kept is scaled by 1/(1-p), not by 1-p."),
}


def _scaled(subject: Subject, factor: float) -> str:
    """Whether a training call is what the equations give with masks scaled so."""
    call = _legible(_call(subject))
    given = _answer(subject, call)
    nothing, whole = (
        Oracle(Masks((np.full(call.shape("output"), scale),))).answer(call).output
        for scale in (0.0, factor)
    )
    dropped = np.abs(given.output - nothing) < 1e-6
    near = are_close(given.output, np.where(dropped, nothing, whole), 1e-5)
    return f"results are those of a factor of {factor:.3g}" * (near and not dropped.all())


for name, (factor, fix) in SCALES.items():
    DROPPING.add(name, "DRP-3", fix=fix)(partial(_scaled, factor=factor))


@DROPPING.add(
    "a dropout mask that is kept for later calls",
    "DRP-4",
    fix="Draw a new mask in each call, from torch's generator as it goes on.",
)
def _kept(subject: Subject) -> str:
    from rnn_conformance.checking.training import Training

    call = _legible(_call(subject))
    _demand_right(subject, call)
    layer = Training(subject, call)
    (one,), (other,) = (read(call, layer(call), _own(call)) for _ in range(2))
    return "a second call drops what the first one dropped" * _same(one, other)


@DROPPING.add(
    "dropout from a generator of its own, which torch.manual_seed does not reach",
    "DRP-4",
    fix="Draw from torch's generator, so that torch.manual_seed decides what is dropped.",
)
def _unseeded(subject: Subject) -> str:
    call = _legible(_call(subject))
    one, other = (_answer(subject, call, seed=1).output for _ in range(2))
    return "two calls after the same torch.manual_seed differ" * _differ(one, other)


@DROPPING.add(
    "NaN for a dropout of 1",
    "DRP-3",
    fix="With a probability of 1 everything is dropped: do not divide by 1 - p where that is zero.",
)
def _one(subject: Subject) -> str:
    given = _answer(subject, _call(subject, dropout=1.0))
    return "the output is NaN where dropout = 1" * bool(np.isnan(given.output).any())


@DROPPING.add(
    "a dropout of 1 that drops nothing",
    "DRP-2 DRP-3 DRP-5",
    fix="With a probability of 1 every element of what the next layer reads is dropped.",
)
def _all(subject: Subject) -> str:
    call = _call(subject, dropout=1.0)
    _demand_right(subject, call)
    given, plain = _both(subject, call)
    same = np.array_equal(given.output, plain.output) and bool(plain.output.std())
    return "where dropout = 1, training mode gives what evaluation mode gives" * same


@DROPPING.add(
    "a backward pass through another dropout mask than the forward pass's",
    "DRP-5",
    fix="Keep the mask of the forward pass, scale and all, and multiply the gradient by it.",
)
def _backward(subject: Subject) -> str:
    from rnn_conformance.checking.training import Training

    call = _legible(_call(subject))
    # What is wrong without dropout, too, is not the mask's.
    without = call.replace(config=replace(call.config, dropout=0.0))
    _, plain = Training(subject, without).backward(drawn(without, 1))
    if _differ(plain["input"], subject.expected(plain.backward)["input"]):
        return ""
    result, gradients = Training(subject, call).backward(drawn(call, 1))
    seen = masks_of(call, read(call, result, _own(call)))
    due = subject.expected(gradients.backward, seen)
    forward = are_close(result.output, subject.expected(call, seen)["output"], 1e-5)
    other = forward and _differ(gradients["input"], due["input"])
    return "results are right with the mask that they show, gradients are not" * other
