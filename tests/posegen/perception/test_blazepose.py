"""BlazePose: geometry, decoding, following, and real people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from posegen.io.video_reader import Footage, iterate_frames, read_video
from posegen.perception import POSE_ESTIMATORS, SEGMENTERS, Poses
from posegen.perception.blazepose import (
    Blazepose,
    BlazeposeMasks,
    BlazeposeNetworks,
    Region,
    Sighting,
    count_others,
    decode_detections,
    follow_landmarks,
    make_anchors,
    refine_landmarks,
)
from posegen.perception.person_box import person_box
from posegen.skeletons import BLAZEPOSE_33, OPENPOSE_18, joint_indices

CORE = joint_indices(["right_shoulder", "left_shoulder", "right_hip", "left_hip"])


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def test_anchors_are_the_centres_of_three_grids():
    anchors = make_anchors()
    assert anchors.shape == (2254, 2)
    np.testing.assert_allclose(anchors[:3] * 28, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]])  # x runs first
    np.testing.assert_allclose(anchors[1568] * 14, [0.5, 0.5])
    np.testing.assert_allclose(anchors[-6:] * 7, np.full((6, 2), 6.5))


def test_decoding_merges_overlapping_boxes_by_score_and_keeps_distant_ones():
    anchors = np.array([[0.25, 0.5], [0.25, 0.5], [0.75, 0.5], [0.5, 0.5]])
    raw = np.zeros((4, 12))
    raw[:, 2:4] = [56, 112]  # a quarter wide, half as high
    raw[1, 0] = 22.4  # a tenth to the right
    raw[:, 6:8] = [0, -56]  # the top of the body's circle
    people = decode_detections(raw, np.array([logit(0.9), logit(0.6), logit(0.8), logit(0.4)]), anchors)
    assert people.shape == (2, 12)
    x = (0.9 * 0.25 + 0.6 * 0.35) / 1.5
    np.testing.assert_allclose(people[0, :4], [x - 0.125, 0.25, x + 0.125, 0.75])
    np.testing.assert_allclose(people[0, 6:8], [0.25, 0.25])  # points are relative to the anchor, not the box
    np.testing.assert_allclose(people[1, :4], [0.625, 0.25, 0.875, 0.75])


def test_decoding_nobody():
    assert decode_detections(np.zeros((4, 12)), np.full(4, -9.0), np.zeros((4, 2))).shape == (0, 12)


def test_region_of_an_upright_person_is_not_turned():
    region = Region.around(np.array([50.0, 60.0]), np.array([50.0, 20.0]))
    assert (region.x, region.y, region.size, region.angle) == (50, 60, 100, 0)
    to_frame = region.to_frame(10)
    np.testing.assert_allclose(to_frame @ [4.5, 4.5, 1], [50, 60])  # the middle of ten pixels is the centre
    np.testing.assert_allclose(to_frame @ [-0.5, -0.5, 1], [0, 10])


@pytest.mark.parametrize("degrees", [0, 90, -135, 180])
def test_region_turns_the_body_upright(degrees):
    angle = np.radians(degrees)
    center = np.array([30.0, 40.0])
    top = center + 20 * np.array([np.sin(angle), -np.cos(angle)])
    to_frame = Region.around(center, top).to_frame(100)
    np.testing.assert_allclose(to_frame @ [49.5, 9.5, 1], top, atol=1e-9)  # straight up: 20 of 50 pixels


def test_refinement_moves_landmarks_to_the_heat_around_them():
    heatmaps = np.zeros((64, 64, 4))
    heatmaps[20, 12:14, :2] = 0.6
    heatmaps[20, 12, 2] = 0.4  # too cold
    points = np.array([[11.5, 19.5], [40.5, 19.5], [11.5, 19.5], [-3.0, 90.0]]) / 64
    refined = refine_landmarks(points, heatmaps)
    np.testing.assert_allclose(refined[0] * 64, [12.5, 20])
    np.testing.assert_array_equal(refined[1:], points[1:])


class ScriptedNetworks(BlazeposeNetworks):
    """People given as a list of x positions a frame, 40 pixels high; the frame's first pixel is its number."""

    def __init__(self, people: list[list[float]]):
        self.people = people
        self.num_detections = 0

    def detect(self, image: np.ndarray) -> list[Region]:
        self.num_detections += 1
        return [Region(x, 50.0, 40.0, 0.0) for x in self.people[image[0, 0, 0]]]

    def look(self, image: np.ndarray, region: Region) -> Sighting:
        near = [x for x in self.people[image[0, 0, 0]] if abs(x - region.x) < 10]
        landmarks = np.zeros((39, 3))
        landmarks[33:35, :2] = [[near[0], 50], [near[0], 34]] if near else [[0, 0], [0, 1]]
        return Sighting(landmarks, np.zeros((39, 3)), 0.9 if near else 0.1, np.zeros((256, 256), np.uint8), region)


