"""Checkpoints of the published code: what they give, and which of them are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posegen.checkpoints.published import (
    Published,
    PublishedSettings,
    PublishedStageName,
    open_published,
    published_config,
    published_stage,
)
from posegen.errors import CheckpointImportError
from posegen.features.vunet_figure import FIGURES
from posegen.stages import Behavior, BehaviorFlow, ShapePosture
from tests.support.published_checkpoints import (
    convolution_shapes,
    flow_buffers,
    flow_shapes,
    random_behavior,
    random_flow,
    random_shape_posture,
    save,
    ways_to_save,
    with_scales,
)
from tests.support.reference import assert_statistics, fill_listed, load_json, sine

TUPLES = """
general: {project_name: a, experiment: behavior_net}
data:
  seq_length: !!python/tuple
  - 12
  - 13
  sequential_frame_lag: 5
  spatial_size: 256
training: {information_max: 70, adam_betas: !!python/tuple [0.5, 0.9]}
"""


@pytest.fixture(scope="module")
def behavior_order(fixtures) -> list[Any]:
    """Names and shapes of the published behaviour net."""
    return load_json(fixtures / "motion", "behavior_networks")["behavior_net"]["parameter_order"]


@pytest.fixture(scope="module")
def shape_posture(fixtures) -> dict[str, Any]:
    """What the published shape-and-posture network has and gave."""
    return load_json(fixtures / "motion", "shape_posture")


@pytest.fixture
def state(behavior_order) -> dict[str, Tensor]:
    """A little behaviour net as published."""
    return random_behavior(behavior_order)[1]


def closed_form(shapes: list[tuple[str, list[int]]], gain: float = 1.0) -> dict[str, Tensor]:
    """A published state with the weights of the parity numbers."""
    state = {name: nn.Parameter(torch.empty(shape)) for name, shape in shapes}
    fill_listed(((state[name], name, shape) for name, shape in shapes), gain)
    return {name: parameter.detach() for name, parameter in state.items()}


def import_stage(name: PublishedStageName, place: Path) -> Any:
    """The stage that a checkpoint is."""
    published = open_published(name, place)
    return published_stage(name, published_config(name, published), published)


def upright(postures: Tensor) -> Tensor:
    """Postures (..., 51) with z up as those with y up: a right-handed turn about x."""
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    assert torch.linalg.det(turn) == 1
    return (postures.unflatten(-1, (17, 3)) @ turn.T).flatten(-2)


@torch.no_grad()
def test_published_behavior_net_gives_its_numbers_in_our_axes(fixtures, behavior_order, tmp_path):
    expected = load_json(fixtures / "motion", "behavior_networks")["behavior_net"]
    stage = import_stage("behavior", save({"model": closed_form(behavior_order), "optimizer": {}}, tmp_path))
    assert isinstance(stage, Behavior)
    assert (stage.config.latent_dim, stage.config.num_frames, stage.config.fps) == (1024, 50, 25)
    assert not stage.config.canonical and not stage.config.lambda_auxiliary
    postures = sine((3, 50, 51), 0.013, 0.2).float()
    mean, logstd = stage.network.encoder(upright(postures))
    assert_statistics(mean, expected["mu"], 1e-4)
    assert_statistics(logstd, expected["logstd"], 1e-4)
    drawn = stage.network.decoder(mean, upright(postures[:, 0]), 50)
    back = upright(upright(upright(drawn)))  # a quarter of a turn, four times, is none
    assert_statistics(back, expected["generate_mu_from_x_start0_len50"], 1e-4)


@torch.no_grad()
def test_published_flow_gives_its_numbers_there_and_back(fixtures, tmp_path):
    expected = load_json(fixtures / "motion", "behavior_networks")["flow_small_16_32_d2_n3"]
    state = closed_form(flow_shapes(16, 32, depth=2, num_blocks=3), expected["coupling_gain"])
    permutations = [(5 * torch.arange(16) + 3 + block) % 16 for block in range(3)]
    file = save({"model": state | flow_buffers(permutations), "optimizer": {}}, tmp_path, prefix="flow_ckpt")
    stage = import_stage("behavior_flow", file)
    assert isinstance(stage, BehaviorFlow)
    config = stage.config
    assert (config.latent_dim, config.hidden_dim, config.depth, config.num_blocks) == (16, 32, 2, 3)
    assert config.lr == pytest.approx(2.88e-5)
    codes = sine((4, 16), 0.21, 0.4)
    noise, logdet = stage.flow.double()(codes)
    for got, name in ((noise, "gauss"), (logdet, "logdet"), (stage.flow.inverse(codes), "reverse_of_input")):
        torch.testing.assert_close(got, torch.tensor(expected[name]).double(), rtol=1e-6, atol=1e-6)


def test_flow_keeps_its_permutations_and_draws_the_same_codes(tmp_path):
    flow, state = random_flow()
    for number, content in enumerate(ways_to_save(state)):
        save(content, tmp_path, number, prefix="flow_ckpt")
    torch.save({}, tmp_path / "reg_ckpt_checkpoint_99.pth")
    noise = torch.randn(5, 8)
    for number in range(3):
        own = import_stage("behavior_flow", tmp_path / f"flow_ckpt_checkpoint_{number}.pth").flow
        assert own.inverse(noise).equal(flow.inverse(noise))
        assert all(x.equal(y) for x, y in zip(own(noise), flow(noise), strict=True))
    assert open_published("behavior_flow", tmp_path).file.name == "flow_ckpt_checkpoint_2.pth"


FLOW = "flow__sub_layers__1__"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {f"{FLOW}coupling__t__1__main__2__bias": None},
            "lacks 1 of the network's 54 tensors, such as .*t.1.main.2.bias",
        ),
        ({f"{FLOW}shuffle__forward_shuffle_idx": None}, "lacks 1 .*sub_layers.1.shuffle.forward_shuffle_idx"),
        ({f"{FLOW}shuffle__forward_shuffle_idx": torch.zeros(8, dtype=torch.int64)}, "no permutation: .* 0 to 7"),
        ({f"{FLOW}shuffle__forward_shuffle_idx": torch.arange(8.0)}, "does not hold 8 whole numbers"),
        ({f"{FLOW}activation__alpha": torch.ones(1)}, "has 1 tensors that the network has not, .*alpha"),
        ({"flow__sub_layers__0__norm_layer__loc": torch.zeros(8)}, r"loc has the shape \(8,\), expected 4 dimensions"),
        (
            {"flow__sub_layers__0__norm_layer__loc": torch.zeros(1, 1, 1, 1).expand(1, 10**12, 1, 1)},
            "loc does not hold 1,000,000,000,000 floating-point numbers",
        ),
        ({f"{FLOW}norm_layer__scale": torch.full((1, 8, 1, 1), torch.inf)}, "numbers that are not finite"),
        ({f"{FLOW}coupling__s__0__main__0__weight": torch.zeros(6, 3)}, r"the shape \(6, 3\), expected \(6, 4\)"),
    ],
)
def test_other_flows_are_refused(changes, message, tmp_path):
    state = changed(random_flow()[1], **changes)
    with pytest.raises(CheckpointImportError, match=message):
        import_stage("behavior_flow", save(state, tmp_path, prefix="flow_ckpt"))


@pytest.mark.parametrize(
    ("dataset", "figure", "joints"), [("Human3.6m", "h36m17", 17), ("DeepFashion", "openpose18", 18)]
)
def test_postures_are_drawn_as_in_the_dataset(dataset, figure, joints, shape_posture, tmp_path):
    _, state = random_shape_posture(shape_posture["vunet_alter_h36m"]["convolution_order"])
    save(state, tmp_path, settings=f"data: {{dataset: {dataset}, spatial_size: 64}}")
    stage = import_stage("shape_posture", tmp_path)
    assert stage.config.figure == figure and len(FIGURES[figure].joints) == joints


@pytest.mark.parametrize(("name", "crops"), [("h36m", False), ("market", True)])
def test_shape_and_posture_network_gets_each_weight_by_its_published_name(name, crops, shape_posture, tmp_path):
    network, state = random_shape_posture(shape_posture[f"vunet_alter_{name}"]["convolution_order"], crops=crops)
    save(dict(reversed(state.items())), tmp_path, settings="data: {spatial_size: 64, crop_app: true}")
    stage = import_stage("shape_posture", tmp_path)
    assert isinstance(stage, ShapePosture)
    assert stage.config.spatial_size == (64, 64) and stage.config.bottleneck_factor == 2
    view = stage.config.view
    assert (view.window, view.crop) == (((32, 32), False) if crops else (None, True))
    for own, tensor in network.state_dict().items():
        assert tensor.equal(stage.network.state_dict()[own]), own


@pytest.mark.parametrize(
    ("preset", "order", "scales"),
    [
        ("h36m", "vunet_alter_h36m", (7, 7)),
        ("deepfashion", "vunet_alter_market", (7, 5)),
        ("market", "vunet_alter_market", (7, 6)),
    ],
)
def test_sizes_and_preset_are_those_of_the_tensors(preset, order, scales, shape_posture):
    shapes = convolution_shapes(with_scales(shape_posture[order]["convolution_order"], *scales))
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes}
    config = published_config("shape_posture", Published(Path("a.pth"), state, PublishedSettings()))
    wanted = ShapePosture.presets[preset]
    assert isinstance(config, ShapePosture.Config) and isinstance(wanted, ShapePosture.Config)
    for name in ("spatial_size", "bottleneck_factor", "inplane_normalize", "width", "max_width", "information_max"):
        assert getattr(config, name) == getattr(wanted, name), name
    assert config.box_factor == wanted.box_factor or preset == "h36m"
    assert config.view == wanted.view and config.equal_people == wanted.equal_people
    with torch.device("meta"):
        own = sorted(tuple(x.shape) for x in ShapePosture(config).network.parameters())
    assert own == sorted(tuple(shape) for _, shape in shapes)


def test_files_hold_tensors_in_several_ways(state, tmp_path):
    stages = [import_stage("behavior", save(content, tmp_path)) for content in ways_to_save(state)]
    states = [stage.network.state_dict() for stage in stages]
    assert len(states) == 3
    for name, tensor in states[0].items():
        assert all(tensor.equal(other[name]) for other in states), name


def test_newest_of_a_folder_is_taken_with_its_settings(state, tmp_path):
    for number in (9, 10, 8):
        save({name: tensor * number for name, tensor in state.items()}, tmp_path, number, TUPLES)
    torch.save({}, tmp_path / "flow_ckpt_checkpoint_99.pth")
    torch.save({}, tmp_path / "regressor_checkpoint_99.pth")
    published = open_published("behavior", tmp_path)
    assert published.file.name == "reg_ckpt_checkpoint_10.pth"
    config = published_config("behavior", published)
    assert isinstance(config, Behavior.Config)
    assert (config.num_frames, config.fps, config.information_max, config.latent_dim) == (12, 10, 70, 8)


def test_frames_must_be_large_enough(shape_posture, tmp_path):
    _, state = random_shape_posture(shape_posture["vunet_alter_h36m"]["convolution_order"])
    save(state, tmp_path, settings="data: {spatial_size: 8}")
    with pytest.raises(CheckpointImportError, match="bottleneck_factor must be 0 or more, got -1"):
        import_stage("shape_posture", tmp_path)


def changed(state: dict[str, Tensor], **tensors: Any) -> dict[str, Tensor]:
    """The state with other tensors, by names in which '__' stands for a dot; without those that are None."""
    both = state | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in both.items() if tensor is not None}


BIAS = "decoder__n_out__bias"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({BIAS: None}, r"lacks 1 of the network's 20 tensors, such as decoder.n_out.bias"),
        ({"decoder__n_in__weight": torch.zeros(51, 51)}, "has 1 tensors that the network has not, such as .*n_in"),
        ({BIAS: torch.zeros(50)}, r"n_out.bias has the shape \(50,\), expected \(51,\)"),
        ({BIAS: torch.full((51,), torch.nan)}, "n_out.bias has numbers that are not finite"),
        ({BIAS: torch.zeros(1).expand(51)}, "n_out.bias does not hold 51 floating-point numbers"),
        ({BIAS: torch.zeros(51, dtype=torch.int64)}, "n_out.bias does not hold 51 floating-point"),
        ({"b_enc__rnn__weight_hh_l0": None}, "weight_hh_l0 is missing, expected 2 dimensions: is it of another"),
        ({"b_enc__rnn__weight_hh_l0": torch.zeros(8)}, r"weight_hh_l0 has the shape \(8,\), expected 2 dimensions"),
        ({"b_enc__rnn__weight_hh_l0": torch.zeros(28, 7)}, "latent_dim must be a positive multiple of 4, got 7"),
        ({"b_enc__rnn__weight_ih_l0": torch.zeros(32, 99)}, "postures of 99 numbers, expected the 51 of 17 joints"),
        ({"decoder__rnn__weight_ih": torch.zeros(24, 51)}, r"has the shape \(24, 51\), expected \(32, 51\)"),
    ],
)
def test_other_networks_are_refused(changes, message, state, tmp_path):
    with pytest.raises(CheckpointImportError, match=message):
        import_stage("behavior", save(changed(state, **changes), tmp_path))


def test_a_network_is_no_other_one(state, shape_posture, tmp_path):
    with pytest.raises(CheckpointImportError, match=r"eu.nin.conv.weight_v is missing"):
        import_stage("shape_posture", save(state, tmp_path))
    _, other = random_shape_posture(shape_posture["vunet_alter_h36m"]["convolution_order"])
    with pytest.raises(CheckpointImportError, match=r"b_enc.rnn.weight_hh_l0 is missing"):
        import_stage("behavior", save(other, tmp_path))
    with pytest.raises(CheckpointImportError, match="sees a person in 33 channels, expected 3 of a picture or 30"):
        import_stage("shape_posture", save(changed(other, eu__nin__conv__weight_v=torch.zeros(4, 33, 1, 1)), tmp_path))
    fewer = {name: tensor for name, tensor in other.items() if not name.startswith("eu.downs.3")}
    with pytest.raises(
        CheckpointImportError, match=r"lacks 5 of the network's 385 tensors, such as eu.downs.3.down.beta"
    ):
        import_stage("shape_posture", save(fewer, tmp_path))


class Bomb:
    """A pickle that makes a file when it is opened."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return Path.touch, (self.mark,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_checkpoint_is_run(state, tmp_path):
    mark = tmp_path / "ran"
    file = save({"model": state, "optimizer": Bomb(mark)}, tmp_path)
    with pytest.raises(CheckpointImportError, match="holds more than tensors, which may be code"):
        open_published("behavior", file)
    file.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(CheckpointImportError, match="cannot be read as a checkpoint"):
        open_published("behavior", file)
    save(state, tmp_path, settings=f"general: !!python/object/apply:pathlib.Path.touch ['{mark}']")
    with pytest.raises(CheckpointImportError, match=r"config.yaml, line 1: could not determine a constructor"):
        open_published("behavior", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [3, [1], torch.zeros(3), {"a": 3}, {1: torch.zeros(3)}, {"model": 3}])
