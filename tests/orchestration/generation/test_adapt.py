"""``posegen adapt``: pairs of one person, and a run that is continued."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from orchestration.generation import adapt as adaptation
from orchestration.generation.adapt import AdaptSettings, adapt
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.datasets.refinement import RefinementDataset
from posegen.errors import ConfigError
from posegen.features.matte import soft_matte
from posegen.inference.body_measures import measure_body
from posegen.inference.photo import Photo
from posegen.inference.refined_person import load_refiner
from posegen.inference.shown_person import ShownPerson
from posegen.io.storage import StorageFolder
from posegen.stages import Colorizer
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio import RenderSettings, render_pair
from posegen.synthetic.studio.pairs import pair_motion
from posegen.synthetic.studio.people import CAST
from posegen.synthetic.studio.retarget import retarget


@pytest.fixture
def subject(monkeypatch) -> ShownPerson:
    """A studio person, as a clip of two frames; nothing is perceived."""
    person = CAST["farid"]
    motion = retarget(perform("wave_one_hand", make_subject(0), frames=40), person)
    pair = render_pair(person, pair_motion(motion, (0, 25), (0.0, 0.0)), RenderSettings(size=(128, 96)))
    background = np.full_like(pair.images[0], 190)
    photos = [
        Photo(image, pair.poses[index], pair.classes[index], soft_matte(image, pair.masks[index]), background)
        for index, image in enumerate(pair.images)
    ]
    found = ShownPerson(photos, background, measure_body(photos[0].pose), photos[0].pose, [])
    monkeypatch.setattr(adaptation, "open_person", lambda path, view: found)
    monkeypatch.setattr(adaptation, "_seconds_of_step", lambda config, dataset: 0.02)
    monkeypatch.setattr(adaptation, "_EPOCH_STEPS", 2)
    return found


def settings_of(folder, **changes) -> AdaptSettings:
    return replace(AdaptSettings(name="ann", minutes=0.001, runs=str(folder), track=False), **changes)


def test_a_run_of_one_person(tmp_path, subject):
    made = adapt(tmp_path / "ann.mp4", settings_of(tmp_path))
    dataset = RefinementDataset(str(tmp_path / "ann.pairs"))
    assert made.num_pairs == len(dataset.info.pairs) >= 20
    truths = [np.isfinite(dataset.read(entry).truth).any() for entry in dataset.info.pairs]
    assert truths[0] and not truths[-1]  # there and back first, then pairs of both frames
    assert {entry.split for entry in dataset.info.pairs} == {"train", "test"}
    assert (
        load_refiner(made.run).config.num_epochs
        == json.loads((tmp_path / "ann" / "run.json").read_text())["config"]["num_epochs"]
    )
    again = adapt(tmp_path / "ann.mp4", settings_of(tmp_path))  # is finished
    assert again.run.name == "ann" and again.num_pairs == made.num_pairs


def test_a_start_of_another_stage_is_named(tmp_path, subject):
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="x", size=None)
    save_checkpoint(StorageFolder(str(tmp_path / "c")), Colorizer(Colorizer.presets["tiny"]), progress)
    with pytest.raises(ConfigError, match="colorizer"):
        adapt(tmp_path / "ann.jpg", settings_of(tmp_path, start=str(tmp_path / "c")))


@pytest.mark.parametrize("changes", [{"minutes": 0.0}, {"name": ""}, {"name": "../x"}])
def test_impossible_settings_are_refused(tmp_path, changes):
    with pytest.raises(ConfigError):
        settings_of(tmp_path, **changes)
