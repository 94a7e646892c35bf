"""Hyperparameter search with Ray Tune and Optuna: a trial is a recipe with fields replaced.

Spaces are declared in `search_spaces`; training a run is done in `orchestration.training`.
"""
