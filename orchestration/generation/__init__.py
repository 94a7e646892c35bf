"""Videos, motions, plots and pages made with trained runs: what a verb's function is given is looked up by name here.

Nothing here trains or measures.
"""