def test_what_is_no_tensors_by_name_is_refused(content, tmp_path):
    with pytest.raises(
        CheckpointImportError, match="holds no tensors by name, expected a state dict, alone or as 'model'"
    ):
        open_published("behavior", save(content, tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("general: {experiment: mtvae}", "is of the experiment 'mtvae', expected 'behavior_net'"),
        ("data: {seq_length: 50}", "data → seq_length → Input should be a valid tuple"),
        ("data: {sequential_frame_lag: 0}", "sequential_frame_lag → Input should be greater than 0"),
        ("data: {seq_length: [0, 1]}", "num_frames must be at least 1, got 0"),
        ("training: {information_max: .inf}", "information_max → Input should be a finite number"),
        ("- 1", "Input should be a dictionary"),
        ("a: [", "config.yaml, line 1: expected the node content"),
        ("[" * 3000, "is nested deeper than any settings"),
        ("a: " + "b" * 2**16, "is longer than 65,536 bytes"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_settings_that_are_none_are_refused(settings, message, state, tmp_path):
    with pytest.raises(CheckpointImportError, match=message) as error:
        import_stage("behavior", save(state, tmp_path, settings=settings))
    assert str(tmp_path) in str(error.value)


def test_places_without_a_checkpoint_are_told(tmp_path):
    with pytest.raises(CheckpointImportError, match=r"has no reg_ckpt_\*.pth$"):
        open_published("behavior", tmp_path)
    with pytest.raises(
        CheckpointImportError, match=r"there is no checkpoint .*nowhere.pth: .* a folder with flow_ckpt_\*.pth"
    ):
        open_published("behavior_flow", tmp_path / "nowhere.pth")
    torch.save({}, tmp_path / "flow_ckpt_checkpoint_5.pth")
    with pytest.raises(CheckpointImportError, match=r"has no reg_ckpt_\*.pth, it has flow_ckpt_checkpoint_5.pth"):
        open_published("behavior", tmp_path)
