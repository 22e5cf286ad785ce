"""What holds for every test here: the same examples each time, none kept between runs."""

from __future__ import annotations

import os

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    database=None,
    # A machine with other work draws slowly; that says nothing of the code.
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")

# A run in a test remembers nothing of another's, unless it says so.
os.environ["RNN_CONFORMANCE_STORE"] = "none"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-kind",
        action="store_true",
        help="try each known defect in each kind that has it, not in one (twice the time)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("every_kind"):
        return
    others = [item for item in items if item.get_closest_marker("another_kind")]
    config.hook.pytest_deselected(items=others)
    left_out = set(others)
    items[:] = [item for item in items if item not in left_out]
