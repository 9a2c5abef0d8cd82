"""How good generated pictures are: distances of features, precision and recall, nearest neighbours. No torch."""

SHIPPED = "cifar-features"
"""The extractor that is taken where none is named."""
