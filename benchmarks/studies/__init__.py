"""Measurements behind decisions, each a script of its own."""
