"""Modules that misbehave as they are imported."""
