"""Pretrained weights: where they come from, how they are fetched, verified and read.

The networks that take the weights are in `posegen.networks`, checkpoints of trained stages in `posegen.checkpoints`.
"""
