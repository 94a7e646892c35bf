"""What a person parser tells apart in a photo of a person."""

from __future__ import annotations

from enum import IntEnum


class PersonClass(IntEnum):
    """Labels of pixels, from 0 on."""

    BACKGROUND = 0
    HAIR = 1
    SKIN = 2
    """Face, neck, arms, hands, legs, bare feet."""
    UPPER = 3
    """The upper garment: shirts, jackets, coats."""
    LOWER = 4
    """The lower garment: trousers, skirts, shorts, tights."""
    ONE_PIECE = 5
    """Dresses and overalls."""
    SHOES = 6
    """With socks."""
    CARRIED = 7
    """What is carried or worn beside clothes: bags, hats, glasses, belts, jewellery."""
