"""The pytest plugin under the name that people load it by: ``-p rnn_conformance.plugin``."""

from rnn_conformance.running.pytest_plugin import *  # noqa: F403  (pytest finds hooks by name)
