"""Poses of videos, OpenPose's folders and motions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posegen.features.body_pose import BodyPoses
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.movements import open_poses
from posegen.io.video_writer import VideoWriter
from posegen.motion.cameras import front_camera
from posegen.motion.to_openpose import project_motion
from posegen.skeletons import OPENPOSE_18, joint_indices
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)
WAVE = face_viewer(perform("wave", make_subject(0), frames=12))
KEYPOINTS = project_motion(WAVE, front_camera(WAVE.joints, SIZE))
PERSON = BodyPoses.from_keypoints(KEYPOINTS[0])


def test_a_motion_file_is_given_by_another_option(tmp_path):
    with pytest.raises(ValueError, match=r"kick\.npz is a motion: give it with --motion$"):
        open_poses(tmp_path / "kick.npz")
    with pytest.raises(ValueError, match=r"has no files of OpenPose, expected \*_keypoints.json$"):
        open_poses(tmp_path, fps=25.0)


def test_openposes_files_drive_a_person(tmp_path):
    for frame, pose in enumerate(3 * KEYPOINTS):
        people = [] if frame == 5 else [{"pose_keypoints_2d": (pose / (1, 1, 3)).ravel().tolist()}]
        (tmp_path / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps({"people": people}))
    with pytest.raises(ValueError, match=r"say no frame rate, say the video's frames per second \(--fps\)$"):
        open_poses(tmp_path)
    source = open_poses(tmp_path, fps=25.0)
    fitted = source.fit(PERSON, SIZE)
    assert fitted.keypoints.shape == (12, 18, 3) and np.ptp(fitted.keypoints[..., 1]) < 96


def test_openposes_files_of_nobody(tmp_path):
    (tmp_path / "a_keypoints.json").write_text('{"people": []}')
    with pytest.raises(ValueError, match="no person is found in"):
        open_poses(tmp_path, fps=25.0)


def write_frames(path, frames):
    with VideoWriter(path, fps=25.0) as writer:
        for frame in frames:
            writer.write(frame)


def test_a_video_drives_a_person(tmp_path, networks, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    take = render_action("grace", "wave_one_hand", 10, RenderSettings(size=(384, 256)))
    images = list(take.images)
    images[4] = np.full_like(images[4], 127)  # nobody: filled in
    write_frames(tmp_path / "x.mp4", images)
    source = open_poses(tmp_path / "x.mp4")
    assert source.fps == pytest.approx(25) and len(source.source) == 10
    off = np.linalg.norm(source.source.keypoints[..., :2] - take.keypoints[..., :2], axis=-1)
    body = joint_indices([name for name in OPENPOSE_18 if "eye" not in name and "ear" not in name])
    assert np.median(off[:, body]) < 10 and np.isfinite(source.source.depths).all()
    assert (source.source.toes[..., 2] > 0).all()
    assert source.fit(PERSON, SIZE).keypoints.shape == (10, 18, 3)


def test_a_video_of_nobody_is_one_line(tmp_path, networks, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_frames(tmp_path / "x.mp4", [np.full((96, 64, 3), 127, np.uint8)] * 3)
    with pytest.raises(ValueError, match=r"^no person is found in .*x\.mp4$"):
        open_poses(tmp_path / "x.mp4")
    (tmp_path / "y.mp4").write_text("no video")
    with pytest.raises(ValueError, match="not a video"):
        open_poses(tmp_path / "y.mp4")
