"""The pytest plugin under the name that people load it by: ``-p rnn_conformance.plugin``."""

from rnn_conformance.running.pytest_plugin import (
    pytest_addoption,
    pytest_configure,
    pytest_ignore_collect,
)

__all__ = ["pytest_addoption", "pytest_configure", "pytest_ignore_collect"]
