"""``posegen data``: from archives as users download them to runs that were trained on them."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import shutil
import tarfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.data import vunet_clips
from orchestration.data.vunet_clips import IndexSettings, convert_index
from posegen.datasets.clips import ClipDataset
from posegen.datasets.motions import MotionDataset
from posegen.datasets.published.h36m_names import CAMERAS, POSES, VIDEOS, Take
from posegen.datasets.published.vunet_index import MARKET_18
from posegen.io.video_writer import write_video
from posegen.skeletons import OPENPOSE_18, joint_indices
from tests.support.command_line import run
from tests.support.h36m_files import Studio, before_camera, lens_camera, metadata, pack_bytes, world_poses

TAKES = [Take(subject, action, 1) for subject in ("S1", "S9") for action in (12, 14)]
NAMES = {Take("S1", 12, 1): "TakingPhoto 1"}  # where others have "Photo 1"


def posegen(line: str) -> None:
    cli.main(shlex.split(line))


def refused(line: str, capsys) -> str:
    """What is said of a command that ends with code 2 and one line."""
    code, _, error = run(line, capsys)
    assert code == 2 and len(error.strip().splitlines()) == 1, error
    return error


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> Path:
    """Archives of two people who take a photo and walk, before one camera."""
    folder = tmp_path_factory.mktemp("download") / "archives"
    Studio(folder).film(TAKES, names=NAMES)
    return folder


@pytest.fixture(scope="module")
def extracted(archives, tmp_path_factory) -> Path:
    """What was extracted, with metadata beside it."""
    out = tmp_path_factory.mktemp("extracted")
    posegen(f"data h36m extract {archives} {out} --subjects S1 S9 --workers 0")
    (out / "metadata.xml").write_text(metadata())
    return out


@pytest.fixture
def out(extracted, tmp_path) -> Path:
    """The same, to be changed at will."""
    return Path(shutil.copytree(extracted, tmp_path / "h36m"))


def rejected(folder: Path) -> dict[str, str]:
    return {row["source"]: row["reason"] for row in json.loads((folder / "rejected.json").read_text())}


# ---- Human3.6M


@pytest.mark.ray
def test_archives_become_runs(archives, ray_session, tmp_path, monkeypatch, capsys):
    """Extracted and processed on Ray, trained on and evaluated."""
    monkeypatch.chdir(tmp_path)
    posegen(f"data h36m extract {archives} h36m --subjects S1 S9 --workers 1")
    Path("h36m/metadata.xml").write_text(metadata())
    posegen("data h36m process h36m --size 64x64 --workers 1")
    told = capsys.readouterr().out
    assert "4 views with 160 pictures" in told and "4 motions" in told and "2 held out" in told
    narrow = "--preset tiny --num-epochs 1 --no-track --workers 0"
    posegen(f"train behavior h36m/motions {narrow} --epoch-size 16 --latent-dim 16 --num-frames 8 --name behavior")
    posegen(f"train shape_posture h36m/clips {narrow} --epoch-size 8 --name shape")
    posegen("evaluate runs/shape --swaps 0")
    scores = json.loads(Path("runs/shape/evaluation/evaluation.json").read_text())
    assert len(scores["details"]["clips"]) == 2 and 0 < scores["scores"]["ssim"]["mean"] < 1


def test_annotation_motions_and_clips_are_what_is_known_of_the_people(out, capsys):
    code, told, _ = run(f"data h36m process {out} --size 64x64 --workers 0", capsys)
    assert code == 0 and f"next: posegen train behavior {out}/motions" in told
    with h5py.File(out / "processed/all/annot_export.h5") as file:
        rows = {name: file[name][:] for name in file}
    photo = (rows["p_ids"] == 1) & (rows["action"] == 12)
    world = world_poses(Take("S1", 12, 1), 40)
    camera = lens_camera("S1", CAMERAS[0])
    np.testing.assert_allclose(rows["keypoints_3d_world"][photo], world, atol=0.01)
    np.testing.assert_allclose(rows["keypoints"][photo], camera.project(before_camera(world, camera)), atol=1e-3)
    np.testing.assert_allclose(rows["extrinsics_univ"][photo][0], camera.extrinsics, atol=1e-5)
    assert all((out / path.decode()).is_file() for path in rows["img_paths"])
    picture = cv2.imread(str(out / "processed/all/S1/TakingPhoto-1/imageSequence/54138969/img_000001.jpg"))
    assert picture.shape == (100, 96, 3)

    motions = MotionDataset(out / "motions")
    assert motions.info.actions == ["TakingPhoto", "Walking"] and motions.info.fps == 25
    assert {(entry.person, entry.split, entry.num_frames) for entry in motions.info.motions} == {
        ("S1", "train", 20),
        ("S9", "test", 20),
    }
    assert motions.read(motions.info.motions[0]).rot6d is not None

    clips = ClipDataset(out / "clips")
    assert clips.info.splits == {"train": ["S1"], "test": ["S9"]} and clips.info.size == (64, 64)
    clip = clips.find("S1/TakingPhoto").read()
    assert len(clip) == 20 and clip.info.fps == 25 and clip.frames.tolist() == list(range(0, 40, 2))
    # Every joint is on the disc that was filmed there; the ground is much brighter.
    x, y = np.rint(clip.keypoints[3, joint_indices(["right_knee", "left_wrist", "left_ankle"]), :2]).astype(int).T
    assert (clip.images[3, y, x, 0] < 120).all() and (clip.masks[3, y, x] == 255).all()
    missing = rejected(out)["S9/Eating-2/54138969"]
    assert missing == "'Eating.54138969.cdf' is missing in S9/Poses_D3_Positions_mono_universal"


def test_what_is_there_is_not_made_again_and_the_split_may_change(out, capsys):
    line = f"data h36m process {out} --size 64x64 --workers 0"
    run(line, capsys)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    before |= {path: path.stat().st_mtime_ns for path in (out / "clips" / "clips").iterdir()}
    gone = next(iter(before))
    gone.unlink()
    for extracted in (out / "extracted" / "S1" / VIDEOS).iterdir():
        extracted.rename(extracted.with_stem(extracted.stem.replace("TakingPhoto", "Photo")))  # and is still found
    run(line, capsys)
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} == {gone}
    xml = out / "metadata.xml"
    xml.write_text(xml.read_text().replace("115 114 47 50", "115 114 47 52"))  # what was filmed is elsewhere now
    ids = {clip.clip_id for clip in ClipDataset(out / "clips").clips}
    run(f"{line} --split-by action --test Walking", capsys)
    now = {clip.clip_id for clip in ClipDataset(out / "clips").clips}
    assert len(now) == 4 and not now & ids
    assert ClipDataset(out / "clips").info.splits == {"train": ["TakingPhoto"], "test": ["Walking"]}
    assert {one.info.action for one in ClipDataset(out / "clips").split("test")} == {"Walking"}
    assert "asked for were 32×32 pixels" in refused(f"data h36m process {out} --size 32x32 --workers 0", capsys)


def test_an_annotation_that_is_given_is_taken(out, tmp_path, capsys):
    """As the published one is: without poses, from pictures whose folder the README spells otherwise."""
    line = f"data h36m process {out} --size 64x64 --workers 0"
    run(line, capsys)
    published = tmp_path / "annot_export.h5"
    (out / "processed/all/annot_export.h5").rename(published)
    with h5py.File(published, "r+") as file:
        del file["world_measured"]
    for name in ("extracted", "clips", "motions", "processed/views", "processed/motions"):
        shutil.rmtree(out / name)
    for folder in out.rglob("imageSequence"):
        folder.rename(folder.with_name("ImageSequence"))
    code, told, _ = run(f"{line} --annotations {published}", capsys)
    assert code == 0 and f"annotated in {published}" in told
    assert len(ClipDataset(out / "clips").clips) == len(MotionDataset(out / "motions").info.motions) == 4
    next(out.rglob("img_000007.jpg")).unlink()
    shutil.rmtree(out / "clips")
    _, told, _ = run(f"{line} --annotations {published}", capsys)
    assert re.search(r"3 views .*; 1 left out, .*img_000007.jpg is missing, .* there is no video", told)


def test_measured_positions_need_no_metadata(tmp_path, capsys):
    Studio(tmp_path / "archives").film([Take("S9", 14, 2)], measured=True)
    out = tmp_path / "out"
    run(f"data h36m extract {tmp_path}/archives {out} --subjects S9 --workers 0", capsys)
    code, _, _ = run(f"data h36m process {out} --size 64x64 --workers 0 --test S1", capsys)
    assert code == 0
    with h5py.File(out / "processed/all/annot_export.h5") as file:
        assert file["world_measured"][:].all()
        np.testing.assert_allclose(file["keypoints_3d_world"][:], world_poses(Take("S9", 14, 2), 40), atol=0.01)
        expected = lens_camera("S9", CAMERAS[0]).extrinsics
        np.testing.assert_allclose(file["extrinsics_univ"][0], expected, atol=0.01)


def test_a_broken_view_does_not_stop_the_others(out, capsys):
    video, other = sorted((out / "extracted/S1" / VIDEOS).iterdir())
    video.write_bytes(video.read_bytes()[:3000])
    write_video(other, np.zeros((30, 100, 96, 3), np.uint8), fps=50)
    poses = next((out / "extracted/S9" / POSES).glob("Photo*"))
    poses.write_bytes(b"not a CDF file")
    corrupt = out / "extracted/S11" / POSES
    corrupt.mkdir(parents=True)
    (corrupt / "Directions.54138969.cdf").write_bytes(b"")
    code, told, _ = run(f"data h36m process {out} --size 64x64 --workers 0", capsys)
    reasons = rejected(out)
    assert code == 0 and "1 views with 40 pictures" in told
    assert "truncated" in reasons["S1/TakingPhoto-1/54138969"]
    assert "has 30 frames, its poses 40" in reasons["S1/Walking-1/54138969"]
    assert "is damaged or no CDF file" in reasons["S9/TakingPhoto-1/54138969"]
    assert reasons["S11/Directions-2/54138969"] == "its published video is damaged"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--metadata nowhere.xml", "nowhere.xml"),
        ("--fps 30", "fps must be 50 divided by a whole number, such as 25 or 10, got 30"),
        ("--test S2", "test must name some of S1, S5, S6, S7, S8, S9, S11, got S2"),
        ("--split-by action", "test must name some of Directions, .*, got S9, S11"),
        ("--annotations nowhere.h5", "no annotation at .*nowhere.h5"),
    ],
)
def test_what_cannot_be_processed_is_said_in_a_line(options, message, out, capsys):
    before = sorted(out.rglob("*"))
    assert re.search(message, refused(f"data h36m process {out} {options}", capsys))
    assert sorted(out.rglob("*")) == before


def test_cameras_must_be_known(out, capsys):
    (out / "metadata.xml").unlink()
    error = refused(f"data h36m process {out} --workers 0", capsys)
    assert "the cameras of S1 are not known: give --metadata metadata.xml" in error
    assert "nothing is extracted in" in refused(f"data h36m process {out}/extracted --workers 0", capsys)


def test_sequences_shorter_than_a_window_say_so(out, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(f"data h36m process {out} --size 64x64 --workers 0", capsys)
    error = refused(f"train behavior {out}/motions --preset tiny --name short --workers 0 --no-track", capsys)
    assert "with the 26 frames of a window" in error and "the longest has 20" in error
    assert not Path("runs/short").exists()


# ---- Archives


def test_archives_that_are_missing_are_named(archives, tmp_path, capsys):
    error = refused(f"data h36m extract {archives} {tmp_path}/out --subjects S1 S5 S9", capsys)
    assert "Poses_D3_Positions_mono_universal_S5.tgz, Videos_S5.tgz: download them" in error
    assert "no folder of archives" in refused(f"data h36m extract {tmp_path}/no {tmp_path}/out", capsys)
    assert "subjects are S1, S5" in refused(f"data h36m extract {archives} {tmp_path}/out --subjects S2", capsys)
    assert not list(tmp_path.iterdir())


def other_dataset(path: Path) -> None:
    pack_bytes(path, {"img/WOMEN/id_00000001/02_1_front.jpg": b"x"})


def link(path: Path) -> None:
    entry = tarfile.TarInfo("S9/Walking 1.54138969.mp4")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    pack_bytes(path, {"S9/Walking.54138969.mp4": b"x", "link": entry})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-900])


def somebody_else(path: Path) -> None:
    pack_bytes(path, {"S5/Videos/Walking 1.54138969.mp4": b"x"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_dataset, "expected 'Walking 1.54138969.mp4': is it of another dataset?"),
        (somebody_else, "has 'S5/Videos/Walking 1.54138969.mp4', expected"),
        (link, "a link or a device: not extracted"),
        (cut, "is cut off, damaged or no archive"),
        (lambda path: pack_bytes(path, {"../../Walking 1.54138969.mp4": b"x"}), "which leads out of its folder"),
        (lambda path: pack_bytes(path, {"/Walking 1.54138969.mp4": b"x"}), "which leads out of its folder"),
    ],
)
def test_nothing_is_written_of_archives_of_which_one_is_wrong(spoil, message, archives, tmp_path, capsys):
    copy = Path(shutil.copytree(archives, tmp_path / "archives"))
    spoil(copy / "Videos_S9.tgz")
    error = refused(f"data h36m extract {copy} {tmp_path}/out --subjects S1 S9 --workers 0", capsys)
    assert message in error and str(copy / "Videos_S9.tgz") in error
    assert not (tmp_path / "out").exists()


def test_extraction_goes_on_where_it_stopped(archives, out, capsys):
    line = f"data h36m extract {archives} {out} --subjects S1 S9 --workers 0"
    video = next((out / "extracted/S1" / VIDEOS).iterdir())
    content = video.read_bytes()
    video.write_bytes(content[:100])
    _, told, _ = run(line, capsys)
    assert "8 files of 4 archives" in told and "1 new" in told and video.read_bytes() == content
    (out / "extracted" / "archives.json").write_text("{}")
    assert "0 new" in run(line, capsys)[1]


# ---- DeepFashion and Market


def standing(names: tuple[str, ...]) -> np.ndarray:
    """Shares (18, 2) of somebody who faces the camera."""
    places = {"nose": (0.5, 0.1), "neck": (0.5, 0.2)} | {
        f"{side}_{joint}": (0.5 + sign * x, y)
        for side, sign in (("left", 1), ("right", -1))
        for joint, x, y in (
            ("shoulder", 0.15, 0.2),
            ("elbow", 0.2, 0.35),
            ("wrist", 0.2, 0.5),
            ("hip", 0.1, 0.5),
            ("knee", 0.1, 0.7),
            ("ankle", 0.1, 0.9),
            ("eye", 0.03, 0.08),
            ("ear", 0.06, 0.09),
        )
    }
    return np.array([places[name] for name in names])


def write_index(
    folder: Path, names: list[str], size: tuple[int, int], joints: tuple[str, ...], train: list[bool]
) -> np.ndarray:
    """Pictures that are dark where the left knee is, and an index of them; returns their joints."""
    folder.mkdir()
    poses = np.repeat(standing(joints)[None], len(names), axis=0)
    height, width = size
    for name in names:
        picture = np.full((*size, 3), 220, np.uint8)
        x, y = poses[0, joints.index("left_knee")] * (width, height) - 0.5
        cv2.circle(picture, (round(x), round(y)), 5, (0, 0, 0), -1)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture)
    (folder / "index.p").write_bytes(pickle.dumps({"imgs": names, "joints": poses, "train": train}))
    return poses


def test_deepfashion_becomes_clips_of_one_person_in_the_same_clothes(tmp_path, capsys):
    names = [f"img/id_0000000{item}/0{color}_{view}_x.jpg" for item in (1, 2) for color in (1, 2) for view in (1, 2)]
    names += ["img/id_00000003/01_1_x.jpg", "img/me.jpg"]
    poses = write_index(tmp_path / "fashion", names, (128, 128), OPENPOSE_18, [True] * 4 + [False] * 6)
    poses[1, OPENPOSE_18.index("left_hip")] = -1
    poses[2, OPENPOSE_18.index("left_wrist")] = -1
    index = {"imgs": names, "joints": poses, "train": [True] * 4 + [False] * 6}
    (tmp_path / "fashion" / "index.p").write_bytes(pickle.dumps(index))
    (tmp_path / "fashion" / names[5]).unlink()
    (tmp_path / "fashion" / names[6]).write_bytes(b"no picture")
    line = f"data deepfashion {tmp_path}/fashion {tmp_path}/clips --size 64x64 --workers 0"
    code, told, _ = run(line, capsys)
    assert code == 0 and "6 clips (7 pictures) of 4 people" in told
    clips = ClipDataset(tmp_path / "clips")
    assert {(clip.info.person, clip.info.action, clips.split_of(clip)) for clip in clips.clips} == {
        ("id00000001", "01", "train"),
        ("id00000001", "02", "train"),
        ("id00000002", "01", "test"),
        ("id00000002", "02", "test"),
        ("id00000003", "01", "test"),
        ("img/me", "still", "test"),
    }
    assert "1 picture without a person id, each a clip of its own" in told
    pair = clips.find("id00000001/02").read()
    assert (pair.keypoints[0, OPENPOSE_18.index("left_wrist")] == 0).all()
    x, y, seen = pair.keypoints[1, OPENPOSE_18.index("left_knee")]
    assert seen == 1 and pair.images[1, round(y), round(x)].max() < 60
    reasons = rejected(tmp_path / "clips")
    assert reasons[names[1]].startswith("no torso") and "is missing in" in reasons[names[5]]
    assert reasons[names[6]].startswith("not a picture")
    assert " 0 new" in run(line, capsys)[1]
    assert "asked for were 32×32 pixels" in refused(line.replace("64x64", "32x32"), capsys)


def test_people_are_on_one_side_of_a_split_alone(tmp_path, capsys):
    names = [f"id_0000000{item}/01_{view}_x.jpg" for item in range(6) for view in (1, 2)]
    write_index(tmp_path / "fashion", names, (64, 64), OPENPOSE_18, [True, False] * 2 + [False] * 8)
    line = f"data deepfashion {tmp_path}/fashion {tmp_path}/clips --size 64x64 --workers 0"
    _, told, _ = run(line, capsys)
    assert "4 people held out; 2 people are in both splits of the index" in told
    splits = ClipDataset(tmp_path / "clips").info.splits
    assert splits["train"] == ["id00000000", "id00000001"] and len(splits["test"]) == 4
    run(f"{line} --train-fraction 0.5", capsys)
    splits = ClipDataset(tmp_path / "clips").info.splits
    assert len(splits["train"]) == len(splits["test"]) == 3 and not set(splits["train"]) & set(splits["test"])


def test_two_indexes_share_a_dataset_and_keep_their_splits(tmp_path, capsys):
    for part, train in enumerate(([True, True, False, False], [False] * 4)):
        names = [f"id_0000000{2 * part + item}/01_{view}_x.jpg" for item in range(2) for view in (1, 2)]
        write_index(tmp_path / f"part{part}", names, (64, 64), OPENPOSE_18, train)
    for part in (0, 1, 0):
        told = run(f"data deepfashion {tmp_path}/part{part} {tmp_path}/clips --size 64x64 --workers 0", capsys)[1]
    assert "4 clips" in told and " 0 new" in told and "3 people held out" in told
    assert ClipDataset(tmp_path / "clips").info.splits == {
        "train": ["id00000000"],
        "test": ["id00000001", "id00000002", "id00000003"],
    }


def test_a_clip_that_fails_costs_its_own_pictures(tmp_path, monkeypatch):
    names = [f"img/id_0000000{item}/01_{view}_x.jpg" for item in (1, 2, 3) for view in (1, 2)]
    write_index(tmp_path / "fashion", names, (128, 128), OPENPOSE_18, [True] * 6)

    def write(folder, clip, original=vunet_clips.write_clip):
        if clip.info.person == "id00000002":
            raise OSError(5, "Input/output error")
        return original(folder, clip)

    monkeypatch.setattr(vunet_clips, "write_clip", write)
    settings = IndexSettings(size=(64, 64), workers=0)
    made = convert_index(tmp_path / "fashion", tmp_path / "clips", "deepfashion", settings)
    assert {info.person for info in made.clips} == {"id00000001", "id00000003"} and made.num_new == 2
    assert {rejection.source for rejection in made.rejections} == set(names[2:4])
    assert "Input/output error" in made.rejections[0].reason
    monkeypatch.undo()
    assert convert_index(tmp_path / "fashion", tmp_path / "clips", "deepfashion", settings).num_new == 1


def test_market_is_widened_to_squares(tmp_path, capsys):
    names = ["0002_c1s1_000451_03.jpg", "0002_c2s1_000301_01.jpg", "0007_c1s1_1.jpg", "0007_c2s1_1.jpg"]
    names += ["-1_c1s1_000401_03.jpg"]
    write_index(tmp_path / "market", names, (128, 64), MARKET_18, [True] * 2 + [False] * 3)
    code, told, _ = run(f"data market {tmp_path}/market {tmp_path}/clips --workers 0", capsys)
    assert code == 0 and "2 clips (4 pictures) of 2 people" in told and "1 person held out" in told
    clips = ClipDataset(tmp_path / "clips")
    assert clips.info.size == (128, 128) and clips.info.splits == {"train": ["0002"], "test": ["0007"]}
    clip = clips.find("0007/still").read()
    assert len(clip) == 2
    x, y, _ = clip.keypoints[0, OPENPOSE_18.index("left_knee")]
    assert 64 < x < 80 and clip.images[0, round(y), round(x)].max() < 60
    assert rejected(tmp_path / "clips") == {names[-1]: "shows no distinct person"}
    error = refused(f"data deepfashion {tmp_path}/market {tmp_path}/other --workers 0", capsys)
    assert "its pictures are called as those of market" in error and not (tmp_path / "other").exists()


def test_pictures_that_are_all_missing_are_an_error(tmp_path, capsys):
    names = ["0002_c1s1_000451_03.jpg", "0002_c2s1_000301_01.jpg"]
    write_index(tmp_path / "market", names, (64, 64), MARKET_18, [True, True])
    for name in names:
        (tmp_path / "market" / name).unlink()
    error = refused(f"data market {tmp_path}/market {tmp_path}/clips --workers 0", capsys)
    assert f"can be used: {names[0]}: is missing in" in error and not (tmp_path / "clips").exists()
