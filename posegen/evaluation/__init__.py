"""Evaluation protocols: what is generated, which metrics are taken of it, and what their figures mean.

The metrics themselves are in `posegen.metrics`; keeping and comparing results is done in `orchestration.evaluation`.
"""
