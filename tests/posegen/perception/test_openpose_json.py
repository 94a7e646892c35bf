"""OpenPose's JSON files."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from posegen.perception.openpose_json import OpenposeJson, follow_person
from posegen.perception.pose_files import people_of_frames, read_pose_files, to_pixels
from posegen.skeletons import COCO_17, LIMBS, OPENPOSE_18, OPENPOSE_25, OPENPOSE_25B, convert_joints


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
    np.testing.assert_allclose(read_pose_files(tmp_path / "clip_000000000000_keypoints.json").people[0], person[None])


def test_body_25_loses_mid_hip_and_feet(tmp_path):
    person = body(50, 50, joints=25)
    write(tmp_path, 0, [person])
    (read,) = read_pose_files(tmp_path / "clip_000000000000_keypoints.json").people[0]
    for name in OPENPOSE_18:
        np.testing.assert_allclose(read[OPENPOSE_18.index(name)], person[OPENPOSE_25.index(name)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"people": [{"pose_keypoints_2d": [1, 2, 1]}]}', "1 joint a person, expected a body of one of"),
        ('{"people": [{"face": []}]}', "not a file of people's poses"),
        ('{"persons": []}', "not a file of people's poses: expected one of OpenPose"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "not a file of people's poses"),
        ("not json", "is damaged, or no JSON: Expecting value"),
        ('{"people": [{"pose_key', "is damaged, or no JSON: Unterminated string"),
        ("[" * 100_000, "is damaged, or no JSON: maximum recursion depth"),
        ('{"people": [{"hand_left_keypoints_2d": [1, 2, 1]}]}', "has hands or faces without a body"),
        (json.dumps({"people": [{"pose_keypoints_2d": [1, 2, 1] * 21}]}), "has the joints of a hand, expected a body"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    file = tmp_path / "a_keypoints.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_pose_files(file)


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
    for frame in (0, 1, 2, 3, 4, 5, 6):
        write(tmp_path / "clip_json", frame, [])
    with pytest.raises(ValueError, match=r"7 OpenPose files .* 0 to 6, expected one for each frame .* has 3: are they"):
        OpenposeJson()(footage)


def test_nobody_and_outside_are_missing(tmp_path, make_footage):
    write(tmp_path / "clip", 0, [])
    write(tmp_path / "clip", 1, [np.zeros((18, 3))])
    write(tmp_path / "clip", 2, [body(500, 500)])
    footage = make_footage(np.zeros((3, 64, 64, 3), np.uint8), tmp_path / "clip.mp4")
    poses = OpenposeJson()(footage)
    assert not poses.keypoints.any()
    np.testing.assert_allclose(poses.scores, [0, 0, 0.8], atol=1e-6)
    with pytest.raises(ValueError, match=r"100% of the joints lie out of the picture of 64×64, .* of another size"):
        OpenposeJson()(replace(footage, source_size=(64, 64)))


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


# ---- Order, size and layout


STANDING: dict[str, tuple[float, float]] = {
    "nose": (0, -45), "neck": (0, -35), "left_shoulder": (10, -34), "left_elbow": (14, -20), "left_wrist": (15, -8),
    "left_hip": (6, 0), "left_knee": (7, 22), "left_ankle": (7, 44), "left_eye": (2, -47), "left_ear": (5, -46),
    "mid_hip": (0, 0), "upper_neck": (0, -37), "head_top": (0, -54), "left_big_toe": (9, 48),
    "left_small_toe": (11, 48), "left_heel": (6, 47),
}  # fmt: skip


def standing(x: float, y: float, skeleton=OPENPOSE_18) -> np.ndarray:
    """A person (J, 3) of any skeleton, 100 pixels tall."""
    places = {**STANDING, **{k.replace("left", "right"): (-a, b) for k, (a, b) in STANDING.items() if "left" in k}}
    return np.array([(x + places[name][0], y + places[name][1], 0.9) for name in skeleton])


def names_of(pattern: str, count: int) -> list[str]:
    return [pattern.format(frame) for frame in range(count)]


@pytest.mark.parametrize(
    "pattern", ["frame_{}_keypoints.json", "clip7_{}_cam2_keypoints.json", "{}.json", "{:03}-pose.json"]
)
def test_numbers_order_files(tmp_path, pattern):
    for frame, name in enumerate(names_of(pattern, 12)):
        content = {"people": [{"pose_keypoints_2d": standing(100 + frame, 60).ravel().tolist()}]}
        (tmp_path / name).write_text(json.dumps(content))
    people = read_pose_files(tmp_path).people
    assert list(people) == list(range(12))
    assert [pose[0, 0, 0] for pose in people.values()] == [100 + frame for frame in range(12)]


def test_files_without_numbers_are_refused(tmp_path):
    for name in ("first", "second"):
        (tmp_path / f"{name}_keypoints.json").write_text('{"people": []}')
    with pytest.raises(ValueError, match="no number in the names orders the frames, of"):
        read_pose_files(tmp_path)


def numbered(tmp_path, numbers):
    for number in numbers:
        write(tmp_path, number, [standing(100 + number, 60)])
    return read_pose_files(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "seen", "note"),
    [
        (range(10), range(10), None),
        (range(1, 11), range(1, 11), None),
        (range(300, 310), range(300, 310), None),
        ((0, 1, 4, 5, 6, 7, 8, 9), (0, 1, None, None, 4, 5, 6, 7, 8, 9), r"no poses of 2 of 10 frames \(2, 3\)"),
        (range(1, 10), (None, *range(1, 10)), r"no poses of 1 of 10 frames \(0\)"),
        (range(8), (*range(8), None, None), "no poses of 2 of 10 frames"),
        (range(12), range(10), "has poses of 12 frames, and the video has 10: the rest is left out"),
    ],
)
def test_a_missing_number_is_a_missing_pose(tmp_path, numbers, seen, note):
    people, notes = people_of_frames(numbered(tmp_path, numbers), 10, "clip.mp4")
    assert [pose[0, 0, 0] - 100 if len(pose) else None for pose in people] == list(seen)
    assert len(notes) == (note is not None) and (note is None or re.search(note, notes[0]))


@pytest.mark.parametrize("numbers", [range(13), range(20), range(7), range(0, 40, 2), range(500, 520)])
def test_files_of_another_video_are_refused(tmp_path, numbers):
    with pytest.raises(ValueError, match=r"OpenPose files or entries, numbered .* of clip\.mp4, which has 10"):
        people_of_frames(numbered(tmp_path, numbers), 10, "clip.mp4")


SIZE = (120, 200)  # height, width


@pytest.mark.parametrize(
    ("change", "canvas", "note"),
    [
        (lambda xy: xy, None, None),
        (lambda xy: xy / (200, 120), None, "coordinates lie in 0..1: scaled to the picture, 200×120"),
        (lambda xy: 2 * xy / (200, 120) - 1, None, "coordinates lie in -1..1: scaled"),
        (lambda xy: 4 * xy, (480, 800), "poses are of a canvas of 800×480: scaled to the picture, 200×120"),
        (lambda xy: xy / 2, (60, 100), "poses are of a canvas of 100×60: scaled"),
        (lambda xy: xy / (200, 120), (480, 800), "coordinates lie in 0..1: scaled to the picture, 200×120"),
    ],
)
def test_coordinates_of_other_scales(tmp_path, change, canvas, note):
    truth = standing(80, 60)
    truth[3] = 0  # one that was not seen
    person = np.column_stack([change(truth[:, :2]), truth[:, 2]])
    person[3] = 0
    content = {"people": [{"pose_keypoints_2d": person.ravel().tolist()}]}
    if canvas:
        content |= {"canvas_height": canvas[0], "canvas_width": canvas[1]}
    (tmp_path / "a_0_keypoints.json").write_text("\ufeff" + json.dumps(content))
    files = read_pose_files(tmp_path)
    (people,), notes = to_pixels(list(files.people.values()), files, SIZE)
    np.testing.assert_allclose(people[0], truth, atol=1e-9)
    assert len(notes) == (note is not None) and (note is None or note in notes[0])


def test_a_canvas_of_another_shape_and_an_unknown_picture_are_refused(tmp_path):
    content = {"people": [{"pose_keypoints_2d": (standing(80, 60) * (0.005, 0.008, 1)).ravel().tolist()}]}
    (tmp_path / "a_0_keypoints.json").write_text(json.dumps(content))
    files = read_pose_files(tmp_path)
    with pytest.raises(ValueError, match=r"coordinates lie in 0\.\.1, and no canvas_width .*--keypoint_scale 0"):
        to_pixels(list(files.people.values()), files, None)
    write(tmp_path, 0, [standing(80, 60)])
    (tmp_path / "a_0_keypoints.json").unlink()
    files = replace(read_pose_files(tmp_path), canvas=(512, 512))
    with pytest.raises(ValueError, match=r"a canvas of 512×512 and the picture of 200×120, of another shape"):
        to_pixels(list(files.people.values()), files, SIZE)


@pytest.mark.parametrize("skeleton", [OPENPOSE_25, OPENPOSE_25B, COCO_17, (*COCO_17, "neck"), OPENPOSE_18])
def test_skeletons_are_told_by_the_body_that_they_make(tmp_path, skeleton):
    for frame in range(3):
        write(tmp_path, frame, [standing(100, 60, skeleton)])
    people = read_pose_files(tmp_path).people
    truth = convert_joints(standing(100, 60, skeleton), skeleton)
    np.testing.assert_allclose(people[1][0], truth, atol=1e-9)
    assert {name for limb in LIMBS for name in limb} <= set(OPENPOSE_18)


def coco(x: float) -> np.ndarray:
    pose = standing(x, 60, COCO_17)
    pose[4, 2] = 0.1  # a guess: not seen
    return pose


def mmpose(x: float) -> dict:
    return {"keypoints": coco(x)[:, :2].tolist(), "keypoint_scores": coco(x)[:, 2].tolist(), "bbox": [[0, 0, 9, 9]]}


def wholebody(x: float) -> dict:
    whole = np.concatenate([coco(x), np.tile([5.0, 5.0, 0.9], (116, 1))])
    return {"keypoints": whole[:, :2].tolist(), "keypoint_scores": whole[:, 2].tolist()}


def flat(pose: np.ndarray) -> list[float]:
    return pose.ravel().tolist()


WHOLE_VIDEOS = {
    "comfyui": [
        {"people": [{"pose_keypoints_2d": flat(standing(100 + f, 60)), "face_keypoints_2d": None}], "canvas_width": 200,
         "canvas_height": 120} for f in range(12)
    ],
    "alphapose": [
        {"image_id": f"{f}.jpg", "keypoints": flat(coco(100 + f)), "score": 2.1} for f in (*range(5, 12), *range(5))
    ],
    "coco-annotations": {"annotations": [{"image_id": f, "keypoints": flat(coco(100 + f))} for f in range(12)]},
    "alphapose-open": {f"{f}.png": {"people": [{"pose_keypoints_2d": flat(standing(100 + f, 60))}]} for f in range(12)},
    "alphapose-cmu": {f"{f}.png": {"bodies": [{"joints": flat(standing(100 + f, 60))}]} for f in range(12)},
    "mmpose": [{"frame_id": f, "instances": [mmpose(100 + f)]} for f in range(12)],
    "mmpose-demo": {
        "meta_info": {}, "instance_info": [{"frame_id": f, "instances": [wholebody(100 + f)]} for f in range(12)],
    },
    "mmpose-predictions": {"predictions": [[mmpose(100 + f)] if f != 3 else [] for f in range(12)]},
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE_VIDEOS)
def test_a_video_in_one_file_and_as_a_file_a_frame(tmp_path, make_footage, name):
    (tmp_path / "clip.json").write_text(json.dumps(WHOLE_VIDEOS[name]))
    footage = make_footage(np.zeros((12, 120, 200, 3), np.uint8), tmp_path / "clip.mp4")
    poses = OpenposeJson()(replace(footage, source_size=(120, 200)))
    guessed = coco(105)[:, 2] < 0.3
    seen = convert_joints(np.where(guessed[:, None], 0, coco(105)), COCO_17)
    truth = (
        seen
        if name in ("alphapose", "coco-annotations", "mmpose", "mmpose-demo", "mmpose-predictions")
        else standing(105, 60)
    )
    np.testing.assert_allclose(poses.keypoints[5, :, :2], truth[:, :2], atol=1e-4)


def test_mmposes_files_of_an_image_each(tmp_path):
    for frame in range(11):
        people = [] if frame == 3 else [mmpose(100 + frame)]
        (tmp_path / f"{frame}.json").write_text(json.dumps(people))
    people = read_pose_files(tmp_path).people
    assert [len(pose) for pose in people.values()] == [1, 1, 1, 0, *[1] * 7]
    assert people[10][0, 0, 0] == 110


def test_frames_that_alphapose_sees_nobody_in_are_not_in_its_file(tmp_path):
    (tmp_path / "clip.json").write_text(json.dumps(WHOLE_VIDEOS["alphapose"]))
    people, notes = people_of_frames(read_pose_files(tmp_path / "clip.json"), 20, "clip.mp4")
    assert [len(pose) for pose in people] == [1] * 12 + [0] * 8 and "no poses of 8 of 20 frames" in notes[0]
