"""What one person does, done by another: behaviour from one motion, posture and place from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from posegen.errors import MotionError
from posegen.inference.motion_to_pose import face_viewer
from posegen.motion.editing import first_frames, resample
from posegen.motion.motion import Motion
from posegen.stages.behavior_stage import BehaviorStage


@dataclass(frozen=True)
class BehaviorTransfer:
    """A transfer of behaviour, and what it is made of, all at one rate."""

    source: Motion
    """What is done."""
    posture: Motion
    """Where it begins: one frame."""
    drawn: Motion
    """What is done, from this posture on; it begins with the posture itself."""


def transfer_behavior(
    stage: BehaviorStage, source: Motion, targets: Sequence[Motion], num_frames: int = 0
) -> list[BehaviorTransfer]:
    """Let each target go on from its first frame, in its place, with the behaviour of a source.

    As published (Blattmann et al., 2021, arXiv:2103.04677), the posture itself comes first.

    Args:
        stage: Knows behaviour.
        source: Its first `Config.num_frames` frames, at the stage's rate, give the behaviour; see `require_window`.
        targets: The people who do it.
        num_frames: Frames of each motion, 2 or more; by default the posture and `Config.num_frames` more.
    """
    done = resample(source, stage.config.fps)
    num_frames = num_frames or stage.config.num_frames + 1
    codes = stage.encode([done]).expand(len(targets), -1)
    drawn = stage.generate(codes, targets, num_frames - 1, with_start=True)
    return [
        BehaviorTransfer(
            first_frames(done, num_frames),
            replace(first_frames(target, 1), fps=stage.config.fps),
            replace(motion, label=source.label, label_name=source.label_name),
        )
        for target, motion in zip(targets, drawn, strict=True)
    ]


def require_window(stage: BehaviorStage, motion: Motion, name: str) -> None:
    """Raise MotionError, naming the motion, where it is too short for its behaviour to be read as in training."""
    count = len(resample(motion, stage.config.fps))
    if count < stage.config.num_frames:
        raise MotionError(
            f"{name} has {count} frames at {stage.config.fps:g} frames per second, expected the "
            f"{stage.config.num_frames} or more of the run's window: choose a longer one"
        )


def turn_to_viewer(motion: Motion, like: Motion, fps: float, yaw: float | None = None) -> Motion:
    """Turn a motion as the viewer sees it, at a rate of frames.

    Args:
        motion: In the world of `like`.
        like: What it goes on from. Where a weak camera looked at it, it is already as that camera saw it.
        fps: Frames per second.
        yaw: Degrees by which the person is turned from the viewer, to their left where it is positive; None keeps what
            a camera saw, and lets all others face the viewer in the first frame.
    """
    if yaw is None and like.camera is not None and like.camera.kind == "weak":
        return resample(motion, fps)
    return face_viewer(motion, fps, yaw or 0.0)
