"""The protocol of photos in motion, by one command."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from orchestration.cli import main as cli
from orchestration.evaluation.records import Score
from orchestration.reports import photo as report
from orchestration.reports.photo import PhotoEvaluation, ProtocolRow
from orchestration.reports.photo_tables import motion_cells, table_cells, to_markdown
from orchestration.reports.table1 import REPORT_EXPERIMENT
from posegen.checkpoints.checkpoint import TrainingProgress, save_checkpoint
from posegen.evaluation.photo_protocol import PhotoScores
from posegen.io.images import write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.metrics.statistics import PairedTest
from posegen.stages import DeformableGAN
from posegen.synthetic.studio import RenderSettings, render_action
from tests.support.labelled_photos import studio_photos, write_photo_set, write_photos


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(line))
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("posegen: ")
    return " ".join(message.split())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(report, "num_processes", lambda *_: 0)  # they would not know what a test puts in place
    return tmp_path


def test_what_cannot_be_measured_is_refused(place, capsys):
    (place / "empty").mkdir()
    (place / "file").write_text("")
    assert "nothing to measure" in refused("evaluate --pipeline photo", capsys)
    assert "dance.mp4: no such clip" in refused("evaluate --pipeline photo dance.mp4", capsys)
    assert "expected files like PERSON/ACTION.mp4" in refused("evaluate --pipeline photo empty", capsys)
    assert "empty has no photos" in refused("evaluate --pipeline photo --photos empty", capsys)
    assert "--refiner, which is missing" in refused("evaluate --pipeline photo x --without refiner", capsys)
    assert "labels" in refused("evaluate --pipeline photo --labels empty", capsys)
    assert "file is a file" in refused("evaluate --pipeline photo file --out file", capsys)
    assert "unknown pipeline 'video', expected one of photo, run" in refused("evaluate --pipeline video x", capsys)
    assert sorted(path.name for path in place.iterdir()) == ["empty", "file"]


def test_the_usual_evaluation_is_what_it_was(place, capsys):
    assert "nowhere" in refused("evaluate nowhere", capsys)
    assert "nowhere" in refused("evaluate --pipeline run nowhere", capsys)


def test_photos_are_measured_recorded_and_drawn(place, capsys, monkeypatch):
    """What is rendered is tested elsewhere; here a photo's scores are given, and one photo shows nobody."""
    from posegen.errors import PerceptionError

    def score(name, image, size, motions, pipeline):
        if name == "nobody":
            raise PerceptionError("no person is found in the picture, expected a person")
        scores = {"look_skin": 0.5, "pck": 0.99 if name == "ann" else 0.97, "speed": 20.0, "ghosts": float("nan")}
        return PhotoScores(name, scores, {"upper black": [1.0, 2.0], "upper white": [1.0]}), image

    monkeypatch.setattr(report, "score_photo", score)
    for name in ("ann", "bob", "nobody"):
        image = render_action("ada", "bow", 1, RenderSettings(size=(96, 64))).images[0]
        write_picture(place / "photos" / f"{name}.png", image)
    cli.main(shlex.split("evaluate --pipeline photo --photos photos --out report --perceptual"))
    out = capsys.readouterr().out
    assert "pck" in out and "nobody.png was not measured" in out
    found = json.loads((place / "report/photo.json").read_text())
    rows = {row["metric"]: row for row in found["rows"]}
    assert rows["pck"]["score"]["mean"] == pytest.approx(0.98) and rows["pck"]["count"] == 2
    assert rows["pck"]["score"]["interval"][0] >= 0.97
    assert rows["color_median_upper"]["score"]["mean"] == 1 and "ghosts" not in rows
    assert {path.name for path in (place / "report/photos").iterdir()} == {"ann.png", "bob.png"}
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    experiment = client.get_experiment_by_name(REPORT_EXPERIMENT)
    [logged] = client.search_runs([experiment.experiment_id])
    assert logged.data.metrics["test/pck"] == pytest.approx(0.98)
    assert logged.data.metrics["test/pck.low"] <= 0.98
    assert {file.path for file in client.list_artifacts(logged.info.run_id)} >= {"photo.json", "photo.md", "photos"}


def evaluation() -> PhotoEvaluation:
    test = PairedTest(0.02, 0.01, 0.03, 0.001)
    motion = {"dance": {"copy": {"ms_ssim": 0.8}, "parts": {"ms_ssim": 0.88}, "layers": {"ms_ssim": 0.9}}}
    rows = [
        ProtocolRow("motion on clips", "ms_ssim", Score(0.9), 1, "0.8 / 0.88", 0.88, "up"),
        ProtocolRow("leak", "leak", Score(0.02, (0.01, 0.03)), 2, "", 0.01, "down"),
    ]
    return PhotoEvaluation(
        {}, "p", "d", rows, motion, {"dance": {"copy": {"ms_ssim": test}}}, {"layers": [PhotoScores("ann")]}
    )


def test_tables_say_what_is_reached_and_what_is_ahead():
    cells = table_cells(evaluation())
    assert [line[-1] for line in cells] == ["reached", "yes", "no"]
    assert cells[2][4] == "0.0100 – 0.0300" and cells[2][7] == "≤ 0.01"
    by_method = {line[1]: line[2] for line in motion_cells(evaluation())}
    assert by_method["copy"] == "0.8000 (ahead, p 0.0010)" and by_method["layers"] == "0.9000"


