"""What holds for every test here: the same examples each time, none kept between runs."""

import hypothesis

hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    database=None,
    # A machine with other work draws slowly; that says nothing of the code.
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")
