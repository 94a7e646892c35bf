"""Ray, MLflow and Optuna around the method, a room for each phase of the data's way, and the command line.

No mathematics here: it belongs to `posegen`, which never imports this package.
"""
