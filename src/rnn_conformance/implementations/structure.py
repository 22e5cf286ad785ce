"""The structure in which a layer hands over what it computed (SHP-4)."""

from __future__ import annotations

from typing import Any

from rnn_conformance.errors import NonConforming, Sort
from rnn_conformance.implementations.trees import describe
from rnn_conformance.spec.calls import Call


def parts_of(
    call: Call, returned: Any, *, pairs: tuple[type[Any], ...] = (tuple, list)
) -> dict[str, Any]:
    """``output``, ``h_n`` and ``c_n`` by name, as they came.

    ``pairs`` are what may hold two things. Raises ``NonConforming`` for another structure than
    ``(output, h_n)``, for LSTM ``(output, (h_n, c_n))``; a cell's is without ``output``.
    """
    kind = call.config.kind
    parts: dict[str, Any] = {}
    state = returned
    if not kind.is_cell:
        state = None
        if _is_pair(returned, pairs):
            parts["output"], state = returned
    if kind.has_cell_state:
        if _is_pair(state, pairs):
            parts["h_n"], parts["c_n"] = state
    elif state is not None and not isinstance(state, (tuple, list)):
        parts["h_n"] = state
    if set(parts) != set(call.results):
        state_due = ("(h, c)" if kind.is_cell else "(h_n, c_n)") if kind.has_cell_state else None
        due = state_due or ("h" if kind.is_cell else "h_n")
        due = due if kind.is_cell else f"(output, {due})"
        raise NonConforming(
            f"returned {describe(returned)}; {kind} returns {due} (SHP-4)",
            sort=Sort.STRUCTURE,
            calls=(call,),
        )
    return parts


def _is_pair(value: Any, pairs: tuple[type[Any], ...]) -> bool:
    # With names of its own, too; a packed sequence has four.
    return isinstance(value, pairs) and len(value) == 2
