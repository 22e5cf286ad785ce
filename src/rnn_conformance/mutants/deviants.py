"""The deviations of the oracle and of its derivative, each as somebody's implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rnn_conformance.deviations import GRADIENT_DEVIATIONS, Deviation
from rnn_conformance.deviations.activations import ACTIVATIONS
from rnn_conformance.deviations.biases import BIASES
from rnn_conformance.deviations.carried_states import CARRIED
from rnn_conformance.deviations.deviation import V
from rnn_conformance.deviations.directions import DIRECTIONS
from rnn_conformance.deviations.ends import ENDS
from rnn_conformance.deviations.gate_functions import GATE_FUNCTIONS
from rnn_conformance.deviations.gates import GATES
from rnn_conformance.deviations.gru_gates import GRU_GATES
from rnn_conformance.deviations.laws import LAWS
from rnn_conformance.deviations.layers import LAYERS
from rnn_conformance.deviations.layouts import LAYOUTS
from rnn_conformance.deviations.lengths import LENGTHS
from rnn_conformance.deviations.norms import NORMS
from rnn_conformance.deviations.orders import ORDERS
from rnn_conformance.deviations.places import PLACES
from rnn_conformance.deviations.precisions import PRECISIONS
from rnn_conformance.deviations.projections import PROJECTIONS
from rnn_conformance.deviations.samples import SAMPLES
from rnn_conformance.deviations.sites import SITES
from rnn_conformance.deviations.specials import SPECIALS
from rnn_conformance.deviations.states import STATES
from rnn_conformance.deviations.tails import TAILS
from rnn_conformance.implementations.interface import Implementation
from rnn_conformance.mutants.equations import differentiated, miniature
from rnn_conformance.mutants.mutant import Chapter
from rnn_conformance.spec.config import Kind


def _chapter(
    title: str,
    deviations: Iterable[Deviation[V]],
    build: Callable[[str, Kind, type[V]], Implementation],
) -> Chapter:
    """The deviations of one chapter, each built by its name, kind and variant."""
    chapter = Chapter(title)
    for deviation in deviations:

        def make(kind: Kind, deviation: Deviation[V] = deviation) -> Implementation:
            return build(deviation.name, kind, deviation.variant)

        chapter.put(
            deviation.name,
            " ".join(deviation.breaks),
            make,
            kinds=deviation.kinds,
            needs=deviation.needs,
            source=deviation.source,
        )
    return chapter


FORWARD: tuple[Chapter, ...] = tuple(
    _chapter(title, deviations, miniature)
    for title, deviations in (
        ("Gates", [*GATES, *GRU_GATES]),
        ("Biases", BIASES),
        ("Activations", [*ACTIVATIONS, *GATE_FUNCTIONS]),
        ("Directions", DIRECTIONS),
        ("States", [*STATES, *CARRIED, *ENDS]),
        ("Layers", [*LAYERS, *PLACES]),
        ("Lengths and padding", [*LENGTHS, *ORDERS]),
        ("Projections", PROJECTIONS),
        ("Layouts", LAYOUTS),
        ("Samples and units", [*SAMPLES, *TAILS]),
        ("Normalisation", NORMS),
        ("Precision", PRECISIONS),
        ("Special values", SPECIALS),
        ("Sites", SITES),
        ("Laws", LAWS),
    )
)

BACKWARD: tuple[Chapter, ...] = (_chapter("Gradient paths", GRADIENT_DEVIATIONS, differentiated),)
