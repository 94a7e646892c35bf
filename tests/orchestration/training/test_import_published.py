"""Checkpoints of the published code by command: what becomes a run, and what leaves no trace."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestration.cli import main as cli
from orchestration.evaluation.behavior import BehaviorBasis
from orchestration.evaluation.records import read_evaluation
from orchestration.evaluation.video import EvaluateSettings, evaluate_video
from orchestration.training.runs import load_behavior
from posegen.checkpoints.checkpoint import find_checkpoint, load_progress, load_stage
from posegen.checkpoints.published import PublishedStageName
from posegen.inference.behavior import BehaviorGenerator
from posegen.io.storage import StorageFolder
from posegen.motion.to_openpose import h36m_joints
from posegen.networks.behavior import BehaviorNet
from posegen.skeletons import H36M_17
from posegen.stages import STAGES, Behavior, BehaviorFlow, ShapePosture
from tests.support.published_checkpoints import random_behavior, random_flow, random_shape_posture, save
from tests.support.reference import load_json

QUICK = (
    "--windows 12 --training-windows 16 --sequences 2 --futures 3 --seeds 2 --action-dim 8 --action-steps 2 "
    "--realism-dim 8 --realism-steps 2 --posture-steps 2 --no-pictures"
)
SHORT = "general: {experiment: behavior_net}\ndata: {seq_length: !!python/tuple [8, 9]}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def behavior(fixtures: Path) -> BehaviorNet:
    """A little behaviour net, of which ``pretrained`` holds a checkpoint."""
    order = load_json(fixtures / "motion", "behavior_networks")["behavior_net"]["parameter_order"]
    network, state = random_behavior(order)
    save({"model": state, "optimizer": {}}, Path("pretrained"), settings=SHORT)
    return network


def shape_posture_state(fixtures: Path) -> dict[str, Tensor]:
    """A little shape-and-posture network as published, for frames of 64×64."""
    order = load_json(fixtures / "motion", "shape_posture")["vunet_alter_h36m"]["convolution_order"]
    return random_shape_posture(order)[1]


def import_checkpoint(line: str) -> None:
    cli.main(f"import-checkpoint {line} --no-track".split())


def published_transfer(network: BehaviorNet, source: np.ndarray, start: np.ndarray, scale: Any) -> np.ndarray:
    """What the published code draws: joints (T, 17, 3) and (17, 3) with z up, scaled by mean and deviation there."""
    network.mean.copy_(torch.from_numpy(scale.mean))
    network.std.copy_(torch.from_numpy(scale.std))
    mean, _ = network.encode(torch.from_numpy(source)[None].float())
    return network.decode(mean, torch.from_numpy(start)[None].float(), 8)[0].numpy()


def z_up(joints: np.ndarray) -> np.ndarray:
    return joints[..., [0, 2, 1]] * np.array([1, -1, 1])


@torch.no_grad()
def test_behavior_net_becomes_a_run_that_draws_as_published(behavior, corpus, capsys):
    import_checkpoint(f"behavior pretrained {corpus.folder} --name published")
    out = capsys.readouterr().out.replace("\n", "")
    assert "reg_ckpt_checkpoint_1.pth is the run published now" in out
    assert "--no-canonical --num-frames 8 --latent-dim 8" in out
    stage = load_stage(find_checkpoint("runs/published"), Behavior)
    assert isinstance(stage, Behavior)
    scale = Behavior.open_samples(stage.config, corpus, "train").scale()
    np.testing.assert_allclose(stage.network.mean.numpy(), scale.mean, atol=1e-6)
    source, target = (corpus.read(entry) for entry in corpus.split("test")[:2])
    net = BehaviorGenerator(stage)
    drawn = net.transfer([net.prepare(source)], [net.prepare(target)])[0]
    turned = type(scale)(z_up(scale.mean), np.abs(z_up(scale.std)))
    expected = published_transfer(behavior, z_up(h36m_joints(source)[:8]), z_up(h36m_joints(target)[0]), turned)
    shared = [row for row, joint in enumerate(H36M_17) if joint not in ("nose", "head_top")]  # which follow the head
    np.testing.assert_allclose(z_up(h36m_joints(drawn))[:, shared], expected[:, shared], atol=2e-5)


def test_an_adopted_run_is_measured_and_a_flow_learns_its_codes(behavior, corpus, capsys):
    import_checkpoint(f"behavior pretrained {corpus.folder} --name published")
    following = re.search(r"a flow: posegen (.*)", capsys.readouterr().out.replace("\n", " "))
    assert following is not None
    line = f"{following[1]} --preset tiny --epoch-size 16 --num-epochs 1 --hidden-dim 8 --workers 0 --no-track"
    cli.main(f"{line} --name flow".split())
    assert load_progress(find_checkpoint("runs/flow")).epoch == 1
    cli.main(f"behavior evaluate runs/published {QUICK}".split())
    assert read_evaluation("runs/published", BehaviorBasis).basis.num_frames == 8


@torch.no_grad()
def test_flow_beside_a_behaviour_net_becomes_a_run_that_draws_its_codes(behavior, corpus, capsys):
    flow, state = random_flow(dim=8)
    save({"model": state, "optimizer": {}}, Path("pretrained"), 5, prefix="flow_ckpt")
    import_checkpoint(f"behavior pretrained {corpus.folder} --name published")
    following = re.search(r"its flow: posegen import-checkpoint (.*)", capsys.readouterr().out.replace("\n", " "))
    assert following is not None
    import_checkpoint(following[1])
    assert "next: posegen behavior evaluate" in capsys.readouterr().out
    stage, before = load_behavior("runs/published-flow"), load_behavior("runs/published")
    assert isinstance(stage, BehaviorFlow) and stage.config.behavior == str(StorageFolder("runs/published"))
    noise = torch.randn((3, 8), generator=torch.Generator().manual_seed(1))
    codes = stage.sample_codes(3, torch.Generator().manual_seed(1)).cpu()
    assert codes.equal(flow.inverse(noise))
    imported, net = BehaviorGenerator(stage), BehaviorGenerator(before)
    observed = [net.prepare(corpus.read(entry)) for entry in corpus.split("test")[:2]]
    drawn = imported.sample(observed, 5, seed=2)
    ends = [motion.joints[-1] for motion in observed]
    expected = net.generate(stage.sample_codes(2, torch.Generator().manual_seed(2)), ends, 5)
    for own, other in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(own.joints, other.joints)
    noted = json.loads(Path("runs/published-flow/imported.json").read_text())
    assert noted["checkpoint"] == "pretrained/flow_ckpt_checkpoint_5.pth"
    assert load_progress(find_checkpoint("runs/published-flow")).epoch == stage.config.num_epochs


def test_flow_of_other_codes_is_refused(behavior, corpus, capsys):
    save(random_flow(dim=16)[1], Path("pretrained"), prefix="flow_ckpt")
    import_checkpoint(f"behavior pretrained {corpus.folder} --name published")
    learned = shutil.copytree("runs/published", "runs/learned")
    Path(learned, "imported.json").unlink()
    for run, message in (
        ("runs/published", "has latent_dim 8.*, expected latent_dim 16"),
        (
            "runs/learned",
            "is not a run of `posegen import-checkpoint behavior`: .* needs published codes",
        ),
        ("nowhere", "no checkpoint in .*nowhere"),
    ):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            import_checkpoint(f"behavior_flow pretrained {corpus.folder} --name flow --from {run}")
        error = capsys.readouterr().err
        assert stop.value.code == 2 and len(error.strip().splitlines()) == 1 and re.search(message, error), error
        assert not Path("runs/flow").exists()


def test_run_says_what_it_is_of_and_that_it_is_finished(behavior, corpus, capsys):
    import_checkpoint(f"behavior pretrained {corpus.folder} --name published")
    file = Path("pretrained/reg_ckpt_checkpoint_1.pth")
    noted = json.loads(Path("runs/published/imported.json").read_text())
    assert noted == {"checkpoint": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    progress = load_progress(find_checkpoint("runs/published"))
    assert progress.epoch == Behavior.presets["reference"].num_epochs
    assert progress.data_fingerprint == corpus.fingerprint
    before = Path("runs/published/run.json").read_bytes()
    with pytest.raises(SystemExit):
        import_checkpoint(f"behavior pretrained {corpus.folder} --name published")
    assert re.search("there is a run .*published already: take another --name", capsys.readouterr().err)
    assert Path("runs/published/run.json").read_bytes() == before


def test_shape_and_posture_network_becomes_a_run_that_is_evaluated(fixtures, noise_clips):
    save(shape_posture_state(fixtures), Path("pretrained"), settings="data: {spatial_size: 64}")
    import_checkpoint(f"shape_posture pretrained/reg_ckpt_checkpoint_1.pth {noise_clips} --name published")
    stage = load_stage(find_checkpoint("runs/published"), ShapePosture)
    assert isinstance(stage, ShapePosture) and stage.config.spatial_size == (64, 64)
    found = evaluate_video("runs/published", noise_clips, EvaluateSettings(perceptual=(), swaps=0))
    assert 0 < found.scores["ssim"].mean < 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("behavior nowhere MOTIONS --name a", "there is no checkpoint nowhere"),
        ("behavior pretrained CLIPS --name a", "holds clips, expected motions"),
        ("behavior pretrained nothing --name a", "no motions in .*nothing"),
        ("behavior pretrained MOTIONS --name a/b", "a run's name has no '/'"),
        ("behavior pretrained MOTIONS --name=", "--name is empty"),
        ("behavior pretrained MOTIONS", "--name"),
        ("actor pretrained MOTIONS --name a", "expected one of behavior, behavior_flow, shape_posture"),
        (
            "behavior_flow pretrained MOTIONS --name a",
            "--from is missing: name the run that",
        ),
        ("behavior pretrained MOTIONS --name a --from b", "--from names the behaviour net of a flow"),
        ("shape_posture pretrained CLIPS --name a", "is of the experiment 'behavior_net', expected 'cvbae'"),
        ("behavior slow MOTIONS --name a", "has 25 frames per second, expected 10"),
        ("behavior long MOTIONS --name a", "with the 5001 frames of a window"),
        ("shape_posture large CLIPS --name a", "frames of 64×64 .*, expected 256×256"),
    ],
)
def test_what_cannot_be_adopted_is_one_line_and_leaves_nothing(
    line, message, behavior, fixtures, corpus, noise_clips, capsys
):
    content = torch.load("pretrained/reg_ckpt_checkpoint_1.pth", weights_only=True)
    save(content, Path("slow"), settings="data: {sequential_frame_lag: 5}")
    save(content, Path("long"), settings="data: {seq_length: [5000, 5001]}")
    save(shape_posture_state(fixtures), Path("large"))
    with pytest.raises(SystemExit) as stop:
        import_checkpoint(line.replace("MOTIONS", str(corpus.folder)).replace("CLIPS", noise_clips))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and len(error.strip().splitlines()) == 1
    assert re.search(message, error), error
    assert not Path("runs").exists()


def test_what_can_be_adopted_are_stages():
    assert set(get_args(PublishedStageName)) == {Behavior.name, BehaviorFlow.name, ShapePosture.name} <= STAGES.keys()
