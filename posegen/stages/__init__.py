"""Everything that can be trained, by name."""

from __future__ import annotations

from posegen.stages.color_encoder import ColorEncoder
from posegen.stages.stage import Stage
from posegen.stages.video_generator import VideoGenerator

STAGES: dict[str, type[Stage]] = {stage.name: stage for stage in (ColorEncoder, VideoGenerator)}

__all__ = ["STAGES", "ColorEncoder", "Stage", "VideoGenerator"]
