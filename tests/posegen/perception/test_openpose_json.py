"""OpenPose's JSON files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posegen.perception.openpose_json import OpenposeJson, follow_person, read_people
from posegen.skeletons import OPENPOSE_18, OPENPOSE_25


def write(folder, frame, people, key="pose_keypoints_2d"):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"version": 1.3, "people": [{key: np.ravel(person).tolist()} for person in people]}
    (folder / f"clip_{frame:012d}_keypoints.json").write_text(json.dumps(content))


def body(x, y, size=40.0, joints=18):
    rng = np.random.default_rng(3)
    return np.column_stack([rng.uniform(-0.5, 0.5, (joints, 2)) * size + [x, y], np.full(joints, 0.8)])


@pytest.mark.parametrize("key", ["pose_keypoints_2d", "pose_keypoints"])
def test_both_generations_of_files(tmp_path, key):
    person = body(50, 50)
    write(tmp_path, 0, [person], key)
    np.testing.assert_allclose(read_people(tmp_path / "clip_000000000000_keypoints.json"), person[None])


def test_body_25_loses_mid_hip_and_feet(tmp_path):
    person = body(50, 50, joints=25)
    write(tmp_path, 0, [person])
    (read,) = read_people(tmp_path / "clip_000000000000_keypoints.json")
    for name in OPENPOSE_18:
        np.testing.assert_allclose(read[OPENPOSE_18.index(name)], person[OPENPOSE_25.index(name)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"people": [{"pose_keypoints_2d": [1, 2, 1]}]}', "1 joints a person, expected one of"),
        ('{"people": [{"face": []}]}', "not a file of OpenPose"),
        ('{"persons": []}', "not a file of OpenPose"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "not a file of OpenPose"),
        ("not json", "not a file of OpenPose"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    file = tmp_path / "a_keypoints.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_people(file)


@pytest.mark.parametrize("folder", ["clip_json", "clip"])
def test_reads_the_folder_beside_the_video_into_the_footage(tmp_path, make_footage, folder):
    for frame in range(6):
        write(tmp_path / folder, frame, [body(60 + 2 * frame, 50)])
    transform = np.array([[0.5, 0, 3], [0, 0.5, -4]])
    footage = make_footage(np.zeros((6, 64, 64, 3), np.uint8), tmp_path / "clip.mp4", transform)
    poses = OpenposeJson()(footage)
    assert poses.keypoints.shape == (6, 18, 3) and poses.keypoints.dtype == np.float32
    expected = body(64, 50)[:, :2] * 0.5 + [3, -4]
    np.testing.assert_allclose(poses.keypoints[2, :, :2], expected, atol=1e-4)  # a median of uniform motion
    np.testing.assert_allclose(poses.scores, 0.8, atol=1e-6)


def test_given_folder_and_skipped_frames(tmp_path, make_footage):
    for frame in range(14):
        write(tmp_path / "poses", frame, [body(40 + frame, 50)])
    footage = make_footage(np.zeros((7, 100, 100, 3), np.uint8), tmp_path / "elsewhere" / "clip.mp4")
    footage.indices[:] = [0, 2, 4, 6, 8, 10, 12]
    poses = OpenposeJson(tmp_path / "poses")(footage)
    np.testing.assert_allclose(poses.keypoints[3], body(46, 50), atol=1e-4)


def test_missing_and_too_few_files_are_errors(tmp_path, make_footage):
    footage = make_footage(np.zeros((3, 64, 64, 3), np.uint8), tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match=r"no OpenPose files for .*clip_json"):
        OpenposeJson()(footage)
    write(tmp_path / "clip_json", 0, [])
    with pytest.raises(ValueError, match=r"1 OpenPose files, expected one for each frame .* at least 3"):
        OpenposeJson()(footage)


def test_nobody_and_outside_are_missing(tmp_path, make_footage):
    write(tmp_path / "clip", 0, [])
    write(tmp_path / "clip", 1, [np.zeros((18, 3))])
    write(tmp_path / "clip", 2, [body(500, 500)])
    poses = OpenposeJson()(make_footage(np.zeros((3, 64, 64, 3), np.uint8), tmp_path / "clip.mp4"))
    assert not poses.keypoints.any()
    np.testing.assert_allclose(poses.scores, [0, 0, 0.8], atol=1e-6)


def test_follows_one_person_whatever_the_order_and_whoever_is_larger_later():
    subject = [body(50 + frame, 50, 40) for frame in range(5)]
    bystander = [body(90, 20, 30 + 10 * frame) for frame in range(5)]
    people = [
        np.stack([a, b] if frame % 2 else [b, a]) for frame, (a, b) in enumerate(zip(subject, bystander, strict=True))
    ]
    np.testing.assert_allclose(follow_person(people, 100, 100), np.stack(subject))


def test_does_not_jump_to_somebody_far_away():
    people = [body(30, 50, 20)[None], body(90, 50, 20)[None], body(32, 50, 20)[None]]
    followed = follow_person(people, 100, 100)
    assert not followed[1].any()
    np.testing.assert_allclose(followed[2], people[2][0])
