"""Real clips by a stage that was trained at another size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from posegen.evaluation.photo_motion import RealClip
from posegen.evaluation.pose_transfer_clips import transfer_frames
from posegen.features.body_pose import BodyPoses
from posegen.inference.person import Person
from posegen.perception.body_footage import BodyFootage
from posegen.synthetic.studio import RenderSettings, render_action

SIZE, NUM_FRAMES = (192, 192), 4


class CopyingRenderer:
    """Shows the person's own picture, whatever the poses."""

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.poses: list[np.ndarray] = []
        self.person: Person | None = None

    def frames(self, person: Person, poses: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        assert person.image.shape[:2] == person.mask.shape == self.size
        self.person = person
        for pose in poses:
            self.poses.append(pose)
            yield person.image


@pytest.fixture(scope="module")
def clip() -> RealClip:
    rendered = render_action("grace", "raise_arms", NUM_FRAMES, RenderSettings(size=SIZE))
    masks = np.where(rendered.masks > 127, 255, 0).astype(np.uint8)
    poses = BodyPoses.from_keypoints(rendered.keypoints.astype(np.float32))
    return RealClip("arms", rendered.images, BodyFootage(poses, masks, np.ones(NUM_FRAMES, bool)), 25.0)


@pytest.mark.parametrize(("size", "share"), [((384, 256), 0.5), ((192, 192), 0.01), ((96, 64), 0.8)])
def test_what_is_rendered_is_at_its_place_again(clip, size, share):
    renderer = CopyingRenderer(size)
    frames = transfer_frames(renderer, clip)
    source = clip.images[clip.source].astype(float)
    assert frames.shape == (len(clip.rows), *SIZE, 3) and frames.dtype == np.uint8
    beside = np.abs(frames - np.roll(source, 12, axis=1)).mean()
    assert np.abs(frames - source).mean() < share * beside


def test_poses_are_those_of_the_smaller_picture(clip):
    renderer = CopyingRenderer((96, 64))
    transfer_frames(renderer, clip)
    scale = 64 / 192
    joints = renderer.poses[0][:, :2] - [0, (96 - 64) / 2]
    known = renderer.poses[0][:, 2] > 0
    expected = clip.footage.poses.keypoints[clip.rows[0]][:, :2] * scale
    np.testing.assert_allclose(joints[known], expected[known], atol=0.5)
    mask = renderer.person.mask > 127
    assert mask[tuple(renderer.person.keypoints[1, 1::-1].round().astype(int))]  # the neck
