"""Data that needs no recording: the rendered studio and procedural motions.

Nothing here reads files or needs weights.
"""
