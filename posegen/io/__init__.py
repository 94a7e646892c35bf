"""Bytes in and out: storage addresses, JSON records, pictures, video, safe pickles and tars.

A module here knows nothing of people, clips or networks. What a dataset's files mean belongs in `posegen.datasets`.
"""
