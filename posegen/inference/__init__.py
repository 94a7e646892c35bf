"""A trained stage in; frames, motions or labels out.

Renderers turn a person and poses into frames, `behavior` turns motions into other motions, `action_classifiers` turn
motions into labels, and `hint_recolorer` gives clothes other colours. Nothing here trains or measures.
"""
