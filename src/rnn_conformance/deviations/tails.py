"""What is left over where a loop takes several at a time: units, features, steps (EQ-5, EQ-7).

Each is left out of one product, or of the result; and what is done in pieces begins each of them
anew.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnn_conformance.deviations.deviation import EQUATIONS, LSTMS, Chapter, Deviant
from rnn_conformance.reference.oracle import Weights
from rnn_conformance.spec.arrays import Array
from rnn_conformance.spec.clauses import LAYERS
from rnn_conformance.spec.config import Config

TAILS = Chapter[Deviant]()

BLOCKS = Chapter[Deviant]()
"""The same of larger blocks, which only show in larger sizes than are drawn by default."""

WIDTHS = (2, 4, 8, 16)
"""How many vector instructions and unrolled loops take at a time."""

BLOCK_WIDTHS = (32, 64, 128)
"""How many blocks of a matrix take at a time."""


def _whole(size: int, width: int) -> int:
    """How many are taken; all where they are fewer than one time's."""
    return size // width * width if size > width else size


def _of_units(width: int) -> type[Deviant]:
    class OfUnits(Deviant):
        def state_side(self, weights: Weights, h: Array) -> Array:
            taken = _whole(h.shape[1], width)
            return h[:, :taken] @ weights.w_hh[:, :taken].T + weights.b_hh

    return OfUnits


def _of_features(width: int) -> type[Deviant]:
    class OfFeatures(Deviant):
        def input_side(self, weights: Weights, x: Array) -> Array:
            taken = _whole(x.shape[-1], width)
            return x[..., :taken] @ weights.w_ih[:, :taken].T + weights.b_ih

    return OfFeatures


def _of_results(width: int, left: Callable[[Array, Array], Array]) -> type[Deviant]:
    """The units left over keep what ``left`` makes of the old state and the new one."""

    class OfResults(Deviant):
        def step(
            self, config: Config, weights: Weights, zx: Array, h: Array, c: Array
        ) -> tuple[Array, Array, Array, Array]:
            zh, gates, new_h, new_c = super().step(config, weights, zx, h, c)
            taken = np.arange(h.shape[1]) < _whole(h.shape[1], width)
            return zh, gates, np.where(taken, new_h, left(h, new_h)), new_c

    return OfResults


LEFT: dict[str, Callable[[Array, Array], Array]] = {
    "left at zero": lambda old, new: np.zeros_like(old),
    "not updated": lambda old, new: old,
}

for width in (*WIDTHS, *BLOCK_WIDTHS):
    chapter = TAILS if width in WIDTHS else BLOCKS
    chapter.add(
        f"the units past a multiple of {width} not recurring",
        EQUATIONS + " EQ-5 EQ-7",
        fix=f"Sum W_hh h over all units of h: where a loop takes {width} at a time, some are left "
        "over at the end.",
    )(_of_units(width))
    chapter.add(
        f"the input features past a multiple of {width} left out",
        EQUATIONS + " EQ-5 EQ-7",
        fix=f"Sum W_ih x over all input features: where a loop takes {width} at a time, some are "
        "left over at the end.",
    )(_of_features(width))
    for words, left in LEFT.items():
        chapter.add(
            f"the units past a multiple of {width} {words}",
            EQUATIONS + " EQ-5 EQ-7",
            fix=f"Compute all H units: where a loop takes {width} at a time, some are left over at "
            "the end and need a step of their own.",
        )(_of_results(width, left))


def in_pieces(every: int, states: frozenset[str], *, initial: bool) -> type[Deviant]:
    """An oracle whose states begin anew after so many steps: at zero, or as the call began."""

    class InPieces(Deviant):
        def recur(
            self,
            config: Config,
            weights: Weights,
            zx: Array,
            h: Array,
            c: Array,
            steps: NDArray[np.bool_],
        ) -> tuple[Array, Array, Array, Array]:
            begun_h, begun_c = (h, c) if initial else (0.0 * h, 0.0 * c)
            pieces = []
            for start in range(0, len(zx), every):
                if start:
                    h = begun_h if "h" in states else h
                    c = begun_c if "c" in states else c
                piece = slice(start, start + every)
                pieces.append(super().recur(config, weights, zx[piece], h, c, steps[piece]))
                h, c = pieces[-1][2][-1], pieces[-1][3][-1]
            zh, gates = (np.concatenate([piece[n] for piece in pieces]) for n in (0, 1))
            hs, cs = (
                np.concatenate([pieces[0][n], *(piece[n][1:] for piece in pieces[1:])])
                for n in (2, 3)
            )
            return zh, gates, hs, cs

    return InPieces


PIECES = (4, 8, 10, 16)
"""Steps that are done at a time: powers of two, and round numbers."""

for every in PIECES:
    for initial, anew in ((False, "zero"), (True, "the initial state")):
        for states, what, kinds in (
            ("hc", "the state", LAYERS),
            ("h", "h, not c,", LAYERS & LSTMS),
            ("c", "c, not h,", LAYERS & LSTMS),
        ):
            if (every, initial, states) == (16, True, "hc"):
                # In the chapter of carried states, where it was met.
                continue
            TAILS.add(
                f"{what} begun anew from {anew} every {every} steps",
                "STA-2 EQ-6 EQ-7",
                fix=f"Carry the state on through all steps: where a sequence is done in pieces of "
                f"{every}, each goes on from the end of the one before.",
                kinds=kinds,
            )(in_pieces(every, frozenset(states), initial=initial))
