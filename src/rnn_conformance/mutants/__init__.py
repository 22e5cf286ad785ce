"""The mutants: implementations that are wrong in one known way, for the suite to kill.

Every deviation of the oracle and of its derivative, as an opaque implementation, and classes
and functions that are wrong in what no equation says: parameters, memory, errors, lifecycle.
One module a chapter. To add a mutant, decorate a class that is mixed into ``torch.nn``'s.
"""

from __future__ import annotations

from rnn_conformance.mutants.arguments import ARGUMENTS
from rnn_conformance.mutants.autocast import AUTOCAST
from rnn_conformance.mutants.classes import CLASSES
from rnn_conformance.mutants.computed import COMPUTED
from rnn_conformance.mutants.copies import COPIES
from rnn_conformance.mutants.declarations import DECLARATIONS
from rnn_conformance.mutants.deployment import DEPLOYMENT
from rnn_conformance.mutants.determinism import DETERMINISM
from rnn_conformance.mutants.deviants import BACKWARD, FORWARD
from rnn_conformance.mutants.dropout import DROPOUT
from rnn_conformance.mutants.dtypes import DTYPES
from rnn_conformance.mutants.errors import ERRORS
from rnn_conformance.mutants.extents import EXTENTS
from rnn_conformance.mutants.functions import FUNCTIONS
from rnn_conformance.mutants.gradient_paths import PATHS
from rnn_conformance.mutants.gradients import GRADIENTS
from rnn_conformance.mutants.histories import HISTORIES
from rnn_conformance.mutants.lifecycle import LIFECYCLE
from rnn_conformance.mutants.memory import MEMORY
from rnn_conformance.mutants.mixtures import MIXTURES
from rnn_conformance.mutants.mutant import Chapter, Mutant
from rnn_conformance.mutants.parameters import PARAMETERS
from rnn_conformance.mutants.processes import PROCESSES
from rnn_conformance.mutants.replicas import REPLICAS
from rnn_conformance.mutants.second_derivatives import SECOND
from rnn_conformance.mutants.sizes import SIZES
from rnn_conformance.mutants.successions import SUCCESSIONS
from rnn_conformance.mutants.surface import SURFACE
from rnn_conformance.spec.config import Kind

__all__ = ["BACKWARD", "CATALOGUE", "FORWARD", "WRITTEN", "Chapter", "Mutant", "mutants_of"]

WRITTEN: tuple[Chapter, ...] = (
    CLASSES,
    SIZES,
    EXTENTS,
    DROPOUT,
    GRADIENTS,
    PATHS,
    SECOND,
    PARAMETERS,
    COMPUTED,
    SURFACE,
    MEMORY,
    FUNCTIONS,
    DTYPES,
    ERRORS,
    ARGUMENTS,
    MIXTURES,
    DECLARATIONS,
    LIFECYCLE,
    COPIES,
    HISTORIES,
    REPLICAS,
    SUCCESSIONS,
    DETERMINISM,
    AUTOCAST,
    PROCESSES,
    DEPLOYMENT,
)
"""The chapters of what is no deviation of an equation."""

CATALOGUE: tuple[Mutant, ...] = tuple(
    mutant for chapter in (*FORWARD, *BACKWARD, *WRITTEN) for mutant in chapter
)


def mutants_of(kind: Kind) -> tuple[Mutant, ...]:
    """The mutants that exist in a kind."""
    return tuple(mutant for mutant in CATALOGUE if kind in mutant.kinds)
