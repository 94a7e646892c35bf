"""Videos, motions and pages made with trained runs.

Nothing here trains or measures.
"""
