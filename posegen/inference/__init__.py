"""A trained stage in; frames, motions or labels out.

Modules here train nothing and measure nothing.
"""
