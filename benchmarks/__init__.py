"""How fast the suite is, and how strong: run from the root of a checkout, with ``python -m``."""
