"""The built-in studio: thirteen rendered people who do any motion, and the truth about every frame."""

from posegen.synthetic.studio.ground_truth import Truth, read_truth, truth_path, write_studio_clip
from posegen.synthetic.studio.pairs import StudioPair, render_pair, vary_person
from posegen.synthetic.studio.people import PEOPLE
from posegen.synthetic.studio.render import RenderSettings, StudioClip, render_action, render_clip, require_size

__all__ = [
    "PEOPLE", "RenderSettings", "StudioClip", "StudioPair", "Truth", "read_truth", "render_action", "render_clip",
    "render_pair", "require_size", "truth_path", "vary_person", "write_studio_clip",
]  # fmt: skip
