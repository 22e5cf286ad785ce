"""The engine's own tests, and the measure of what the checks see; shared parts in ``support``."""
