"""What the server loads from which the processes of implementations are forked."""

import rnn_conformance.diagnosis.diagnosis
import rnn_conformance.mutants
import rnn_conformance.running.session
from rnn_conformance.checking.checks import checks

checks()
