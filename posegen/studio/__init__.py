"""The built-in studio: thirteen rendered people, sixteen synchronised actions, and the truth about every frame."""

from posegen.studio.actions import ACTIONS
from posegen.studio.people import PEOPLE
from posegen.studio.render import StudioClip, render_clip
from posegen.studio.truth import Truth, read_truth, truth_path, write_clip

__all__ = ["ACTIONS", "PEOPLE", "StudioClip", "Truth", "read_truth", "render_clip", "truth_path", "write_clip"]
