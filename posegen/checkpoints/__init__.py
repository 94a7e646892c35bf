"""Trained stages on disk: write, read, and import those of published code.

When a checkpoint is written, and which are kept, is decided in `orchestration.training`.
"""
