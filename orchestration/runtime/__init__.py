"""Ray as this project uses it: the session, mapping over rows, process groups, workers, progress.

Nothing here depends on a stage, a dataset or MLflow.
"""
