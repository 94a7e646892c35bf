"""`posegen transfer` and `posegen behavior` with a behaviour net, and renderers, of a few steps."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from orchestration.cli import main as cli
from orchestration.generation.behavior import (
    InterpolationSettings,
    LengthSettings,
    interpolate_behavior,
    sample_behavior,
)
from orchestration.generation.output import OutputSettings
from orchestration.generation.transfer import Transferred, TransferSettings, transfer
from orchestration.training.runs import load_behavior
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.checkpoints.run_record import RunRecord, save_record
from posegen.datasets.clips import ClipDataset
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.person import person_of_clip
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.renderers import load_renderer
from posegen.inference.requested_codes import ColorSettings
from posegen.io.images import write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_image, read_video
from posegen.io.video_writer import write_video
from posegen.motion.editing import Placement, place
from posegen.motion.motion import read_motion, write_motion
from posegen.motion.to_openpose import h36m_joints
from posegen.perception.lifting import lift_clip
from posegen.samples import EpochLoader
from posegen.stages import Behavior, BehaviorFlow, ShapePosture, Stage
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, render_action

STEPS = 20
WINDOW = 12


def train_a_little(stage: type[Stage], config: Stage.Config, data, folder, initialize=None) -> str:
    """A run of some steps."""
    config = stage.adapt(config, data)
    torch.manual_seed(0)
    trained = stage(config)
    if initialize:
        trained.initialize(initialize)
    samples = stage.open_samples(config, data, "train" if data.has("train") else "test")
    trained.begin(samples)
    for batch in EpochLoader(samples, config.batch_size).epoch(0):
        trained.step(batch)
    progress = TrainingProgress(epoch=1, step=STEPS, data_fingerprint=data.fingerprint, size=data.frame_size)
    save_checkpoint(StorageFolder(folder) / "checkpoints" / "000001", trained, progress)
    save_record(StorageFolder(folder), RunRecord.of(config, str(data.folder), data.fingerprint))
    return str(folder)


@pytest.fixture(scope="module")
def behavior_run(corpus, tmp_path_factory) -> str:
    """A run of the stage behavior on the procedural corpus."""
    config = replace(
        Behavior.presets["tiny"], num_frames=WINDOW, batch_size=8, epoch_size=8 * STEPS, latent_dim=32, lr=3e-3
    )
    return train_a_little(Behavior, config, corpus, tmp_path_factory.mktemp("behavior"))


@pytest.fixture(scope="module")
def flow_run(behavior_run, corpus, tmp_path_factory) -> str:
    """A run of the stage behavior_flow, of the codes of that one."""
    behavior = load_behavior(behavior_run)
    shared = {name: getattr(behavior.config, name) for name in ("num_frames", "latent_dim", "fps", "canonical")}
    config = replace(BehaviorFlow.presets["tiny"], behavior=behavior_run, epoch_size=16, batch_size=8, **shared)
    folder = tmp_path_factory.mktemp("flow")
    return train_a_little(BehaviorFlow, config, corpus, folder, initialize=load_behavior)


@pytest.fixture(scope="module")
def shape_run(two_people, tmp_path_factory) -> str:
    """A run of the stage shape_posture on two people of 96×64 pixels."""
    config = replace(ShapePosture.presets["tiny"], width=4, max_width=8, epoch_size=8, lambda_regressor=0.0)
    data = ClipDataset(two_people)
    return train_a_little(ShapePosture, config, data, tmp_path_factory.mktemp("shape"))


def settings_for(behavior="s0/wave", posture=("s1/walk",), **more) -> TransferSettings:
    return TransferSettings(behavior=behavior, posture=posture, **more)


def run_transfer(run, out, settings, **more) -> Transferred:
    return transfer(run, settings, OutputSettings(out=out), **more)


def frames_of(path):
    return read_video(path, size=None).images.astype(int)


def test_without_a_renderer_stick_figures_are_rendered(behavior_run, corpus, tmp_path):
    made = run_transfer(behavior_run, tmp_path / "x.mp4", settings_for())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "x.npz", "x.sheet.png"]
    frames = frames_of(made.rendered.videos[0])
    assert frames.shape == (WINDOW + 1, 278, 3 * 256, 3)
    assert (frames[0, 30:, 256:512] == frames[-1, 30:, 256:512]).mean() > 0.9  # the posture stays
    motion = read_motion(StorageFolder(tmp_path), "x.npz")
    walk = corpus.read(corpus.find("s1/walk"))
    np.testing.assert_allclose(motion.trans[0], walk.trans[0], atol=1e-4)
    np.testing.assert_allclose(h36m_joints(motion)[0], h36m_joints(walk)[0], atol=0.06)
    assert len(motion) == WINDOW + 1 and motion.fps == corpus.info.fps and motion.label_name == "wave"
    assert motion.meta["behavior"] == "s0/wave" and motion.meta["posture"] == "s1/walk"


def test_any_length_and_rate(behavior_run, tmp_path):
    made = run_transfer(behavior_run, tmp_path / "x.mp4", settings_for(frames=40, fps=12.5))
    assert len(read_motion(StorageFolder(tmp_path), "x.npz")) == 40 == made.rendered.num_frames
    video = read_video(tmp_path / "x.mp4", size=None)
    assert len(video.images) == 40 and video.fps == pytest.approx(12.5)


def test_where_the_ground_is_elsewhere_does_not_matter(behavior_run, tmp_path):
    own = perform("sit", make_subject(7))
    write_motion(StorageFolder(tmp_path), "own.npz", own)
    write_motion(StorageFolder(tmp_path), "low.npz", replace(own, joints=own.joints - np.float32([0, 1.2, 0])))
    postures = tuple(str(tmp_path / f"{name}.npz") for name in ("own", "low"))
    run_transfer(behavior_run, tmp_path / "out", settings_for(behavior=postures[1], posture=postures))
    one, other = (read_motion(StorageFolder(tmp_path / "out"), f"{name}.npz") for name in ("own", "low"))
    np.testing.assert_allclose(one.joints, other.joints, atol=1e-4)


def test_several_postures_are_a_folder(behavior_run, tmp_path):
    write_motion(StorageFolder(tmp_path), "own.npz", place(perform("sit", make_subject(7)), Placement(3.0, 1.0, 2.0)))
    postures = ("s1/walk", "s2/jump", str(tmp_path / "own.npz"))
    made = run_transfer(behavior_run, tmp_path / "many", settings_for(posture=postures))
    names = [f"{name}.{suffix}" for name in ("own", "s1-walk", "s2-jump") for suffix in ("mp4", "npz", "sheet.png")]
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == names
    assert [path.name for path in made.motions] == ["s1-walk.npz", "s2-jump.npz", "own.npz"]
    own = read_motion(StorageFolder(tmp_path / "many"), "own.npz")
    np.testing.assert_allclose(own.trans[0, [0, 2]], (3.0, 1.0), atol=1e-3)


def test_a_flow_transfers_as_its_behavior_net_does(behavior_run, flow_run, tmp_path):
    for name, run in (("a", behavior_run), ("b", flow_run)):
        run_transfer(run, tmp_path / f"{name}.mp4", settings_for())
    one, other = (read_motion(StorageFolder(tmp_path), f"{name}.npz") for name in "ab")
    np.testing.assert_array_equal(one.joints, other.joints)


def test_a_person_is_rendered_by_the_shape_and_posture_network(behavior_run, shape_run, tmp_path):
    seen = {"appearance": "grace/bow", "renderer": shape_run}
    made = run_transfer(behavior_run, tmp_path / "x.mp4", settings_for(**seen))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "x.npz", "x.sheet.png"]
    frames = frames_of(made.rendered.videos[0])
    assert frames.shape == (WINDOW + 1, 96, 64, 3)
    sheet = cv2.imread(str(made.rendered.sheets[0]))
    assert sheet.shape == (3 * 118, 10 * 66 - 2, 3) and sheet[138:234].max(axis=(0, 2)).any()  # the poses
    beside = run_transfer(
        behavior_run, tmp_path / "y.mp4", settings_for(**seen, stick_figures=True, yaw=30.0, frames=5)
    )
    assert frames_of(beside.rendered.videos[0]).shape == (5, 96, 128, 3)


def test_frames_are_what_the_network_renders_of_the_projected_motion(behavior_run, shape_run, two_people, tmp_path):
    run_transfer(behavior_run, tmp_path / "x.mp4", settings_for(appearance="luis/bow", renderer=shape_run, frames=4))
    motion = face_viewer(read_motion(StorageFolder(tmp_path), "x.npz"))
    person = person_of_clip(ClipDataset(two_people).find("luis/bow"))
    poses = fit_motion(motion, person.body, (96, 64)).keypoints
    expected = np.hstack(list(load_renderer(shape_run).frames(person, poses)))
    sheet = read_image(tmp_path / "x.sheet.png", size=None).images[0]  # as it is, where the video is encoded
    shown = np.hstack([sheet[-98:-2, left : left + 64] for left in range(0, 4 * 66, 66)])
    np.testing.assert_array_equal(shown, expected)


def test_a_person_is_rendered_in_colours(behavior_run, untrained_run, two_people, tmp_path):
    seen = settings_for(appearance="grace/bow", renderer=untrained_run, clips=two_people, frames=4)
    made = run_transfer(behavior_run, tmp_path / "x.mp4", seen, colors=ColorSettings(upper="#2a6fdb"))
    assert frames_of(made.rendered.videos[0]).shape == (4, 96, 64, 3) and "upper" in made.rendered.colors
    random = ColorSettings(sample="prior", samples=2)
    several = run_transfer(behavior_run, tmp_path / "many", replace(seen, posture=("s1/walk", "s2/sit")), colors=random)
    expected = [f"{name}-{number}.mp4" for name in ("s1-walk", "s2-sit") for number in (1, 2)]
    assert [path.name for path in several.rendered.videos] == expected
    assert [path.name for path in several.motions] == ["s1-walk.npz", "s2-sit.npz"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory, networks):
    """What the studio's mei does in a video, and a person in a photo."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(
        folder / "clap.mp4",
        render_action("mei", "clap", 14, RenderSettings(size=(256, 176))).images,
        fps=25,
    )
    write_picture(
        folder / "photo.png",
        render_action("ada", "bow", 1, RenderSettings(size=(256, 176))).images[0],
    )
    return folder


