"""The assertions that the tests in ``conformance/`` use.

Each compares within a derived bound and, where it fails, says which element, what it
should be, what it is, by how much it is off and how much is allowed. None has a
tolerance of its own.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from rnn_conformance.checking.comparing import compare
from rnn_conformance.checking.wording import Mismatch
from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.reference.expected import Expected, expected
from rnn_conformance.reference.tolerance import Agreement, tolerance
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.backward import Backward, Gradients
from rnn_conformance.spec.calls import Call
from rnn_conformance.spec.result import Result

Answer: TypeAlias = Result | Gradients
"""What an implementation gave: results by name, or gradients by argument."""


def expected_of(answer: Answer) -> Expected:
    """What should have come, in the arithmetic in which the implementation computes."""
    if isinstance(answer, Result):
        return expected(answer.call, tf32=answer.tf32, weights=answer.weights)
    return expected(answer.backward, tf32=answer.tf32)


def between_calls(result: Result, name: str) -> Array:
    """The tolerance of comparing two calls that must give the same: ``2 E``.

    Each of them is at most ``E`` away from the truth. ``result`` is that of the one whose
    bounds hold for both.
    """
    return 2.0 * expected_of(result).bounds[name]


def assert_shape(result: Result, name: str) -> None:
    """The result of this name has the shape that is due, in the layout of the call."""
    # The look-up is the check: whoever reads a result reads it in the right shape.
    result[name]


def assert_within_bound(
    answer: Answer, *names: str, expected: Expected | None = None, what: str = ""
) -> None:
    """The results or gradients of these names (default: all) are right, within ``E``.

    ``expected`` is what is right if the call alone does not say it; ``what`` says what was
    done.
    """
    due = expected_of(answer) if expected is None else expected
    for name in names or answer.names:
        assert_close(
            name,
            answer[name],
            due[name],
            due.bounds[name],
            calls=(answer.call,),
            what=what or _described(answer),
            backward=_backward(answer),
        )


def assert_tied_within_bound(gradients: Gradients, one: str, two: str) -> None:
    """The gradient of a parameter that is also another one is right: the sum of both.

    The sum is rounded once more, of terms no greater than the magnitudes.
    """
    due = expected_of(gradients)
    bound = due.bounds[one] + due.bounds[two]
    bound = bound + 2.0 * due.problem.format.u_s * (np.abs(due[one]) + np.abs(due[two]) + bound)
    assert_close(
        one,
        gradients[one],
        due[one] + due[two],
        bound,
        calls=(gradients.call,),
        what=f"{two} being tied to it",
        backward=gradients.backward,
    )
    others = [name for name in gradients.names if name not in (one, two)]
    assert_within_bound(gradients, *others, what=f"with {two} tied to {one}")


def assert_within_scatter(answer: Answer) -> Agreement:
    """All results or gradients are right, within what correct implementations scatter by.

    As :func:`assert_within_bound`, and closer: within ``min(E, t S)`` (see ``tolerance``).
    """
    due = expected_of(answer)
    errors, limits = {}, {}
    arrays = {name: answer[name] for name in answer.names}
    for name, array in arrays.items():
        limits[name] = tolerance(due, name)
        low_order = due.low_order.get(name)
        assert_close(
            name,
            array,
            due[name],
            limits[name],
            calls=(answer.call,),
            what=_described(answer),
            backward=_backward(answer),
            low_order=low_order,
            hard=due.bounds[name],
        )
        errors[name] = compare(array, due[name], limits[name], low_order).errors
    return Agreement.measured(answer.call, answer.quantity, due, errors, limits)


def assert_equivalent(
    first: Result, second: Result, *names: str, what: str = "", bounds_of: Result | None = None
) -> None:
    """Two calls that must give the same do, each being at most ``E`` away from the truth.

    ``bounds_of`` is the result whose bounds hold for both if the first one's do not; ``what``
    says why they must agree.
    """
    for name in names or first.names:
        assert_close(
            name,
            second[name],
            first[name],
            between_calls(bounds_of or first, name),
            calls=(first.call, second.call),
            what=what,
        )


def assert_identical(first: Result, second: Result, *names: str, what: str) -> None:
    """Two calls give the same, bit for bit."""
    for name in names or first.names:
        zero = np.zeros_like(first[name])
        calls = (first.call, second.call)
        assert_close(name, second[name], first[name], zero, calls=calls, what=what)


def assert_close(
    name: str,
    got: Array,
    expected: Array,
    bound: Array,
    *,
    calls: tuple[Call, ...],
    what: str = "",
    backward: Backward | None = None,
    low_order: Array | None = None,
    hard: Array | None = None,
) -> None:
    """``|got - expected| <= bound`` elementwise; raises ``NonConforming``.

    NaN, +Inf and -Inf are compared by class. Where the bound is infinite nothing is
    claimed. ``name`` is that of a result of the last of ``calls`` or, with a ``backward``
    pass, of the argument whose gradient it is. ``low_order`` is what is missing in
    ``expected``, being rounded to float64; ``hard`` is the bound that holds for any rounding
    at all, where ``bound`` is narrower.
    """
    comparison = compare(got, expected, bound, low_order)
    if not comparison.off.any():
        return
    gradient = backward is not None
    mismatch = Mismatch(calls[-1], name, got, expected, bound, comparison, gradient, hard)
    worst = mismatch.worst
    raise NonConforming(
        mismatch.sentence(what),
        sort=Sort.VALUE,
        calls=calls,
        array=name,
        gradient=gradient,
        index=worst,
        expected=float(expected[worst]),
        got=float(got[worst]),
        error=mismatch.distance,
        bound=float(bound[worst]),
        excerpt=mismatch.excerpt(),
        elements=mismatch.elements(),
        backward=backward,
    )


def _backward(answer: Answer) -> Backward | None:
    return answer.backward if isinstance(answer, Gradients) else None


def _described(answer: Answer) -> str:
    return answer.backward.described if isinstance(answer, Gradients) else ""
