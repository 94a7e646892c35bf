"""MLflow: records runs and reads them back. No other package imports it.

What is recorded is decided by the callers.
"""