def test_behavior_and_postures_come_from_videos_and_a_person_from_a_photo(
    behavior_run, shape_run, two_people, videos, networks, tmp_path, monkeypatch
):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    settings = settings_for(
        behavior=str(videos / "clap.mp4"),
        posture=("luis/bow", "s1/walk"),
        clips=two_people,
        appearance=str(videos / "photo.png"),
        renderer=shape_run,
        frames=6,
    )
    made = run_transfer(behavior_run, tmp_path / "out", settings)
    assert [path.name for path in made.rendered.videos] == ["luis-bow.mp4", "s1-walk.mp4"]
    luis = read_motion(StorageFolder(tmp_path / "out"), "luis-bow.npz")
    lifted = lift_clip(ClipDataset(two_people).find("luis/bow"))
    np.testing.assert_allclose(h36m_joints(luis)[0], h36m_joints(lifted)[0], atol=0.05)


PICTURES = {"motions.html", "motions.mp4", "strips.png"}


@pytest.mark.parametrize("stage", ["behavior", "flow"])
def test_random_futures_begin_where_a_motion_ends(stage, behavior_run, flow_run, corpus, tmp_path):
    run = {"behavior": behavior_run, "flow": flow_run}[stage]
    observed = ("s1/walk", "s2/sit")
    made = sample_behavior(run, tmp_path / "a", observed, samples=2, seed=3, settings=LengthSettings(frames=7))
    names = [f"{name}-{number}.npz" for name in ("s1-walk", "s2-sit") for number in (1, 2)]
    assert {path.name for path in (tmp_path / "a").iterdir()} == {*names, *PICTURES}
    walk = corpus.read(corpus.find("s1/walk"))
    assert np.linalg.norm(made[0].trans[0] - walk.trans[-1]) < 0.3 < np.linalg.norm(walk.trans[0] - walk.trans[-1])
    assert [len(motion) for motion in made] == [7] * 4 and (made[0].joints != made[1].joints).any()
    again = sample_behavior(run, tmp_path / "b", observed, samples=2, seed=3, settings=LengthSettings(frames=7))
    np.testing.assert_array_equal(again[3].joints, made[3].joints)
    read = read_motion(StorageFolder(tmp_path / "a"), names[3])
    np.testing.assert_array_equal(read.joints, made[3].joints)
    assert read.meta["observed"] == "s2/sit" and read.meta["seed"] == 3


