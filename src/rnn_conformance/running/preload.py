"""What the server loads from which the processes of implementations are forked."""

from rnn_conformance.checking.checks import checks

checks()
