"""Measure runs, keep the scores, compare them.

Protocols and metrics are defined in `posegen.evaluation` and `posegen.metrics`.
"""
