"""Measures a bundle's variants on every backend: speed, cost and quality in one table."""
