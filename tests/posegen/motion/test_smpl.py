"""SMPL's surface, against skinning that is written out, with a model made up in SMPL's layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestration.search.costs import cost_of_run
from posegen.checkpoints.checkpoint import TrainingProgress, load_stage, save_checkpoint
from posegen.errors import SmplError
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.smpl import pose_surface, read_smpl
from posegen.samples import fixed_batch
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS
from posegen.stages import Actor

NUM_VERTICES = 50


def make_model() -> dict[str, np.ndarray]:
    """Arrays as SMPL's file has them, with its types."""
    random = np.random.default_rng(0)
    weights = random.random((NUM_VERTICES, 24)) * (random.random((NUM_VERTICES, 24)) > 0.8)
    weights[:, 0] += 1e-3
    regressor = random.random((24, NUM_VERTICES))
    parents = np.array(SMPL_24_PARENTS)
    return {
        "v_template": random.normal(size=(NUM_VERTICES, 3)),
        "posedirs": 0.05 * random.normal(size=(NUM_VERTICES, 3, 207)),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "kintree_table": np.stack([parents.astype(np.uint32), np.arange(24, dtype=np.uint32)]),
        "shapedirs": random.normal(size=(NUM_VERTICES, 3, 10)),
        "f": np.zeros((8, 3), np.uint32),
    }


@pytest.fixture
def model_file(tmp_path) -> Path:
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **make_model())
    return tmp_path / "SMPL_NEUTRAL.npz"


