"""Adaptive scoring: full scores where they decide who is selected, predictions elsewhere."""
