"""The VUNet's index: read, never run, with joints in OpenPose's order."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from posegen.datasets.published.vunet_index import MARKET_18, read_index
from posegen.errors import ArchiveError
from posegen.skeletons import OPENPOSE_18

FASHION = ["img/MEN/id_00000080/01_1_front.jpg", "fashionWOMENDressesid0000267002_7additional.jpg", "pets/cat.jpg"]
STREET = ["0002_c1s1_000451_03.jpg", "train/0002_c2s1_000301_01.jpg", "-1_c1s1_000401_03.jpg"]


def write(folder: Path, images, joints=None, **changes) -> Path:
    shares = np.linspace(0.1, 0.9, len(images) * 36).reshape(-1, 18, 2) if joints is None else joints
    content = {"imgs": images, "joints": shares, "train": [True] * (len(images) - 1) + [False]}
    (folder / "index.p").write_bytes(pickle.dumps(content | changes))
    return folder


def test_deepfashion_is_in_openpose_order_with_nothing_where_joints_are_negative(tmp_path):
    joints = np.full((3, 18, 2), 0.5)
    joints[0, OPENPOSE_18.index("nose")] = (-1, 0.3)
    first, second, third = read_index(write(tmp_path, FASHION, joints), "deepfashion")
    assert (first.joints[0] == 0).all() and first.joints[1].tolist() == [0.5, 0.5, 1]
    assert (first.person, first.clothes, first.train) == ("id00000080", "01", True)
    assert (second.person, second.clothes) == ("id00002670", "02")
    assert (third.person, third.train) == ("pets/cat", False)
    assert [image.is_anonymous for image in (first, second, third)] == [False, False, True]


def test_market_has_an_order_of_its_own(tmp_path):
    joints = np.stack([np.arange(18.0) / 18] * 2, axis=-1)[None].repeat(3, axis=0)
    first, second, nobody = read_index(write(tmp_path, STREET, joints), "market")
    order = [13, 12, 8, 7, 6, 9, 10, 11, 2, 1, 0, 3, 4, 5, 15, 14, 17, 16]
    np.testing.assert_allclose(first.joints[:, 0] * 18, order, rtol=1e-6)
    assert [MARKET_18.index(name) for name in OPENPOSE_18] == order
    assert (first.person, second.person, nobody.person) == ("0002", "0002", "")


def test_the_index_may_name_its_joints(tmp_path):
    names = ["cnose", "rshoulder", "lshoulder", "rhip", "lhip", "lfoot"]
    joints = np.arange(36.0).reshape(3, 6, 2) / 36
    first = read_index(write(tmp_path, FASHION, joints, joint_order=names), "deepfashion")[0].joints
    np.testing.assert_allclose(first[OPENPOSE_18.index("left_ankle"), :2], joints[0, 5])
    np.testing.assert_allclose(first[OPENPOSE_18.index("neck"), :2], joints[0, 1:3].mean(axis=0))
    assert (first[OPENPOSE_18.index("left_wrist")] == 0).all()


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_an_index_is_not_run(tmp_path):
    write(tmp_path, FASHION, more=Harm(tmp_path / "harm"))
    with pytest.raises(ArchiveError, match=r"would run posix\.mkdir and is not opened"):
        read_index(tmp_path, "deepfashion")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joints": np.full((3, 17, 2), 0.5)}, "joints has 17 joints a picture, expected 18"),
        ({"joints": np.full((3, 18, 3), 0.5)}, r"joints has shape \(3, 18, 3\), expected \(N, 18, 2\)"),
        ({"joints": np.full((3, 18, 2), 90.0)}, "joints has numbers such as 90, expected shares of width and height"),
        ({"joints": np.full((3, 18, 2), np.nan)}, "joints has numbers such as nan"),
        ({"joints": [[1], [2, 3]]}, "joints is no array of numbers"),
        ({"train": [True]}, "imgs has 3 entries, joints 3 and train 1, expected as many"),
        ({"imgs": ["a.jpg", "../../b.jpg", "c.jpg"]}, r"imgs has '../../b.jpg', which leads out of the folder"),
        ({"imgs": ["a.jpg", "/etc/b.jpg", "c.jpg"]}, "imgs has '/etc/b.jpg'"),
        ({"joint_order": ["tail"] * 18}, "joint_order has 'tail', which is no joint"),
        ({"imgs": STREET}, "its pictures are called as those of market, such as '0002_c1s1_000451_03.jpg'"),
    ],
)
def test_indices_that_do_not_fit_are_refused(changes, message, tmp_path):
    write(tmp_path, FASHION, **changes)
    with pytest.raises(ArchiveError, match=message) as error:
        read_index(tmp_path, "deepfashion")
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match=r"no index.p in .*, expected the folder of a dataset"):
        read_index(tmp_path, "market")
    (tmp_path / "index.p").write_bytes(pickle.dumps(["a"]))
    with pytest.raises(ArchiveError, match="imgs, joints, train is missing"):
        read_index(tmp_path, "market")
    (tmp_path / "index.p").write_bytes(b"\x80\x04garbage")
    with pytest.raises(ArchiveError, match="is damaged or is no pickle"):
        read_index(tmp_path, "market")
