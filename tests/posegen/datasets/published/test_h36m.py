"""Human3.6M's names, cameras and annotation: what is written is what is known of made-up people."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from posegen.datasets.published import h36m_names as h36m
from posegen.datasets.published.h36m_annotation import (
    Annotation,
    ViewRows,
    motion_of_view,
    picture_path,
    view_columns,
    write_annotation,
)
from posegen.datasets.published.h36m_cameras import calibrate, fit_extrinsics, fit_intrinsics, read_metadata
from posegen.datasets.published.h36m_names import (
    CAMERAS,
    POSES,
    VIDEOS,
    WORLD_POSES,
    CameraView,
    Take,
    belongs,
    find_name,
    names_of,
)
from posegen.datasets.published.h36m_poses import read_poses
from posegen.errors import ArchiveError
from posegen.motion.to_openpose import h36m_joints
from posegen.skeletons import H36M_17, H36M_17_INDICES
from tests.support.h36m_files import SIZE, before_camera, lens_camera, metadata, world_poses, write_cdf

WALK = Take("S9", 14, 1)
VIEW = CameraView(WALK, CAMERAS[0])


# ---- Names


@pytest.mark.parametrize(
    ("take", "name"),
    [
        (Take("S1", 2, 1), "Directions 1"),
        (Take("S1", 4, 1), "Eating 2"),
        (Take("S1", 9, 2), "Sitting 2"),
        (Take("S5", 3, 2), "Discussion 3"),
        (Take("S6", 13, 1), "Waiting 3"),
        (Take("S7", 12, 2), "Photo 1"),
        (Take("S8", 16, 2), "WalkTogether 2"),
        (Take("S9", 10, 1), "SittingDown"),
        (Take("S11", 6, 2), "Phoning 2"),
    ],
)
def test_irregular_names_are_known(take, name):
    assert names_of(take)[0] == name


def test_no_two_takes_of_a_person_have_a_name_in_common():
    for subject in h36m.H36M_SUBJECTS:
        names = [name for take in h36m.takes(subject) for name in names_of(take)]
        assert len(names) == len(set(names))


def test_names_that_are_spelled_otherwise_are_found():
    photo, dog = Take("S1", 12, 1), Take("S1", 15, 2)
    assert find_name(photo, {"TakingPhoto 1", "TakingPhoto"}) == "TakingPhoto 1"
    assert find_name(photo, {"Photo 1", "Photo"}) == "Photo 1"
    assert find_name(dog, {"WalkingDog"}) == "WalkingDog"
    assert find_name(dog, {"Walking"}) is None
    assert find_name(dog, {"Dog", "WalkDog"}, said="Dog") == "Dog"


def test_folders_are_those_of_the_published_code():
    assert str(picture_path(CameraView(Take("S1", 12, 2), CAMERAS[3]), 7)) == (
        "processed/all/S1/TakingPhoto-2/imageSequence/60457274/img_000007.jpg"
    )


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("S1/MyPoseFeatures/D3/Walking 1.54138969.cdf", POSES, True),
        ("Photo.60457274.mp4", VIDEOS, True),
        ("_ALL 1.54138969.mp4", VIDEOS, True),
        ("Walking 1.cdf", WORLD_POSES, True),
        ("Walking 1.cdf", POSES, False),
        ("S5/Walking 1.54138969.cdf", POSES, False),
        ("Walking 1.12345678.cdf", POSES, False),
        ("Walking 1.54138969.mp4", POSES, False),
        ("Dancing 1.54138969.cdf", POSES, False),
        ("img/WOMEN/id_00000001/02_1_front.jpg", VIDEOS, False),
    ],
)
def test_files_of_other_archives_are_told(name, kind, expected):
    assert belongs(name, "S1", kind) == expected


# ---- Cameras


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    """World positions (40, 32, 3)."""
    return world_poses(WALK, 40)


def test_metadata_has_the_cameras_and_the_names(tmp_path):
    path = tmp_path / "metadata.xml"
    path.write_text(metadata(names={Take("S1", 12, 1): "TakingPhoto 1"}))
    found = read_metadata(path)
    assert found.names[Take("S1", 12, 1)] == "TakingPhoto 1" and found.names[Take("S1", 4, 1)] == "Eating 2"
    for camera in CAMERAS:
        known, read = lens_camera("S9", camera), found.cameras["S9", camera]
        for name in ("rotation", "position", "focal", "center", "distortion"):
            np.testing.assert_allclose(getattr(read, name), getattr(known, name), atol=1e-8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<metadata>", "is no XML"),
        (
            "<metadata><mapping><tr><td>a</td></tr></mapping></metadata>",
            "mapping has no column of S1, S11, S5",
        ),
        (metadata().replace("<w0>[", "<w0>[x "), "w0 has not the 300 numbers"),
        (metadata().replace("<w0>[", "<w0>[1 "), "w0 has not the 300 numbers"),
    ],
)
def test_metadata_of_something_else_is_refused(text, message, tmp_path):
    (tmp_path / "metadata.xml").write_text(text)
    with pytest.raises(ArchiveError, match=message):
        read_metadata(tmp_path / "metadata.xml")


def test_world_and_pixels_follow_from_positions_and_camera(walk):
    camera = lens_camera("S9", CAMERAS[1])
    found = calibrate(before_camera(walk, camera), camera, None, None)
    np.testing.assert_allclose(found.world, walk, atol=1e-6)
    ends = np.concatenate([walk, np.ones((*walk.shape[:2], 1))], axis=-1) @ found.extrinsics.T
    np.testing.assert_allclose(ends, before_camera(walk, camera), atol=1e-6)
    np.testing.assert_allclose(found.intrinsics, [115, 47, 114, 50], atol=1.0)  # the lens bends a little


def test_intrinsics_are_found_exactly_where_there_is_no_lens(walk):
    camera = lens_camera("S9", CAMERAS[1])
    positions = before_camera(walk, camera)
    pixels = positions[..., :2] / positions[..., 2:] * camera.focal + camera.center
    np.testing.assert_allclose(fit_intrinsics(pixels, positions), [115, 47, 114, 50], atol=1e-9)


def test_measured_positions_count_before_cameras(walk):
    """A body of another size before the camera: the fitted camera holds the change."""
    camera = lens_camera("S9", CAMERAS[1])
    positions = 1.07 * before_camera(walk, camera)
    found = calibrate(positions, None, camera.project(positions), walk)
    np.testing.assert_allclose(found.world, walk)
    np.testing.assert_allclose(found.extrinsics, 1.07 * camera.extrinsics, atol=1e-6)
    with pytest.raises(ArchiveError, match="its camera is unknown"):
        calibrate(positions, None, None, walk)


def test_outliers_do_not_move_extrinsics(walk):
    camera = lens_camera("S9", CAMERAS[0])
    positions = before_camera(walk, camera)
    positions[::7] += 400
    np.testing.assert_allclose(fit_extrinsics(walk, positions), camera.extrinsics, atol=1e-6)


# ---- Poses


def test_poses_are_read_as_written(tmp_path, walk):
    write_cdf(tmp_path / "walk.cdf", walk)
    np.testing.assert_allclose(read_poses(tmp_path / "walk.cdf"), walk, atol=1e-3)


def test_poses_of_something_else_are_refused(tmp_path, walk):
    path = tmp_path / "walk.cdf"
    write_cdf(path, walk[:, :17])
    with pytest.raises(ArchiveError, match=r"Pose has shape \(1, 40, 51\), expected \(1, T, 96\)"):
        read_poses(path)
    write_cdf(path, np.where(np.arange(32)[:, None] == 3, np.nan, walk))
    with pytest.raises(ArchiveError, match="Pose has numbers that are not finite"):
        read_poses(path)
    content = path.read_bytes()
    for size in (0, 5, 200, len(content) // 2):
        path.write_bytes(content[:size])
        with pytest.raises(ArchiveError, match="is damaged or no CDF file with Pose"):
            read_poses(path)
    with pytest.raises(FileNotFoundError, match="no poses at"):
        read_poses(tmp_path / "other.cdf")


# ---- The annotation


def annotate(path: Path, world: np.ndarray, views=(VIEW,), measured: bool = True) -> Path:
    columns = []
    for view in views:
        camera = lens_camera(view.take.subject, view.camera)
        positions = before_camera(world, camera)
        found = calibrate(positions, camera, None, None)
        frames = np.arange(1, len(world) + 1)
        rows = ViewRows(found.world, found.intrinsics, found.extrinsics, SIZE, frames, measured)
        columns.append(view_columns(view, found.keypoints, positions, rows))
    write_annotation(path, columns)
    return path


def test_annotation_has_the_columns_that_published_code_reads(tmp_path, walk):
    path = annotate(tmp_path / "annot_export.h5", walk)
    camera = lens_camera("S9", CAMERAS[0])
    with h5py.File(path) as file:
        rows = {name: file[name][:] for name in file}
    assert rows["img_paths"][0] == b"processed/all/S9/Walking-1/imageSequence/54138969/img_000001.jpg"
    assert rows["img_paths"].dtype == "S256"
    np.testing.assert_allclose(rows["keypoints_3d_world"], walk, atol=1e-3)
    np.testing.assert_allclose(rows["keypoints_3d"], before_camera(walk, camera), atol=1e-3)
    np.testing.assert_allclose(rows["keypoints"], camera.project(before_camera(walk, camera)), atol=1e-4)
    np.testing.assert_allclose(rows["norm_keypoints"], rows["keypoints"] / [96, 100], rtol=1e-5)
    np.testing.assert_allclose(rows["extrinsics_univ"][3], camera.extrinsics)
    constants = ("p_ids", "action", "subaction", "camera_id")
    assert [rows[name][-1] for name in constants] == [9, 14, 1, 54138969]
    assert rows["image_size"][0].tolist() == [96, 100] and rows["f_ids"].tolist() == list(range(1, 41))
    # Published code projects by these: X_c = A X_w + t, u = fx X/Z + cx, v = fy Y/Z + cy.
    seen = rows["keypoints_3d_world"] @ rows["extrinsics_univ"][0, :, :3].T + rows["extrinsics_univ"][0, :, 3]
    fx, cx, fy, cy = rows["intrinsics_univ"][0]
    pixels = seen[..., :2] / seen[..., 2:] * (fx, fy) + (cx, cy)
    np.testing.assert_allclose(pixels, rows["keypoints"], atol=0.3)


def test_views_are_read_back_in_the_order_of_their_frames(tmp_path, walk):
    other = CameraView(Take("S1", 12, 2), CAMERAS[2])
    path = annotate(tmp_path / "annot_export.h5", walk, (VIEW, other))
    with h5py.File(path, "r+") as file:
        order = np.random.default_rng(0).permutation(len(file["f_ids"]))
        for name in file:
            file[name][:] = file[name][:][order]
        del file["world_measured"], file["norm_keypoints"]
    annotation = Annotation(path)
    assert set(annotation.views) == {VIEW, other}
    rows = annotation.read(VIEW)
    np.testing.assert_allclose(rows.world, walk, atol=1e-3)
    assert rows.frames.tolist() == list(range(1, 41)) and rows.measured and rows.size == SIZE


def test_keypoints_are_where_the_joints_are(tmp_path, walk):
    rows = Annotation(annotate(tmp_path / "annot_export.h5", walk)).read(VIEW)
    camera = lens_camera("S9", CAMERAS[0])
    pixels = camera.project(before_camera(walk, camera))[:, H36M_17_INDICES]
    keypoints = rows.keypoints()
    knee = keypoints[:, 9]
    np.testing.assert_allclose(knee[:, :2], pixels[:, H36M_17.index("right_knee")], atol=0.3)
    assert (knee[:, 2] == 1).all()


def test_motions_are_in_metres_with_y_up_and_keep_the_ground(tmp_path, walk):
    rows = Annotation(annotate(tmp_path / "annot_export.h5", walk)).read(VIEW)
    motion = motion_of_view(rows)
    expected = np.stack([walk[..., 0], walk[..., 2], -walk[..., 1]], axis=-1)[:, H36M_17_INDICES] / 1000
    found = h36m_joints(motion)
    shared = [index for index, name in enumerate(H36M_17) if name not in ("nose", "head_top")]
    np.testing.assert_allclose(found[:, shared], expected[:, shared], atol=2e-3)
    assert motion.fps == 50 and len(motion) == 40


def test_a_universal_body_is_put_on_the_floor(tmp_path, walk):
    rows = Annotation(annotate(tmp_path / "annot_export.h5", walk + np.array([0, 0, 300]), measured=False)).read(VIEW)
    assert abs(np.quantile(motion_of_view(rows).joints[:, [10, 11], 1].min(axis=1), 0.05)) < 1e-3


def drop(name):
    def change(file):
        del file[name]

    return change


def put(name, index, value):
    def change(file):
        file[name][index] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("intrinsics_univ"), "intrinsics_univ is missing: is it an annotation of Human3.6M"),
        (put("f_ids", 5, 99), "f_ids of S9/Walking-1/54138969 do not count up one by one"),
        (
            put("keypoints_3d_world", (5, 4, 1), np.nan),
            "world of S9/Walking-1/54138969 has numbers that are not finite",
        ),
        (lambda file: file["action"].resize(3, axis=0), r"action has shape \(3,\), expected \(40,\)"),
    ],
)
def test_annotations_that_do_not_fit_together_are_refused(change, message, tmp_path, walk):
    path = annotate(tmp_path / "annot_export.h5", walk)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ArchiveError, match=message):
        Annotation(path).read(VIEW)


def test_damaged_annotations_are_refused(tmp_path, walk):
    path = annotate(tmp_path / "annot_export.h5", walk)
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2):
        path.write_bytes(content[:size])
        with pytest.raises(ArchiveError, match="is damaged or no HDF5"):
            Annotation(path).read(VIEW)
    with pytest.raises(ArchiveError, match="no annotation at"):
        Annotation(tmp_path / "other.h5")
