"""Colour: CIELAB, palettes, garments in a picture and how to give them another colour (Yang et al., 2020, §3.1)."""
