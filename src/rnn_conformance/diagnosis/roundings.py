"""Results that are those of another dtype's rounding: computed in fewer digits, and handed back.

No deviation gives the same errors, since nobody knows in which order sums were rounded. Their size
tells, and where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.scopes import Scope
from rnn_conformance.diagnosis.evidence import Evidence, Given
from rnn_conformance.reference.expected import expected
from rnn_conformance.reference.formats import FORMATS
from rnn_conformance.spec.cases import rounded
from rnn_conformance.spec.config import Dtype

LEAST, MOST = 2.0**-5, 2.0**6
"""Of half a unit in the last place: few roundings are as large, and some of them add up."""

MEDIAN, FURTHEST = 2.0**4, 2.0**9
"""Of the same: half of all errors are as small, and none, however much adds up, is larger."""


FEW = 4
"""So many times as many have to be off as are right all the same, and in no scope."""

SEEN = 4
"""So many have to be off to tell what part of calls they are in: of the many parts, some have two
or three by chance, and something else may be off in them by as much as a rounding."""

WRONG = 0.25
"""Of the largest result: so far off is no rounding, of bfloat16 neither, but in a few cases, where
what is added up nearly cancels out."""

SMALL = 0.1
"""Of the largest result: what is computed with parameters of eight bits is less far off."""

CANCELLING = 0.95
"""The share of cases that are less than that off."""


@dataclass(frozen=True)
class Rounding:
    """Computed in ``coarser``, where ``finer`` are the dtypes of the calls, and where that is.

    ``before`` where it is what is multiplied that loses its digits: what has none to lose then
    comes out right, as a tanh in ``coarser`` would not; ``within`` where some part of a step does,
    without which a few come out right.
    """

    coarser: Dtype
    finer: tuple[Dtype, ...]
    scope: Scope | None = None
    before: bool = False
    within: bool = False

    @property
    def name(self) -> str:
        """Completes "a layer with …"."""
        dtypes, where = " and ".join(self.finer), f", {self.scope.words}" if self.scope else ""
        if self.before:
            return f"{dtypes} that passes through {self.coarser} where it is multiplied{where}"
        if self.within:
            return f"{dtypes} that passes through {self.coarser} in some part of a step"
        return f"{dtypes} computed in {self.coarser}{where}"

    @property
    def fix(self) -> str:
        """What to do."""
        return (
            "Compute in the dtype of input and parameters throughout: no buffer, constant, cast or "
            f"kernel of {self.coarser} comes in between."
        )


def rounding_of(evidence: Sequence[Evidence], scopes: Iterable[Scope]) -> Rounding | None:
    """The dtype of which all errors are, and the one part of calls that they are in, if any.

    Of gradients, what is multiplied is not told from what is kept: they have both.
    """
    wrong = [piece for piece in evidence if piece.telling]
    backward = any(piece.probe.backward for piece in evidence)
    if not wrong or (not backward and any(piece.wrong and not piece.telling for piece in evidence)):
        # What is off by less is none of it, but in gradients, whose bounds are wide.
        return None
    finer = tuple(dict.fromkeys(piece.probe.calls[0].dtype for piece in wrong))
    sizes = [relative(piece, piece.given) for piece in wrong if piece.given is not None]
    typical = float(np.median(sizes)) if sizes else 0.0

    def apart(coarser: Dtype) -> float:
        return abs(np.log2(typical / FORMATS[coarser].u_s)) if typical else 0.0

    # The nearest first: float16's roundings are small ones of bfloat16, too.
    for coarser in sorted((Dtype.FLOAT32, Dtype.BFLOAT16, Dtype.FLOAT16), key=apart):
        unit = FORMATS[coarser].u_s
        if not all(FORMATS[dtype].u_s < unit for dtype in finer):
            continue
        if max(sizes) > FURTHEST * unit or np.quantile(sizes, CANCELLING) > WRONG:
            continue
        if not LEAST * unit <= typical <= MEDIAN * unit:
            continue
        if not _to_both_sides(wrong, unit):
            return None
        right = [
            piece
            for piece in evidence
            if not piece.wrong and piece.probe.calls[0].dtype in finer and _shows(piece, coarser)
        ]
        least = min(sizes) >= LEAST * unit
        candidates = [(right, False)] if least else []
        if not backward:
            candidates.append(([piece for piece in right if _loses(piece, coarser)], True))
        for rest, before in candidates:
            if not rest:
                return Rounding(coarser, finer, before=before)
        # Right in some calls of that dtype: there is a part that it is confined to, or no name.
        for rest, before in candidates if len(wrong) >= SEEN else ():
            for scope in scopes:
                inside = all(_is_in(scope, piece) for piece in wrong)
                if inside and not any(_is_in(scope, piece) for piece in rest):
                    return Rounding(coarser, finer, scope, before=before)
        if FEW * len(right) <= len(wrong):
            return Rounding(coarser, finer, within=True)
    return None


def are_small(wrong: Sequence[Evidence]) -> bool:
    """Whether most errors could be those of fewer digits, of eight bits too, beside the results."""
    sizes = [relative(piece, piece.given) for piece in wrong if piece.given is not None]
    return bool(sizes) and float(np.median(sizes)) < SMALL


def _to_both_sides(wrong: Sequence[Evidence], unit: float) -> bool:
    """Whether results are too large as well as too small, as none are that are off by a factor."""
    larger: list[NDArray[np.bool_]] = []
    for piece in wrong:
        for place, right in piece.exact.arrays.items() if piece.given else ():
            got = piece.given.arrays[place] if piece.given else right
            finite = np.isfinite(right) & np.isfinite(got)
            # Less than that is the rounding of what is right.
            with np.errstate(invalid="ignore"):
                error = np.abs(got - right)
            apart = finite & (error > LEAST * unit * np.abs(right))
            larger.append(np.abs(got[apart]) > np.abs(right[apart]))
    share = float(np.concatenate(larger).mean()) if larger else 0.0
    return 0.1 < share < 0.9


def _shows(piece: Evidence, coarser: Dtype) -> bool:
    """Whether what is right would be seen to be another in fewer digits."""
    with np.errstate(all="ignore"):
        arrays = {place: rounded(array, coarser) for place, array in piece.exact.arrays.items()}
    return not piece.alike(Given(arrays, piece.exact.dtypes), piece.exact)


def _loses(piece: Evidence, coarser: Dtype) -> bool:
    """Whether the results would be seen to be others if what is multiplied had fewer digits."""
    call = piece.probe.calls[0]
    with np.errstate(all="ignore"):
        given = call.replace(
            input=rounded(call.input, coarser),
            parameters={
                name: array
                if call.config.parameters[name].role.is_bias
                else rounded(array, coarser)
                for name, array in call.parameters.items()
            },
            h_0=None if call.h_0 is None else rounded(call.h_0, coarser),
        )
        right, other = expected(call), expected(given)
        return any(
            bool((np.abs(other[name] - right[name]) > right.bounds[name]).any())
            for name in call.results
        )


def _is_in(scope: Scope, piece: Evidence) -> bool:
    """Whether something is in a scope; and if something is off, whether it is there alone."""
    parts = [scope.covers(call, n)[0] for n, call in enumerate(piece.probe.calls, 1)]
    if not any(parts) or scope.direction is None or not piece.wrong:
        return any(parts)
    call = piece.probe.calls[0]
    if call.config.num_layers > 1:
        # What one direction gives goes into both of the layer above.
        return True
    output = piece.off[0].get("output")
    if output is None:
        return "output" not in piece.off[0]
    half = call.config.output_size
    other = slice(0, half) if scope.direction else slice(half, None)
    return not output[..., other].any()


def relative(piece: Evidence, given: Given) -> float:
    """The largest error beside the largest result; infinite where shapes or NaN are others'."""
    sizes = []
    for place, right in piece.exact.arrays.items():
        got = given.arrays.get(place)
        finite = np.isfinite(right)
        if got is None or got.shape != right.shape or not np.isfinite(got[finite]).all():
            return np.inf
        size = np.abs(right[finite]).max(initial=0.0)
        error = np.abs(got[finite] - right[finite]).max(initial=0.0)
        sizes.append(float(error / size) if size else 0.0)
    return max(sizes, default=np.inf)
