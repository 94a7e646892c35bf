"""Evaluation protocols: what is generated, which metrics are computed on it, and how their values are read.

The metrics are functions in `posegen.metrics`; records on disk and comparisons of runs are in
`orchestration.evaluation`.
"""
