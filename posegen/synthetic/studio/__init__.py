"""The built-in studio: thirteen rendered people, sixteen synchronised actions, and the truth about every frame."""

from posegen.synthetic.studio.actions import ACTIONS
from posegen.synthetic.studio.ground_truth import Truth, read_truth, truth_path, write_studio_clip
from posegen.synthetic.studio.people import PEOPLE
from posegen.synthetic.studio.render import StudioClip, render_clip

__all__ = ["ACTIONS", "PEOPLE", "StudioClip", "Truth", "read_truth", "render_clip", "truth_path", "write_studio_clip"]