def test_behaviors_are_interpolated(behavior_run, tmp_path):
    ends = {"first": "s0/wave", "second": "s1/squat", "target": "s2/walk"}
    made = interpolate_behavior(behavior_run, tmp_path / "out", InterpolationSettings(**ends, count=3))
    names = {f"behavior-{number}.npz" for number in (1, 2, 3)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names | PICTURES
    for motion, behavior in ((made[0], "s0/wave"), (made[-1], "s1/squat")):
        run_transfer(
            behavior_run, tmp_path / behavior[:2] / "x.mp4", settings_for(behavior=behavior, posture=("s2/walk",))
        )
        alone = read_motion(StorageFolder(tmp_path / behavior[:2]), "x.npz")
        np.testing.assert_allclose(motion.joints[:, :3], alone.joints[1:, :3], atol=1e-3)


def test_motions_are_reconstructed(behavior_run, tmp_path, capsys):
    out = tmp_path / "out"
    cli.main(["behavior", "reconstruct", behavior_run, str(out), "s0/wave", "s1/squat"])
    assert {path.name for path in out.iterdir()} == {"s0-wave.npz", "s1-squat.npz", *PICTURES}
    printed = capsys.readouterr().out
    assert (
        "s0-wave:" in printed
        and "mean joint error" in printed
        and "cm (standing still:" in printed
        and "2 motions in" in printed
    )
    reconstructed = read_motion(StorageFolder(out), "s1-squat.npz")
    assert len(reconstructed) == WINDOW and reconstructed.label_name == "squat"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sample SHAPE out --observed s0/wave", "'shape_posture', expected 'behavior' or 'behavior_flow'"),
        ("sample RUN out --observed s0/fly", "no motion 's0/fly' in"),
        ("sample RUN out --observed s0/wave --samples 0", "samples must be at least 1, got 0"),
        ("sample RUN out --observed s0/wave --frames 0", "got frames 0, expected 1 to 100000"),
        ("sample RUN out --observed s0/wave --observed s1/wave", "got --observed twice: give it once"),
        ("sample RUN out --observed s0/wave s0-wave.npz", "two motions would have files of one name"),
        ("interpolate RUN out --first s0/wave --second SHORT --target s1/sit", "short.npz has 11 frames at 25 frames"),
        ("interpolate RUN out --first s0/sit --second s0/wave --target s1/sit --count 1", "count must be at least 2"),
        ("reconstruct RUN out", "no motions given, expected files, or names in the run's dataset"),
        ("reconstruct RUN out SHORT", "has 11 frames at 25 frames per second, expected the 12 or more"),
        ("reconstruct RUN out s0/wave --motions CLIPS", "holds clips, expected motions"),
        ("dream RUN", "unknown command 'dream', expected one of sample, interpolate"),
    ],
)
def test_mistakes_of_the_group_end_with_one_line(
    behavior_run, shape_run, two_people, line, message, capsys, tmp_path, tmp_path_factory, monkeypatch
):
    short = tmp_path_factory.mktemp("short")
    write_motion(StorageFolder(short), "short.npz", perform("wave", make_subject(1), frames=11))
    names = {"RUN": behavior_run, "SHAPE": shape_run, "CLIPS": two_people, "SHORT": str(short / "short.npz")}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(["behavior", *(names.get(word, word) for word in line.split())])
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert message in " ".join(complaint.split()) and complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RUN --behavior s0/wave --posture s1/walk --out x.avi", "the video is written as .mp4, got 'x.avi'"),
        ("RUN --behavior s0/wave --posture s1/walk --out x", "one video is written as .mp4, got 'x'"),
        ("RUN --behavior s0/wave --posture s1/walk --posture s2/sit --out x.mp4", "2 videos are written to a folder"),
        ("RUN --behavior s0/wave --posture s1/walk --posture s1-walk.npz --out x", "two postures would have files of"),
        ("SHAPE --behavior s0/wave --posture s1/walk --out x.mp4", "'shape_posture', expected 'behavior' or 'behavi"),
        ("nowhere --behavior s0/wave --posture s1/walk --out x.mp4", "no checkpoint in"),
        ("RUN --behavior s0/fly --posture s1/walk --out x.mp4", "no motion 's0/fly' in"),
        ("RUN --behavior s --posture s1/walk --out x.mp4", "several motions 's' in"),
        ("RUN --behavior s0/wave --posture nowhere.npz --out x.mp4", "nowhere.npz"),
        ("RUN --behavior s0/wave --posture nowhere.mp4 --out x.mp4", "nowhere.mp4: cannot be read"),
        ("RUN --behavior s0/wave --posture y/z --clips CLIPS --out x.mp4", "no clip 'y/z' in"),
        (
            "RUN --behavior SHORT --posture s1/walk --out x.mp4",
            "has 11 frames at 25 frames per second, expected the 12",
        ),
        ("RUN --behavior s0/wave --posture s1/walk --out x.mp4 --frames 1", "got frames 1, expected 2 to 100000"),
        ("RUN --behavior s0/wave --posture s1/walk --out x.mp4 --fps 0", "got fps 0, expected more than 0"),
        ("RUN --behavior s0/wave --posture s1/walk --out x.mp4 --upper red", "stick figures have no colours"),
        (
            "RUN --behavior s0/wave --posture s1/walk --out x.mp4 --yaw 3",
            "for a person that is rendered by a --renderer",
        ),
        ("RUN --behavior s0/wave --posture s1/walk --out x.mp4 --renderer SHAPE", "got one without the other"),
        (
            "RUN --behavior s0/wave --posture s1/walk --out x.mp4 --renderer RUN --appearance a/b",
            "is of the stage 'beh",
        ),
        ("RUN --behavior s0/wave --posture s1/walk --out x.mp4 --renderer SHAPE --appearance a/b", "no clip 'a/b' in"),
        (
            "RUN --behavior s0/wave --posture s1/walk --out x.mp4 --renderer SHAPE --appearance a/b --lower red",
            "the stage shape_posture renders the picture's own colours: leave --upper",
        ),
        (
            "RUN --behavior s0/wave --posture s1/walk --out x.mp4 --renderer SHAPE --appearance a/b --clips NOISE",
            "has frames of (64, 64), the renderer was trained at (96, 64)",
        ),
    ],
)
def test_mistakes_end_with_one_line(
    behavior_run, shape_run, two_people, noise_clips, line, message, capsys, tmp_path, tmp_path_factory, monkeypatch
):
    short = tmp_path_factory.mktemp("short")
    write_motion(StorageFolder(short), "short.npz", perform("wave", make_subject(1), frames=11))
    names = {"RUN": behavior_run, "SHAPE": shape_run, "CLIPS": two_people, "NOISE": noise_clips}
    names["SHORT"] = str(short / "short.npz")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(["transfer", *(names.get(word, word) for word in line.split())])
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert message in " ".join(complaint.split()) and complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_video_without_a_person_is_refused(behavior_run, networks, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_video(tmp_path / "empty.mp4", np.full((4, 128, 96, 3), 130, np.uint8), fps=25)
    with pytest.raises(ValueError, match=r"no person is found in .*empty.mp4"):
        run_transfer(behavior_run, tmp_path / "x.mp4", settings_for(posture=(str(tmp_path / "empty.mp4"),)))
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mp4"]


def test_command_says_what_it_made(behavior_run, tmp_path, capsys):
    options = f"--behavior s0/wave --posture s1/walk --frames 3 --out {tmp_path}/x.mp4"
    cli.main(["transfer", behavior_run, *options.split()])
    out = capsys.readouterr().out
    assert "3 frames in" in out and "x.sheet.png" in out and "x.npz" in out
