"""Datasets on disk: of clips, of motions, of labelled photos and of pairs of pictures.

`motion_formats` reads motion files of other programs, `published` the layouts of Human3.6M, DeepFashion and Market.
Building a dataset on a cluster belongs in `orchestration.data`.
"""
