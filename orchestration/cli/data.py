"""``posegen data VERB …``: datasets that users download themselves, as the published code and posegen want them."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional
from tyro.extras import SubcommandApp

from orchestration.cli.console import console, deferred
from orchestration.cli.progress import CountProgress
from orchestration.data.h36m_extract import ExtractSettings
from orchestration.data.h36m_process import ProcessSettings
from orchestration.data.vunet_clips import TITLES, IndexSettings
from posegen.datasets.published.vunet_index import DatasetName

MARKET = IndexSettings(size=(128, 128))
"""What the published code has for Market."""


def data_app() -> SubcommandApp:
    """All verbs."""
    app = SubcommandApp()
    h36m = SubcommandApp()
    h36m.command(name="extract")(deferred(extract))
    h36m.command(name="process")(deferred(process))
    app.command(h36m, name="h36m", help="Human3.6M: extract its archives, then process what was extracted.")
    app.command(name="deepfashion")(deferred(deepfashion))
    app.command(name="market")(deferred(market))
    return app


def extract(archives: Positional[Path], out: Positional[Path], settings: ExtractSettings = ExtractSettings()) -> None:
    """Unpack Human3.6M's archives to OUT/extracted, after all of them were looked through.

    Of each person Poses_D3_Positions_mono_universal_S1.tgz and Videos_S1.tgz (also .tar.gz or .tar) are needed, from
    the dataset's own site. Poses_D2_Positions and Poses_D3_Positions are unpacked, too, where they are there. What is
    unpacked is not unpacked again; links, devices and paths that lead elsewhere are refused.

    Args:
        archives: Folder of the archives.
        out: Folder of the dataset.
    """
    from orchestration.data.h36m_extract import extract_h36m

    with CountProgress(console, "archives") as listener:
        extracted = extract_h36m(archives, out, settings, on_progress=listener.update)
    console.print(str(extracted), markup=False)
    console.print(f"next: posegen data h36m process {out} --metadata metadata.xml", markup=False)


def process(out: Positional[Path], settings: ProcessSettings = ProcessSettings()) -> None:
    """Make Human3.6M's pictures, annotation, motions (for behavior) and clips (for shape_posture).

    Pictures and annot_export.h5 lie in OUT/processed/all as published code has them. Cameras are those of metadata.xml,
    which comes with the dataset's code; where measured positions in the room and in pictures were extracted, these
    count. Irregular names of files are known. What is broken or missing is listed in OUT/rejected.json and left out;
    what is there is not made again.

    Args:
        out: Folder of the dataset, with what `posegen data h36m extract` made.
    """
    from orchestration.data.h36m_process import process_h36m

    with CountProgress(console, "processing") as listener:
        made = process_h36m(out, settings, on_progress=listener.update)
    console.print(str(made), markup=False)
    console.print(f"next: posegen train behavior {out}/motions --name behavior", markup=False)
    console.print(f"next: posegen train shape_posture {out}/clips --preset h36m --name shape", markup=False)


def deepfashion(index: Positional[Path], out: Positional[str], settings: IndexSettings = IndexSettings()) -> None:
    """Make clips (for shape_posture) of DeepFashion as the VUNet has it: pictures and index.p, in which nothing is run.

    A clip is all pictures of one item's wearer in one colour, by the names of files. Pictures without both shoulders
    and both hips are left out, and listed in OUT/rejected.json.

    Args:
        index: Folder with index.p.
        out: Folder of the dataset.
    """
    _convert(index, out, "deepfashion", settings)


def market(index: Positional[Path], out: Positional[str], settings: IndexSettings = MARKET) -> None:
    """Make clips (for shape_posture) of Market as the VUNet has it: pictures and index.p, in which nothing is run.

    A clip is all pictures of one person, by the names of files; pictures are widened to squares by their borders.
    Those without both shoulders and both hips are left out, and listed in OUT/rejected.json.

    Args:
        index: Folder with index.p.
        out: Folder of the dataset.
    """
    _convert(index, out, "market", settings)


def _convert(index: Path, out: str, dataset: DatasetName, settings: IndexSettings) -> None:
    from orchestration.data.vunet_clips import convert_index

    with CountProgress(console, f"reading {TITLES[dataset]}") as listener:
        made = convert_index(index, out, dataset, settings, on_progress=listener.update)
    console.print(str(made), markup=False)
    console.print(f"next: posegen train shape_posture {out} --preset {dataset} --name {dataset}", markup=False)
