"""Bytes in and out: storage addresses, JSON records, pictures, video, safe pickles and tars.

Nothing here depends on people, clips or networks. What a dataset's files mean belongs in `posegen.datasets`.
"""
