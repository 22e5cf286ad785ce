"""The catalogue of known wrong ways, as variants of the oracle.

It serves twice: a suite that lets one of them pass is blind there, and a failing result
that equals one of them is explained by it. One module a chapter; to add a deviation,
override the one method of the oracle that it takes the wrong way. Each is the oracle but
for that one thing, and each is wrong on some legal call of its kinds.
"""

from __future__ import annotations

from rnn_conformance.deviations.activations import ACTIVATIONS
from rnn_conformance.deviations.biases import BIASES
from rnn_conformance.deviations.carried_states import CARRIED
from rnn_conformance.deviations.deviation import Deviant, Deviation
from rnn_conformance.deviations.directions import DIRECTIONS
from rnn_conformance.deviations.ends import ENDS
from rnn_conformance.deviations.gate_functions import GATE_FUNCTIONS
from rnn_conformance.deviations.gates import GATES
from rnn_conformance.deviations.gradient_factors import GRADIENT_FACTORS
from rnn_conformance.deviations.gradient_flows import FLOWS
from rnn_conformance.deviations.gradient_orders import GRADIENT_ORDERS
from rnn_conformance.deviations.gradient_parts import GRADIENT_PARTS
from rnn_conformance.deviations.gradient_sites import GRADIENT_SITES
from rnn_conformance.deviations.gradients import GRADIENTS
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
from rnn_conformance.reference.derivatives import Adjoint
from rnn_conformance.spec.config import Kind

__all__ = ["CATALOGUE", "GRADIENT_DEVIATIONS", "Deviant", "Deviation", "deviations_of"]

CATALOGUE: tuple[Deviation[Deviant], ...] = (
    *GATES,
    *GRU_GATES,
    *BIASES,
    *ACTIVATIONS,
    *DIRECTIONS,
    *STATES,
    *CARRIED,
    *LAYERS,
    *LENGTHS,
    *ORDERS,
    *PROJECTIONS,
    *LAYOUTS,
    *SAMPLES,
    *NORMS,
    *PRECISIONS,
    *SPECIALS,
    *LAWS,
    *SITES,
    *GATE_FUNCTIONS,
    *ENDS,
    *PLACES,
    *TAILS,
)

GRADIENT_DEVIATIONS: tuple[Deviation[Adjoint], ...] = (
    *GRADIENTS,
    *FLOWS,
    *GRADIENT_SITES,
    *GRADIENT_PARTS,
    *GRADIENT_FACTORS,
    *GRADIENT_ORDERS,
)
"""The known wrong ways of the backward pass."""


def deviations_of(kind: Kind) -> tuple[Deviation[Deviant], ...]:
    """The deviations that apply to a kind."""
    return tuple(deviation for deviation in CATALOGUE if kind in deviation.kinds)
