"""Measure runs, keep the figures, compare them.

Protocols and metrics are defined in `posegen.evaluation` and `posegen.metrics`.
"""
