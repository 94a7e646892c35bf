"""`posegen animate` with a generator and an ACTOR that were not trained."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.generation.animate import animate
from orchestration.generation.output import OutputSettings
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.errors import ConfigError, MotionError
from posegen.features.body_pose import BodyPoses
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.requested_codes import OWN_COLORS, ColorSettings
from posegen.inference.requested_motions import MotionSettings, read_motion_file, resolve_motions
from posegen.io.images import write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_video
from posegen.motion.anatomy import REST
from posegen.motion.cameras import front_camera
from posegen.motion.editing import placement
from posegen.motion.motion import Motion, encode_motion, write_motion
from posegen.motion.to_openpose import openpose_body, project_motion, smpl_head_axes
from posegen.skeletons import SMPL_24
from posegen.stages import Actor
from posegen.synthetic.motions import PROCEDURAL_FPS, make_subject, perform


@pytest.fixture(scope="module")
def actor(tmp_path_factory) -> str:
    """A run of the stage actor that knows two actions at 20 frames per second."""
    stage = Actor(replace(Actor.presets["tiny"], actions=("wave", "salute"), fps=20.0))
    folder = StorageFolder(tmp_path_factory.mktemp("actor"))
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None)
    save_checkpoint(folder / "checkpoints" / "000001", stage, progress)
    return str(folder)


@pytest.fixture
def animate_person(untrained_run, two_people, tmp_path):
    """The command with a person, into the test's folder."""

    def call(out, colors=OWN_COLORS, **moves):
        moves = MotionSettings(**moves)
        output = OutputSettings(out=tmp_path / out)
        return animate(untrained_run, two_people, content="grace/bow", moves=moves, output=output, colors=colors)

    return call


def frames_of(path):
    return read_video(path, size=None).images.astype(int)


def test_an_action_is_one_video(animate_person, tmp_path):
    made = animate_person("x.mp4", action=("wave",), frames=5)
    assert made.videos == [tmp_path / "x.mp4"] and made.sheets == [tmp_path / "x.sheet.png"] and made.num_frames == 5
    assert frames_of(made.videos[0]).shape == (5, 96, 64, 3)
    assert read_video(made.videos[0], size=None).fps == pytest.approx(25)
    sheet = cv2.imread(str(made.sheets[0]))
    assert sheet.shape == (3 * 118, 5 * 66 - 2, 3)
    assert sheet[138:234].max(axis=(0, 2)).any()  # the poses


def test_several_actions_are_a_folder(animate_person, tmp_path):
    made = animate_person("many", action=("wave, jump", "sit", "wave"), frames=3, colors=ColorSettings(upper="teal"))
    assert [path.name for path in made.videos] == ["wave.mp4", "jump.mp4", "sit.mp4"]
    assert made.num_frames == 9 and made.colors == {"upper": "teal is #008080"}
    wave, jump, _ = map(frames_of, made.videos)
    assert (wave != jump).any()


def test_random_colours_of_an_action(animate_person):
    made = animate_person("random", action=("wave",), frames=2, colors=ColorSettings(sample="prior", samples=2))
    assert [path.name for path in made.videos] == ["wave-1.mp4", "wave-2.mp4"]
    assert [path.name for path in made.sheets] == ["wave.sheet.png"]


def test_stick_figures_stand_beside(animate_person):
    alone, beside = (
        animate_person(f"{name}.mp4", action=("wave",), frames=3, stick_figures=name == "b") for name in "ab"
    )
    left, right = np.split(frames_of(beside.videos[0]), 2, axis=2)
    assert np.abs(right - frames_of(alone.videos[0])).mean() < 8  # encoded with a neighbour
    assert np.percentile(left, 30) > 230 and (left[1].max(axis=-1) - left[1].min(axis=-1)).max() > 60


def test_a_page_shows_the_motion_beside_its_video(animate_person, tmp_path):
    made = animate_person("many #1", action=("wave", "sit"), frames=3, page=True)
    assert made.pages == (tmp_path / "many #1" / "wave.html", tmp_path / "many #1" / "sit.html")
    page = made.pages[0].read_text()
    assert '<video src="wave.mp4" autoplay loop muted' in page and page.count('"0.08"') >= 2  # frames, and their names
    drawn = page[page.index('id="motion"') :].split("Plotly.addFrames")[0]
    assert "updatemenus" not in drawn  # one button: the video's
    with pytest.raises(ConfigError, match=r"wave\.html"):
        (tmp_path / "many #1" / "wave.mp4").unlink()
        (tmp_path / "many #1" / "wave.sheet.png").unlink()
        animate_person("many #1/wave.mp4", action=("wave",), frames=3, page=True)