def transform(rotation: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """(4, 4): turn about a joint."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, joint - rotation @ joint
    return matrix


def test_surface_is_that_of_skinning_written_out(model_file):
    """Three joints of one chain turn: each carries all that hangs on it."""
    chain = [SMPL_24.index(name) for name in ("pelvis", "left_hip", "left_knee")]
    local = torch.eye(3, dtype=torch.float64).repeat(24, 1, 1)
    angles = torch.tensor([[0.3, -0.8, 0.2], [0.9, 0.1, -0.4], [-0.2, 0.6, 1.1]], dtype=torch.float64)
    local[chain] = rotations.axis_angle_to_matrix(angles)
    root = np.array([0.5, -1.0, 2.0])

    arrays = make_model()
    joints = arrays["J_regressor"] @ arrays["v_template"]
    pelvis, hip, knee = (transform(local[joint].numpy(), joints[joint]) for joint in chain)
    below = {"left_hip": pelvis @ hip}
    below |= dict.fromkeys(("left_knee", "left_ankle", "left_foot"), pelvis @ hip @ knee)
    bent = (local[1:].numpy() - np.eye(3)).ravel()
    expected = np.zeros((NUM_VERTICES, 3))
    for vertex in range(NUM_VERTICES):
        place = np.append(arrays["v_template"][vertex] + arrays["posedirs"][vertex] @ bent, 1.0)
        for joint, name in enumerate(SMPL_24):
            expected[vertex] += arrays["weights"][vertex, joint] * (below.get(name, pelvis) @ place)[:3]

    surface = pose_surface(read_smpl(str(model_file)), local.float(), torch.from_numpy(root).float())
    torch.testing.assert_close(surface, torch.from_numpy(expected + root).float(), rtol=1e-5, atol=1e-5)


def test_body_at_rest_is_the_template_and_batches_are_posed_alike(model_file):
    body = read_smpl(str(model_file))
    local = torch.eye(3).repeat(2, 5, 24, 1, 1)
    still = pose_surface(body, local, torch.zeros(2, 5, 3))
    torch.testing.assert_close(still, body.template.expand(2, 5, -1, -1), atol=1e-5, rtol=0)
    local[1, 3] = rotations.axis_angle_to_matrix(torch.randn(24, 3, generator=torch.Generator().manual_seed(0)))
    surface = pose_surface(body, local, torch.zeros(2, 5, 3))
    torch.testing.assert_close(surface[1, 3], pose_surface(body, local[1, 3], torch.zeros(3)))
    torch.testing.assert_close(surface[0], still[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.ones((49, 24))}, r"weights is float64 \(49, 24\), expected numbers \(50, 24\)"),
        ({"posedirs": np.ones((50, 3, 459))}, r"posedirs is .*expected numbers \(50, 3, 207\)"),  # SMPL-H
        ({"v_template": np.full((50, 3), np.nan)}, "v_template has numbers that are not finite"),
        ({"kintree_table": np.zeros((2, 24), np.int64)}, "expected those of SMPL's 24 joints"),
        ({"J_regressor": np.array({}, dtype=object)}, "no SMPL model as .npz; write v_template, .* as plain arrays"),
        ({"weights": None}, "no SMPL model as .npz"),
    ],
)
def test_other_models_are_refused_in_one_line(change, message, tmp_path):
    arrays = {name: array for name, array in (make_model() | change).items() if array is not None}
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(SmplError, match=rf"^.*other.npz.*{message}") as caught:
        read_smpl(str(tmp_path / "other.npz"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04}.", b"PK\x03\x04 and no more", b"\x93NUMPY"])
def test_other_files_are_refused_and_nothing_in_them_is_run(content, tmp_path):
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(content)
    with pytest.raises(SmplError, match=r"SMPL_NEUTRAL.pkl is no SMPL model as .npz"):
        read_smpl(str(tmp_path / "SMPL_NEUTRAL.pkl"))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(SmplError, match=r"there is no file .*gone.npz, expected SMPL's neutral model as .npz"):
        read_smpl(str(tmp_path / "gone.npz"))


@pytest.fixture
def config(model_file, corpus) -> Actor.Config:
    small = Actor.Config(
        latent_dim=32, num_layers=1, feedforward_dim=32, dropout=0.0, num_frames=6, smpl=str(model_file)
    )
    return Actor.adapt(small, corpus)


@pytest.mark.parametrize("translate", [False, True])
def test_vertex_loss_is_that_of_the_surface(translate, config, corpus, model_file):
    config = replace(config, translate=translate)
    torch.manual_seed(0)
    stage = Actor(config)
    batch = fixed_batch(stage.open_samples(config, corpus, "train"), 3, 3)[0]
    mask = torch.ones(3, 6, dtype=torch.bool)
    body, surfaces = read_smpl(str(model_file)), []
    with torch.no_grad():
        mean, logvar = stage.encoder(batch["motion"], batch["action"], mask)
        torch.manual_seed(1)
        z = mean + (logvar / 2).exp() * torch.randn_like(mean)
        fake = stage.decoder(z, batch["action"], mask)
    for features in (fake, batch["motion"]):
        local = rotations.rot6d_rows_to_matrix(features[:, :, :24])
        surfaces.append(pose_surface(body, local, translate * features[:, :, 24, :3]))
    torch.manual_seed(1)
    losses = stage.step(batch)
    torch.testing.assert_close(losses["vertex"], (surfaces[0] - surfaces[1]).square().mean())
    assert losses["vertex"] > 0


def test_model_is_needed_to_train_alone_and_lies_in_no_checkpoint(config, corpus, model_file, tmp_path):
    stage = Actor(config)
    stage.step(fixed_batch(stage.open_samples(config, corpus, "train"), 3, 3)[0])
    save_checkpoint(
        StorageFolder(tmp_path / "c"), stage, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=None)
    )
    assert {tensor.shape[0] for tensor in stage.state_dict().values()}.isdisjoint({NUM_VERTICES})
    model_file.unlink()
    loaded = load_stage(StorageFolder(tmp_path / "c"), Actor)
    assert len(loaded.generate(["walk"], [5])[0]) == 5
    with pytest.raises(SmplError, match="there is no file"):
        Actor.adapt(config, corpus)


def test_place_of_the_model_does_not_depend_on_the_working_directory(model_file, monkeypatch):
    monkeypatch.chdir(model_file.parent)
    assert Actor.Config(smpl=model_file.name).smpl == str(model_file)


def test_cost_of_training_on_the_surface_is_known(config, corpus):
    with_surface, without = (cost_of_run(x, corpus) for x in (config, replace(config, smpl="")))
    assert with_surface.flops > without.flops
