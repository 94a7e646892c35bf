"""Everything that can be trained, by name."""

from __future__ import annotations

from posegen.stages.actor import Actor
from posegen.stages.behavior import Behavior
from posegen.stages.behavior_flow import BehaviorFlow
from posegen.stages.color_encoder import ColorEncoder
from posegen.stages.colorizer import Colorizer
from posegen.stages.deformable_gan import DeformableGAN
from posegen.stages.end_to_end import EndToEnd
from posegen.stages.feature_restoration import FeatureRestoration
from posegen.stages.recognition import Recognition
from posegen.stages.shape_posture import ShapePosture
from posegen.stages.stage import Stage
from posegen.stages.video_generator import VideoGenerator

_KINDS: tuple[type[Stage], ...] = (
    ColorEncoder,
    Colorizer,
    FeatureRestoration,
    VideoGenerator,
    EndToEnd,
    DeformableGAN,
    ShapePosture,
    Actor,
    Behavior,
    BehaviorFlow,
    Recognition,
)
STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in _KINDS}

__all__ = [
    "STAGES",
    "Actor",
    "Behavior",
    "BehaviorFlow",
    "ColorEncoder",
    "Colorizer",
    "DeformableGAN",
    "EndToEnd",
    "FeatureRestoration",
    "Recognition",
    "ShapePosture",
    "Stage",
    "VideoGenerator",
]
