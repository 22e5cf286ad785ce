"""``python -m rnn_conformance``."""

from rnn_conformance.cli import main

main(prog_name="rnn-conformance")
