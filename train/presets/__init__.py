"""Configurations of the trainings, and the named ones."""
