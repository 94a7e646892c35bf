"""What the user says of files of motions, and what is said to the user; tables as spreadsheets write them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from orchestration.cli import main as cli
from orchestration.data.motion_conversion import ConversionSettings, SplitSettings, convert_motions
from orchestration.data.motion_curation import read_labels
from orchestration.data.motion_files import ReadSettings
from orchestration.data.motion_inspection import inspect_motions
from posegen.datasets.motion_formats import read
from posegen.errors import ConfigError, DatasetError, MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import read_motion
from tests.support.bvh_files import STYLES, write_style


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two walks in a folder, one of them z up in inches and at another rate."""
    inside = tmp_path / "captured"
    inside.mkdir()
    for name, style in (("a_walk", "lafan1"), ("b_walk", "biped")):
        text = write_style(STYLES[style])[0]
        (inside / f"{name}.bvh").write_text(text.replace("0.04", "0.05") if style == "biped" else text)
    return inside


def test_a_rate_that_is_said_is_of_one_file(folder, tmp_path, capsys):
    cli.main(f"motion convert {folder}/b_walk.bvh {tmp_path}/one.npz --fps 30".split())
    assert read_motion(StorageFolder(tmp_path), "one.npz").fps == 30
    printed = capsys.readouterr().out
    assert "note: the file has 20 frames a second: --fps 30 overrules it" in printed
    assert "note: its unit is taken for inches" in printed and "note: up: z is up" in printed
    settings = ConversionSettings(ReadSettings(fps=30.0), splits=SplitSettings(pattern="{person}_{action}.bvh"))
    with pytest.raises(
        DatasetError, match=r"b_walk\.bvh has 20 frames a second, others 25"
    ):  # each keeps its own, and a dataset has one
        convert_motions([folder], str(tmp_path / "two"), settings)


def test_inspect_says_what_was_guessed_and_needs_no_unit(folder, capsys):
    cli.main(f"motion inspect {folder}/b_walk.bvh".split())
    printed = capsys.readouterr().out
    assert "z, as the body stands" in printed and "0.0254" in printed and "note: up: z is up" in printed
    file = folder / "a_walk.bvh"
    offset = re.compile(r"(OFFSET) (\S+) (\S+) (\S+)")
    text = offset.sub(lambda m: " ".join([m[1], *(f"{float(x) * 0.3:.6f}" for x in m.groups()[1:])]), file.read_text())
    file.write_text(text)
    assert any("scaled to 1.70 m" in note for note in inspect_motions(file, ReadSettings()).notes)
    with pytest.raises(MotionError, match=r"a_walk\.bvh: the joints span a body of .*--height"):
        read(file, ReadSettings().options)[0].load()


def test_a_file_of_names(folder, tmp_path):
    path, names = folder / "a_walk.bvh", tmp_path / "map.json"
    path.write_text(path.read_text().replace("JOINT LeftLeg", "JOINT K 7"))
    names.write_text("\ufeff" + json.dumps({"left_knee": "K 7"}))
    assert len(inspect_motions(path, ReadSettings(joints=names)).measured) == 1
    names.write_text("[1]")
    with pytest.raises(ConfigError, match=r"--joints .*map\.json"):
        inspect_motions(path, ReadSettings(joints=names))


def test_converted_again_with_another_name_of_a_joint_is_another_motion(folder, tmp_path):
    """What is said of files is part of what a motion was made with, and recorded with the dataset."""
    (folder / "b_walk.bvh").unlink()
    splits = SplitSettings(pattern="{person}_{action}.bvh")
    first = convert_motions([folder], str(tmp_path / "out"), ConversionSettings(splits=splits))
    again = convert_motions([folder], str(tmp_path / "out"), ConversionSettings(splits=splits))
    other = convert_motions(
        [folder], str(tmp_path / "out"), ConversionSettings(ReadSettings(height=1.6), splits=splits)
    )
    assert (first.num_made, again.num_made, other.num_made) == (1, 0, 1)
    assert np.isclose(other.info.settings["height"], 1.6) and other.info.settings["joints"] == {}


@pytest.mark.parametrize("between", [",", ";", "\t", ", ", " ; ", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_as_spreadsheets_write_them(tmp_path, between, encoding, end):
    rows = [["Name", "action", "person"], ["v1", "walk", '"Ann, B."'], ["v2", "jump", ""], ["", "", ""]]
    (tmp_path / "labels.csv").write_bytes(end.join(between.join(row) for row in rows).encode(encoding))
    labels = read_labels(tmp_path / "labels.csv")
    assert {name: (label.action, label.person) for name, label in labels.items()} == {
        "v1": ("walk", "Ann, B."), "v2": ("jump", None),
    }  # fmt: skip
