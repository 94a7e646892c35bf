"""Datasets made on Ray Data, from videos, motion files and published archives.

What a dataset looks like on disk is defined in `posegen.datasets`.
"""