def positions(people: list[list[float]]) -> tuple[list[float | None], int]:
    frames = np.zeros((len(people), 100, 100, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(len(people))
    networks = ScriptedNetworks(people)
    sightings = list(follow_landmarks(networks, frames))
    return [sighting and sighting.landmarks[33, 0] for sighting in sightings], networks.num_detections


def test_follows_the_central_person_without_detecting_again():
    assert positions([[10, 55], [60, 16], [22, 65], [70, 28]]) == ([55, 60, 65, 70], 1)


def test_finds_the_person_again_and_nobody_else():
    assert positions([[], [50], [95], [55]]) == ([None, 50, None, 55], 4)


@pytest.mark.parametrize(
    ("x", "size", "others"),
    [(160, 100, 1), (160, 61, 1), (160, 59, 0), (76, 100, 1), (74, 100, 0)],
    ids=["beside", "smaller", "bystander", "close", "the same"],
)
def test_others_are_apart_and_of_comparable_size(x, size, others):
    subject = Region(50, 50, 100, 0)
    assert count_others(subject, [subject, Region(x, 50, size, 0)]) == others


def test_no_face_is_seen_on_the_back_of_a_head(monkeypatch):
    """In frames of a person who has turned away, whose landmarks lie where a face would be."""
    landmarks = np.zeros((39, 3))
    landmarks[:33, 2] = 1
    for names, x, y in (
        (("shoulder", "elbow", "wrist"), 15, 40),
        (("hip", "knee", "ankle"), 10, 70),
        (("ear",), 6, 20),
    ):
        for number, name in enumerate(names):
            for side, sign in (("left", -1), ("right", 1)):  # from behind the right side is on the right
                landmarks[BLAZEPOSE_33.index(f"{side}_{name}")] = 50 + sign * x, y + 9 * number, 1
    landmarks[[BLAZEPOSE_33.index(name) for name in ("nose", "left_eye", "right_eye")]] = 50, 18, 1
    world = np.zeros((39, 3))
    world[[BLAZEPOSE_33.index(name) for name in ("nose", "left_eye", "right_eye")], 2] = 0.1  # away
    sighting = Sighting(landmarks, world, 0.9, np.zeros((256, 256), np.uint8), Region(50, 50, 90, 0))
    turned = replace(sighting, world=-world)
    monkeypatch.setattr("posegen.perception.blazepose.BlazeposeNetworks", lambda: ScriptedNetworks([[]]))
    images, rows = np.zeros((6, 120, 100, 3), np.uint8), np.arange(6)
    footage = Footage(images, rows / 25, rows.astype(np.int32), 25.0, Path("turned.mp4"), np.eye(2, 3))
    faces = []
    for one in (sighting, turned):
        monkeypatch.setattr(
            "posegen.perception.blazepose.follow_both_ways", lambda networks, images, one=one: [one] * 6
        )
        keypoints = Blazepose()(footage).keypoints
        faces.append((keypoints[:, joint_indices(["nose", "right_eye", "left_eye"]), 2] > 0).any())
        assert (keypoints[:, joint_indices(["right_ear", "left_ear"]), 2] > 0).all()
    assert faces == [False, True]


def test_tables_name_the_weights():
    assert POSE_ESTIMATORS["blazepose"].weights == ("blazepose-detector", "blazepose-landmark")
    sha256 = SEGMENTERS["selfie"].identity()["selfie"]
    assert sha256.startswith("9ee168ec")


@pytest.mark.usefixtures("real_weights")
@pytest.mark.parametrize("clip", ["person2_wave1", "person4_wave2", "person5_jack", "person0_bend"])
def test_tiny_footage(shared, clip):
    """64 × 64 pixels, feet cut off: all frames give a pose that features can be made of."""
    footage = read_video(shared / "data" / "weizmann" / f"{clip}.mp4", crop="none")
    poses = Blazepose()(footage)
    usable = (poses.keypoints[:, CORE, 2] > 0).all(axis=1)
    assert usable.mean() >= 0.9
    assert poses.keypoints.dtype == poses.scores.dtype == np.float32
    missing = poses.keypoints[..., 2] == 0
    assert not poses.keypoints[missing].any()
    assert (poses.others[::8] == 0).all() and (np.delete(poses.others, np.s_[::8]) == -1).all()
    masks = BlazeposeMasks()(footage, poses)
    height = np.array([np.ptp(np.nonzero(mask)[0]) for mask in masks])
    assert masks.shape == footage.images.shape[:3] and height.min() > 40
    assert_joints_are_on_the_person(poses, masks)


def assert_joints_are_on_the_person(poses: Poses, masks: np.ndarray) -> None:
    """Shoulders and hips lie on the mask, give or take a few pixels."""
    grown = [cv2.dilate(mask, np.ones((9, 9), np.uint8)) for mask in masks]
    on = [
        mask[round(float(y)), round(float(x))] > 0
        for mask, joints in zip(grown, poses.keypoints[:, CORE], strict=True)
        for x, y, confidence in joints
        if confidence > 0
    ]
    assert np.mean(on) > 0.95


@pytest.mark.usefixtures("real_weights")
def test_waving_hand_goes_up_and_down(shared):
    """The left arm waves (on the right of the picture, for the person faces the camera) and the other rests."""
    footage = read_video(shared / "data" / "weizmann" / "person2_wave1.mp4", crop="none")
    keypoints = Blazepose()(footage).keypoints
    left, right, shoulder = (OPENPOSE_18.index(name) for name in ("left_wrist", "right_wrist", "left_shoulder"))
    assert keypoints[:, shoulder, 0].mean() > keypoints[:, right, 0].mean()
    above = keypoints[:, shoulder, 1] - keypoints[:, left, 1]
    assert np.ptp(above) > 30 and np.ptp(keypoints[:, left, 0]) > 50
    assert np.ptp(keypoints[:, right, 1]) < 10 and np.ptp(keypoints[:, right, 0]) < 10


@pytest.mark.usefixtures("real_weights")
def test_person_box_is_around_the_subject_and_leaves_the_bystander_out(shared):
    video = shared / "data" / "videos" / "single_cam01.mp4"
    frames = [frame for number, _, frame in iterate_frames(video) if number % 20 == 0]
    box = person_box(frames)
    assert box is not None
    x0, y0, x1, y1 = box
    assert 0 <= x0 < 130 and 250 < y0 < 330  # the leg that is stretched out, the cap
    assert 850 < x1 < 1000 and 1250 < y1 < 1420
    assert person_box(np.zeros((2, 64, 64, 3), np.uint8)) is None
    assert person_box([]) is None


@pytest.mark.usefixtures("real_weights")
def test_nobody_there(make_footage):
    images = np.full((3, 96, 64, 3), 128, np.uint8)
    poses = Blazepose()(make_footage(images))
    assert not poses.keypoints.any() and not poses.scores.any() and not poses.masks.any()
    assert poses.others.tolist() == [-1, -1, -1]
    assert (images == 128).all()
