"""OpenPose's network against the published one's numbers, its backend, and a real person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from posegen.errors import WeightsError
from posegen.io.video_reader import read_video
from posegen.networks.openpose import OpenposeNetwork
from posegen.perception import POSE_ESTIMATORS
from posegen.perception.openpose import (
    OnnxMaps,
    Openpose,
    TorchMaps,
    average_maps,
    find_people,
    load_network,
    pick_person,
)
from posegen.perception.openpose_decoding import People
from posegen.weights import download as weights
from tests.support.reference import assert_matches, count_parameters, fill, forward_parity, load_json

ONNX = "openpose18_mobilenetv2_small.onnx"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """Random tensors under the names of the published file."""
    return {".".join(name.split(".")[-2:]): tensor for name, tensor in OpenposeNetwork().state_dict().items()}


class DrawnNetwork:
    """Draws heat for every joint where the image is bright."""

    multiple = 8

    def __init__(self, scales: Sequence[float] = (1.0,)):
        self.scales = scales
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.sizes.append(image.shape[:2])
        maps = np.zeros((image.shape[0] // 8, image.shape[1] // 8, 57), np.float32)
        maps[..., :18] = cv2.resize(image, maps.shape[1::-1], interpolation=cv2.INTER_AREA)[..., :1] / 255
        return maps


def test_number_of_parameters(fixtures):
    with torch.device("meta"):
        assert count_parameters(OpenposeNetwork()) == load_json(fixtures, "param_counts")["openpose_coco18"]


def test_layers_are_in_the_published_order_and_named_alike(fixtures):
    entry = next(entry for entry in load_json(fixtures, "forward_parity") if entry["name"] == "openpose_coco_full")
    with torch.device("meta"):
        own = OpenposeNetwork().state_dict()
    assert [(name.split(".")[-2:], list(tensor.shape)) for name, tensor in own.items()] == [
        (name.split(".")[-2:], shape) for name, shape, _ in entry["tensor_order"]
    ]


@pytest.mark.parametrize("variant", ["S", "N"])
def test_network_draws_what_the_published_code_draws(variant, fixtures):
    (image,), expected = forward_parity(fixtures, "openpose_coco_full")
    network = OpenposeNetwork()
    fill([network], variant)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-4)):
        with torch.inference_mode():
            outputs = network.to(dtype)(image.to(dtype))
        for output, wanted in zip(outputs, expected[variant], strict=True):
            assert_matches(output, wanted, tolerance)


def test_published_weights_reach_their_layers(published, cache, tmp_path):
    file = tmp_path / "body_pose_model.pth"
    torch.save(published, file)
    weights.provide("openpose", file)
    network = load_network()
    assert isinstance(network, TorchMaps)
    own = network._network.state_dict()
    assert own["heat.5.Mconv7_stage6_L2.weight"].cpu().equal(published["Mconv7_stage6_L2.weight"])
    assert own["trunk.conv4_4_CPM.bias"].cpu().equal(published["conv4_4_CPM.bias"])


def test_other_weights_are_refused(published):
    network = OpenposeNetwork()
    with pytest.raises(ValueError, match=r"have nothing as conv1_1\.weight, expected \(64, 3, 3, 3\)"):
        network.load_published({"features.0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(ValueError, match=r"have \(18,\) as Mconv7_stage6_L2\.bias, expected \(19,\)"):
        network.load_published({**published, "Mconv7_stage6_L2.bias": torch.zeros(18)})


def test_network_sees_blue_first_and_answers_joints_first(published):
    maps = TorchMaps(published)
    image = np.zeros((16, 24, 3), np.uint8)
    image[..., 2] = 64
    given = torch.tensor([-0.25, -0.5, -0.5]).view(1, 3, 1, 1).expand(1, 3, 16, 24)
    network = OpenposeNetwork()
    network.load_published(published)
    with torch.inference_mode():
        fields, heat = network(given)
    drawn = torch.from_numpy(maps(image)).permute(2, 0, 1)[None]
    torch.testing.assert_close(drawn, torch.cat([heat, fields], dim=1), rtol=1e-3, atol=1e-4)


def test_missing_weights_say_in_one_line_what_to_do(cache):
    with pytest.raises(
        WeightsError, match=r"'openpose' cannot be fetched: .*body_pose_model.pth.*weights provide"
    ) as e:
        POSE_ESTIMATORS["openpose"].make()
    assert "\n" not in str(e.value)


def test_scales_are_of_a_box_of_368_rows_and_their_maps_are_averaged():
    network = DrawnNetwork(scales=(0.5, 1.0, 1.5, 2.0))
    image = np.full((120, 80, 3), 102, np.uint8)
    maps = average_maps(network, image)
    assert network.sizes == [(184, 128), (368, 248), (552, 368), (736, 496)]
    assert maps.shape == (368, 248, 57)
    np.testing.assert_allclose(maps[..., :18], 0.4, atol=1e-5)


@pytest.mark.parametrize("size", [(384, 256), (64, 64), (1080, 720)])
def test_joints_are_where_they_are_in_the_image(size):
    """No limb connects them: the brightest of each kind count."""
    height, width = size
    truth = np.array([0.31 * width, 0.62 * height])
    y, x = np.mgrid[:height, :width]
    heat = np.exp(-((x - truth[0]) ** 2 + (y - truth[1]) ** 2) / (2 * (height / 25) ** 2))
    image = (255 * heat).round().astype(np.uint8)[..., None].repeat(3, axis=2)
    people = find_people(DrawnNetwork(), image)
    assert people.keypoints.shape == (1, 18, 3)
    pixel = height / 368  # of the maps
    np.testing.assert_allclose(people.keypoints[0, :, :2], np.tile(truth, (18, 1)), atol=0.7 * pixel)


def test_nobody_there(make_footage):
    poses = Openpose(DrawnNetwork())(make_footage(np.zeros((3, 96, 64, 3), np.uint8)))
    assert poses.keypoints.shape == (3, 18, 3) and poses.keypoints.dtype == poses.scores.dtype == np.float32
    assert not poses.keypoints.any() and not poses.scores.any()


def crowd(*people: tuple[float, float]) -> People:
    """People of 40 × 80 pixels, given by where they stand and their scores."""
    poses = np.zeros((len(people), 18, 3))
    for pose, (x, _) in zip(poses, people, strict=True):
        pose[:4] = [[x, 10, 1], [x + 40, 10, 1], [x, 90, 1], [x + 40, 90, 1]]
    return People(poses, np.array([score for _, score in people]))


def test_the_person_of_the_first_frame_is_followed():
    frames = [crowd(), crowd((10, 9), (100, 12)), crowd((12, 20), (105, 8)), crowd((12, 20)), crowd((80, 9), (12, 20))]
    assert pick_person(frames)[:, 0].tolist() == [[0, 0, 0], [100, 10, 1], [105, 10, 1], [0, 0, 0], [80, 10, 1]]


def provide_onnx(shared: Path) -> None:
    weights.provide("openpose", shared / "weights" / ONNX)


@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("single_cam01", (100, 280, 950, 1350)),
        ("single_cam02", (102, 350, 926, 1264)),
        ("single_cam03", (-40, 358, 846, 1376)),
    ],
)
def test_real_person(shared, cache, name, crop, make_footage):
    """The beginning of each video, before the person leans over: this small network loses the arms then."""
    provide_onnx(shared)
    images = read_video(shared / "data" / "videos" / f"{name}.mp4", crop=crop).images[:8:2]
    original = images.copy()
    poses = POSE_ESTIMATORS["openpose"].make()(make_footage(images))
    seen = poses.keypoints[..., 2] > 0
    assert (images == original).all()
    assert np.median(seen.sum(axis=1)) >= 15


def test_onnx_file_of_another_network_is_refused(monkeypatch):
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="image")],
        get_outputs=lambda: [SimpleNamespace(shape=["n", 26, "h", "w"])],
    )
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: session)
    with pytest.raises(ValueError, match=r"gives \['n', 26, 'h', 'w'\], expected \[1, 57, H / 8, W / 8\]"):
        OnnxMaps(b"")
