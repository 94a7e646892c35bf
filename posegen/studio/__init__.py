"""The built-in studio: thirteen rendered people, sixteen synchronised actions, and the truth about every frame."""

from posegen.studio.actions import ACTIONS
from posegen.studio.people import PEOPLE
from posegen.studio.render import StudioClip, render_clip

__all__ = ["ACTIONS", "PEOPLE", "StudioClip", "render_clip"]