def test_the_page_links_its_pictures():
    page = to_markdown(evaluation())
    assert "![dance](clips/dance.png)" in page and "![ann, layers](photos/ann.png)" in page
    assert "| leak | leak | layers | 0.0200 |" in page


def test_photos_are_spread_over_the_folder(place, monkeypatch):
    names = []

    def score(name, image, size, motions, pipeline):
        names.append(name)
        return PhotoScores(name, {"pck": 1.0}), image

    monkeypatch.setattr(report, "score_photo", score)
    for number in range(5):
        write_picture(place / "photos" / f"{number}.png", np.full((64, 48, 3), 90, np.uint8))
    cli.main(shlex.split("evaluate --pipeline photo --photos photos --max-photos 3 --out report --perceptual"))
    assert names == ["0", "2", "4"]


@pytest.mark.parametrize("converted", [True, False])
def test_masks_are_measured_by_labels_with_and_without_the_parser(place, capsys, converted):
    photos = studio_photos(size=(192, 128), people=("ada",) if converted else ("ada", "bruno", "chloe"))
    (write_photos if converted else write_photo_set)(place / "labelled", photos)
    cli.main(shlex.split("evaluate --pipeline photo --labels labelled --without parser --out report --perceptual"))
    rows = {
        (row["metric"], row["method"]): row for row in json.loads((place / "report/photo.json").read_text())["rows"]
    }
    assert {metric for metric, _ in rows} == {"iou_upper", "iou_lower", "painted"}
    parser, heuristic = (rows["iou_upper", method] for method in ("layers", "layers without parser"))
    assert parser["what"] == "masks" and parser["count"] >= 1
    assert 0.3 < parser["score"]["mean"] <= 1 and parser["score"]["mean"] != heuristic["score"]["mean"]
    assert "layers without parser" in capsys.readouterr().out


@pytest.fixture(scope="module")
def deformable_gan(tmp_path_factory) -> str:
    """A run that was not trained."""
    torch.manual_seed(0)
    stage = DeformableGAN(replace(DeformableGAN.presets["tiny"], width=4, num_levels=5, discriminator_width=4))
    folder = StorageFolder(tmp_path_factory.mktemp("gan"))
    progress = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=(96, 64))
    save_checkpoint(folder / "checkpoints" / "000001", stage, progress)
    return str(folder)


def test_photos_are_measured_in_processes(place, capsys, monkeypatch):
    """Each in one; what is wrong with one costs no other."""
    monkeypatch.setattr(report, "num_processes", lambda *_: 2)
    (place / "photos").mkdir()
    for name in ("ann", "bob"):
        (place / "photos" / f"{name}.png").write_bytes(b"no picture")
    cli.main(shlex.split("evaluate --pipeline photo --photos photos --perceptual"))
    left_out = json.loads((place / "photo-evaluation/photo.json").read_text())["left_out"]
    assert set(left_out) == {"ann.png", "bob.png"} and all(name in reason for name, reason in left_out.items())


def test_clips_of_a_folder_are_measured_and_others_left_out(place, capsys):
    clip = render_action("bruno", "raise_arms", 6, RenderSettings(size=(96, 96)))
    for person in ("ann", "bob"):
        (place / "clips" / person).mkdir(parents=True)
        write_video(place / "clips" / person / "raise.mp4", clip.images, fps=25)
    write_video(place / "clips/wall.mp4", np.full_like(clip.images, 90), fps=25)
    (place / "clips/words.txt").write_text("none")
    cli.main(shlex.split("evaluate --pipeline photo clips --clip-size 96x96 --perceptual --out report"))
    found = json.loads((place / "report/photo.json").read_text())
    assert set(found["motion"]) == {"ann-raise", "bob-raise"} and list(found["left_out"]) == ["wall"]
    assert {path.name for path in (place / "report/clips").iterdir()} == {"ann-raise.png", "bob-raise.png"}
    out = " ".join(capsys.readouterr().out.split())
    assert "wall was not measured: " in out and "clips: passed over: 1 .txt" in out
    assert "no person" in refused("evaluate --pipeline photo clips/wall.mp4 --perceptual --out other", capsys)


def test_a_clip_is_shown_by_every_method(place, capsys, deformable_gan):
    clip = render_action("bruno", "raise_arms", 6, RenderSettings(size=(192, 192)))
    write_video(place / "bruno.mp4", clip.images, fps=25)
    options = f"--clip-size 192x192 --without parser --ablations --deformable-gan {deformable_gan} --perceptual"
    cli.main(shlex.split(f"evaluate --pipeline photo bruno.mp4 {options} --out report"))
    found = json.loads((place / "report/photo.json").read_text())
    others = ("layers without parser", "Deformable GAN", "layers, true background", "layers of a clip")
    assert set(found["motion"]["bruno"]) == {"copy", "parts", "layers", *others}
    assert {row["method"] for row in found["rows"]} == {"layers", *others}
    means = {method: scores["ms_ssim"] for method, scores in found["motion"]["bruno"].items()}
    assert means["Deformable GAN"] < means["layers"]  # it was not trained
    assert means["layers without parser"] != means["layers"]
    assert (place / "report/clips/bruno.png").exists() and "Deformable GAN" in capsys.readouterr().out
