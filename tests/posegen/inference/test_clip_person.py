"""A person from several frames of a clip."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.features.body_bones import swap_sides
from posegen.features.body_pose import BodyPoses
from posegen.inference.clip_person import ClipPerson, choose_views
from posegen.person_classes import PersonClass
from tests.support.drawn_person import DrawnPerson, draw_person, make_pose

FRONT, BACK = (200, 30, 40), (40, 160, 60)
ARM_UP = {"left_elbow": (92, 30), "left_wrist": (98, 12)}


def stacked(poses: list[BodyPoses]) -> BodyPoses:
    return BodyPoses(*(np.stack([getattr(pose, name) for pose in poses]) for name in ("keypoints", "depths", "toes")))


def from_behind() -> DrawnPerson:
    """The same person with a green back."""
    front = draw_person()
    image = front.image.copy()
    image[front.labels == PersonClass.UPPER] = BACK
    return front._replace(image=image, pose=swap_sides(front.pose))


@pytest.fixture(scope="module")
def turning():
    front = draw_person()
    return ClipPerson([front.layered(), from_behind().layered()], front.background)


def show(person: ClipPerson, pose: BodyPoses) -> np.ndarray:
    """A single frame."""
    return person.frame(pose, next(person.choose_views(stacked([pose]))))


def trunk_color(frame: np.ndarray) -> tuple[int, ...]:
    return tuple(np.median(frame[55:85, 58:71].reshape(-1, 3), axis=0).astype(int))


def test_the_back_is_shown_for_the_back(turning):
    assert trunk_color(show(turning, make_pose(ARM_UP))) == FRONT
    assert trunk_color(show(turning, swap_sides(make_pose(ARM_UP)))) == BACK


def test_each_arm_is_drawn_once(turning):
    """From behind, a front view lends its arms to the other sides."""
    mixed = show(turning, swap_sides(make_pose()))
    skin = (np.abs(mixed.astype(int) - (230, 190, 160)) < 20).all(axis=-1)
    assert skin[70:86, 16:30].sum() > 30 and skin[70:86, 98:112].sum() > 30


def test_a_view_stays_where_another_is_hardly_better():
    first = draw_person()
    second = first._replace(pose=make_pose({"left_wrist": (107, 76)}))
    person = ClipPerson([first.layered(), second.layered()], first.background)
    poses = stacked([make_pose({"left_wrist": (106 + shift, 76)}) for shift in (0.0, 1.0, 0.0, 1.2)])
    assert len({tuple(views) for views in person.choose_views(poses)}) == 1


def test_views_are_chosen_after_frames_without_a_trunk(turning):
    """A frame of nobody shows the background, and settles no view."""
    empty = BodyPoses.from_keypoints(np.zeros((18, 3), np.float32))
    behind = swap_sides(make_pose())
    chosen = list(turning.choose_views(stacked([empty, behind, empty, behind])))
    assert chosen[1] == chosen[2] == chosen[3] and set(chosen[1]) == {1}
    assert (turning.frame(empty, chosen[0]) == turning.background).all()


def test_views_differ_and_the_first_usable_frame_leads():
    empty = BodyPoses.from_keypoints(np.zeros((18, 3), np.float32))
    poses = stacked(
        [empty, make_pose(), make_pose({"left_wrist": (107, 76)}), make_pose(ARM_UP), swap_sides(make_pose())]
    )
    assert choose_views(poses, 3) == [1, 4, 3]
    assert choose_views(stacked([empty, empty])) == []
    assert choose_views(stacked([make_pose(), make_pose()])) == [0]
