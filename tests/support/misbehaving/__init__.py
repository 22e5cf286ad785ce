"""Implementations that misbehave, each in one way: what it does is the one line in its class.

Each is right but for that, so that nothing else is found. ``catalogue`` says what a run says of
them; ``at_import`` are modules that never become implementations at all.

They are for processes of their own, that is for ``-n 1`` and more: ``-n 0`` runs them here. What
kills, kills its own process, group or parent; what deletes, deletes what it has made, or the
folder of :mod:`rnn_conformance.running.scratch` and nothing else.
"""
