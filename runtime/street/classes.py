"""The eight classes of the street and the colours they are shown in."""

SKY, BUILDING, ROAD, PAVEMENT, VEGETATION, CAR, PERSON, SIGN = range(8)

NAMES: tuple[str, ...] = ("sky", "building", "road", "pavement", "vegetation", "car", "person", "sign")
"""One name a class id; pavement takes in kerbs, vegetation lawns and hedges, sign lamps, boards and poles."""

COLOURS: tuple[tuple[int, int, int], ...] = (
    (118, 190, 232),
    (150, 120, 110),
    (92, 84, 128),
    (232, 150, 190),
    (96, 168, 72),
    (40, 96, 220),
    (228, 48, 64),
    (250, 206, 62),
)
"""One RGB colour a class id, in the order of `NAMES`."""
