"""The eight classes into which a picture of a person is parsed, in one place."""

from __future__ import annotations

from enum import IntEnum


class PersonClass(IntEnum):
    """Classes of a picture's pixels; the value is the pixel's label."""

    BACKGROUND = 0
    HAIR = 1
    SKIN = 2
    """Face, neck, arms, hands, legs and feet where they are bare."""
    UPPER = 3
    """The upper garment with what is worn over it: shirt, jacket, coat."""
    LOWER = 4
    """The lower garment: trousers, skirt, leggings."""
    ONE_PIECE = 5
    """A garment that covers trunk and legs: dress, overall. It belongs to both garments of a colour request."""
    SHOES = 6
    """Footwear: shoes and boots with socks and stockings."""
    CARRIED = 7
    """Objects carried or worn beside clothes: bag, hat, glasses, belt, scarf, jewellery."""


CLASS_COLORS: dict[PersonClass, tuple[int, int, int]] = {
    PersonClass.BACKGROUND: (0, 0, 0),
    PersonClass.HAIR: (150, 90, 20),
    PersonClass.SKIN: (255, 190, 150),
    PersonClass.UPPER: (50, 110, 240),
    PersonClass.LOWER: (40, 190, 90),
    PersonClass.ONE_PIECE: (190, 60, 220),
    PersonClass.SHOES: (250, 220, 50),
    PersonClass.CARRIED: (240, 60, 50),
}
"""RGB in which pictures for people show each class."""
