"""Trainable stages: configuration, networks, losses, evaluation and preview of each.

A stage in a file of its own, imported below, is known everywhere by its name. Loading trained stages belongs in
`posegen.checkpoints`, generating with them in `posegen.inference`.
"""

from __future__ import annotations

from posegen.stages.actor import Actor
from posegen.stages.behavior import Behavior
from posegen.stages.behavior_flow import BehaviorFlow
from posegen.stages.color_encoder import ColorEncoder
from posegen.stages.colorizer import Colorizer
from posegen.stages.deformable_gan import DeformableGAN
from posegen.stages.end_to_end import EndToEnd
from posegen.stages.feature_restoration import FeatureRestoration
from posegen.stages.motion_diffusion import MotionDiffusion
from posegen.stages.motion_generator import MotionGenerator
from posegen.stages.person_parser import PersonParser
from posegen.stages.recognition import Recognition
from posegen.stages.refiner import Refiner
from posegen.stages.shape_posture import ShapePosture
from posegen.stages.stage import STAGES, Stage
from posegen.stages.video_generator import VideoGenerator

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
    "MotionDiffusion",
    "MotionGenerator",
    "PersonParser",
    "Recognition",
    "Refiner",
    "ShapePosture",
    "Stage",
    "VideoGenerator",
]