def test_the_same_seed_makes_the_same_motion_whatever_else_is_made(actor):
    for moves in (MotionSettings(action=("wave",), frames=8), MotionSettings(action=("wave",), frames=8, actor=actor)):
        both = replace(moves, action=("salute", "wave") if moves.actor else ("jump", "wave"))
        alone, with_other = resolve_motions(moves, None, 3)["wave"], resolve_motions(both, None, 3)["wave"]
        np.testing.assert_allclose(alone.joints, with_other.joints, atol=1e-6)
        assert (resolve_motions(moves, None, 4)["wave"].joints != alone.joints).any()


@pytest.mark.parametrize("fps", [12.5, 20.0, 25.0, 29.97])
@pytest.mark.parametrize("frames", [1, 2, 50])
def test_videos_have_the_frames_asked_for_at_any_rate(actor, fps, frames):
    for made_by in (actor, ""):
        [motion] = resolve_motions(MotionSettings(action=("wave",), frames=frames, actor=made_by), fps, 0).values()
        assert len(motion) == frames and motion.fps == fps
        assert motion.label_name == "wave"


def test_made_motions_are_a_hundred_frames_long_and_files_as_long_as_they_are(actor, tmp_path):
    assert len(resolve_motions(MotionSettings(action=("wave",)), 30.0, 0)["wave"]) == 100
    assert resolve_motions(MotionSettings(action=("salute",), actor=actor), None, 0)["salute"].fps == 20
    write_motion(StorageFolder(tmp_path), "kick.npz", perform("kick", make_subject(2), frames=26))
    moves = MotionSettings(motion=tmp_path / "kick.npz")
    assert len(resolve_motions(moves, None, 0)["kick"]) == 26
    assert len(resolve_motions(moves, 50.0, 0)["kick"]) == 51
    with pytest.raises(ValueError, match=r"kick.npz has 13 frames at 12.5 frames per second, expected 20: ask for"):
        resolve_motions(replace(moves, frames=20), 12.5, 0)


def test_yaw_turns_the_motion():
    ahead, turned = (resolve_motions(MotionSettings(action=("walk",), yaw=yaw), 25.0, 0)["walk"] for yaw in (0, 90))
    assert ahead.trans[-1, 2] > 1 > abs(ahead.trans[-1, 0])
    assert turned.trans[-1, 0] > 1 > abs(turned.trans[-1, 2])


def test_what_the_front_hides_is_seen_from_three_quarters():
    """And somebody whom a photo shows from the side stays turned."""
    moves = MotionSettings(action=("wave", "bow"), actor="procedure")
    wave, bow = (placement(motion).yaw for motion in resolve_motions(moves, 25.0, 0).values())
    assert (wave, abs(bow)) == pytest.approx((0, np.radians(35)), abs=1e-3)
    front = resolve_motions(replace(moves, yaw=0.0), 25.0, 0)["bow"]
    assert placement(front).yaw == pytest.approx(0, abs=1e-3)
    standing = face_viewer(Motion.from_joints((REST + np.array((0, 0.955, 0))).astype(np.float32)[None], 25.0), 80.0)
    keypoints = project_motion(standing, front_camera(standing.joints, (96, 64)))
    depths = openpose_body(standing.joints, SMPL_24, smpl_head_axes(standing)).joints[..., 2] * 45
    person = BodyPoses(keypoints, depths.astype(np.float32), np.zeros((1, 2, 3), np.float32))[0]
    for motion in resolve_motions(moves, 25.0, 0, person).values():
        assert placement(motion).yaw == pytest.approx(np.radians(80), abs=0.05)


@pytest.mark.parametrize(("frames", "expected"), [(None, 190), (60, 60), (3, 3)])
def test_actions_in_a_row_are_one_motion(frames, expected):
    [(name, motion)] = resolve_motions(MotionSettings(actions=("wave", "kick"), frames=frames), 25.0, 0).items()
    assert name == "wave-kick" and len(motion) == expected
    lengths = np.linalg.norm(motion.joints[:, 4] - motion.joints[:, 1], axis=-1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)
    assert np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1).max() < 0.3


def test_actions_are_learned_and_vary_with_the_seed_or_procedural():
    """The model that comes with posegen, at the rate of procedural motions, unless curves of angles are asked for."""
    first, again, other = (resolve_motions(MotionSettings(action=("walk",)), None, seed)["walk"] for seed in (0, 0, 1))
    assert len(first) == 100 and first.fps == PROCEDURAL_FPS
    np.testing.assert_array_equal(first.joints, again.joints)
    assert np.abs(first.joints - other.joints).max() > 0.05
    curves = resolve_motions(MotionSettings(action=("walk",), actor="procedure"), None, 0)["walk"]
    expected = perform("walk", make_subject(0), frames=100)
    np.testing.assert_allclose(np.diff(curves.joints[:, 0, 1]), np.diff(expected.joints[:, 0, 1]), atol=1e-4)


