"""recursion in Python without an end"""


def deeper() -> None:
    """For ever."""
    deeper()


deeper()
