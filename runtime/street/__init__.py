"""A procedurally drawn drive through a town: endless, labelled to the pixel, and free of any licence.

`Street(seed).render(index)` is one frame of the drive, `StreetDataset("train", size_wh)` is stills of many drives.
"""

from .classes import COLOURS, NAMES
from .dataset import StreetDataset
from .scene import Street

__all__ = ["COLOURS", "NAMES", "Street", "StreetDataset"]