def test_a_row_of_an_actor_may_repeat_actions(actor):
    moves = MotionSettings(actions=("wave", "salute", "wave"), frames=50, actor=actor)
    assert len(resolve_motions(moves, 20.0, 0)["wave-salute-wave"]) == 50


def test_motions_of_other_formats_are_read(tmp_path):
    (tmp_path / "own.npz").write_bytes(encode_motion(perform("kick", make_subject(0), frames=5)))
    assert len(read_motion_file(tmp_path / "own.npz")) == 5
    (tmp_path / "x.bvh").write_text("HIERARCHY")
    with pytest.raises(MotionError, match=r"x\.bvh"):
        read_motion_file(tmp_path / "x.bvh")
    two = tmp_path / "two.npz"
    np.savez(two, a=np.zeros(3))
    with pytest.raises(MotionError, match=r"two\.npz"):
        read_motion_file(two)


def test_a_photo_is_animated_at_the_rate_of_the_dataset(untrained_run, two_people, tmp_path, networks, monkeypatch):
    from posegen.synthetic.studio import RenderSettings, render_action

    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_picture(
        tmp_path / "photo.png",
        render_action("grace", "bow", 1, RenderSettings(size=(384, 256))).images[0],
    )
    moves = MotionSettings(action=("wave",), frames=2)
    photo, output = str(tmp_path / "photo.png"), OutputSettings(out=tmp_path / "x.mp4")
    made = animate(untrained_run, two_people, content=photo, moves=moves, output=output)
    assert read_video(made.videos[0], size=None).fps == pytest.approx(25)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--action fly --out x.mp4", "unknown action 'fly', expected one of arm_circles, bend, bow"),
        ("--action fly --actor procedure --out x.mp4", "unknown action 'fly', expected one of wave_one_hand"),
        ("--action fly --actor ACTOR --out x.mp4", "unknown action 'fly', expected one of wave, salute"),
        ("--action wave --actor RUN --out x.mp4", "is of the stage 'video_generator', expected 'actor'"),
        ("--action wave --actor nowhere --out x.mp4", "nowhere; train one with `posegen train`"),
        ("--out x.mp4", "no motion given: use --action NAME, --actions NAME NAME, --motion FILE or --poses VIDEO"),
        (
            "--action wave --motion x.npz --out x.mp4",
            "got several motions, expected one of --action, --actions and --motion",
        ),
        ("--motion x.npz --actor a --out x.mp4", "an --actor makes motions of an --action, got a --motion file"),
        ("--motion nowhere.npz --out x.mp4", "nowhere.npz"),
        ("--action wave --out x.mp4 --frames 0", "got frames 0, expected 1 to 100,000"),
        ("--action wave --out x.mp4 --fps 0", "got fps 0, expected more than 0 and at most 240"),
        ("--action wave --out x.mp4 --fps nan", "got fps nan, expected more than 0 and at most 240"),
        ("--action wave --out x.mp4 --yaw inf", "got yaw inf, expected degrees"),
        ("--action wave,jump --out x.mp4", "2 videos are written to a folder, got 'x.mp4'"),
        ("--action wave --out x", "one video is written as .mp4, got 'x'"),
        ("--action wave --out x.avi", "the video is written as .mp4, got 'x.avi'"),
        ("--action wave --out x.mp4 --batch 0", "got batch 0, expected 1 or more"),
    ],
)
def test_mistakes_end_with_one_line(untrained_run, two_people, actor, line, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [actor if word == "ACTOR" else untrained_run if word == "RUN" else word for word in line.split()]
    with pytest.raises(SystemExit) as stop:
        cli.main(["animate", untrained_run, "--dataset", two_people, "--content", "grace/bow", *options])
    assert stop.value.code == 2
    complaint = capsys.readouterr().err
    assert message in " ".join(complaint.split()) and complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_command_says_what_it_made(untrained_run, two_people, actor, tmp_path, capsys):
    options = f"--dataset {two_people} --content luis/bow --actor {actor} --action wave --action salute --frames 4"
    cli.main(["animate", untrained_run, *options.split(), "--out", str(tmp_path / "made"), "--lower", "gold"])
    out = capsys.readouterr().out
    assert "8 frames in 2 videos in" in out and "2 contact sheets" in out and "lower: gold is" in out
