"""One run of a stage: preflight checks, the training loop, resuming, checkpoints, validation; recipes of several runs.

Mathematics belongs to the stage; searching over runs is done in `orchestration.search`.
"""
