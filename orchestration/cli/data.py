"""``posegen studio, prepare, colorize, data``: videos and published datasets become datasets of clips."""

from __future__ import annotations

from pathlib import Path

from orchestration.cli.console import console
from orchestration.cli.parsing import Group, Positional, Section
from orchestration.cli.progress import CountProgress
from orchestration.data.colorize import ColorizeSettings
from orchestration.data.h36m_extract import ExtractSettings
from orchestration.data.h36m_process import ProcessSettings
from orchestration.data.motion_files import ReadSettings
from orchestration.data.pairs import PairSettings
from orchestration.data.parsing import ParsingSettings
from orchestration.data.prepare import PrepareSettings
from orchestration.data.studio import StudioSettings
from orchestration.data.vunet_clips import TITLES, IndexSettings
from posegen.datasets.published.vunet_index import DatasetName
from posegen.errors import counted

DATA_COMMANDS = Section("Prepare data")
"""The commands of this file."""
_h36m = Section("Commands")
_published = Section(
    "Datasets", {"h36m": Group("Human3.6M: extract its archives, then process what was extracted.", (_h36m,))}
)
_MARKET = IndexSettings(size=(128, 128))  # as the published code has it


@DATA_COMMANDS.command("studio")
def _studio(out: Positional[Path], settings: StudioSettings, reading: ReadSettings) -> None:
    """Render videos of synthetic people, whose poses are known.

    All people do the same actions, or the motions of files. Keypoints, masks and colours lie beside each video, for the
    backends `truth`.

    Args:
        out: Folder for PERSON/ACTION.mp4, with the truth beside each video.

    Examples:
        posegen studio videos --people 4 --actions 6
        posegen studio rendered --people 2 --motion kick.npz walk.bvh --size 192x128
    """
    from orchestration.data.studio import render_studio

    with CountProgress(console, "rendering") as progress:
        count = render_studio(out, settings, reading, progress.update)
    console.print(f"{counted(count, 'video')} in {out}", markup=False)
    console.print(f"next: posegen prepare {out} DATASET --pose truth --edges truth --mask truth", markup=False)


@DATA_COMMANDS.command("prepare")
def _prepare(videos: Positional[str], out: Positional[str], settings: PrepareSettings) -> None:
    """Make a clip dataset from a folder of videos.

    A clip has cropped frames, keypoints, edges and masks. Videos lie in VIDEOS/PERSON/ACTION.mp4, or --pattern says how
    to read person and action from their paths. Animated GIF and WebP, and folders of numbered pictures, are videos too.
    The same command again prepares only videos that are new or changed. OUT/preview.html shows poses and masks of every
    clip, and the frames of what was rejected.

    Args:
        videos: Folder of videos: local, a shared mount or an address such as s3://bucket/videos.
        out: Folder of the dataset, likewise.

    Examples:
        posegen prepare VIDEOS data --crop person
        posegen prepare VIDEOS data --pattern "{person}_{action}" --split-by person --size 192x128
        posegen prepare s3://bucket/videos s3://bucket/data
    """
    from orchestration.data.preparation_page import PAGE
    from orchestration.data.prepare import prepare_videos

    with CountProgress(console, "preparing") as progress:
        summary = prepare_videos(videos, out, settings, on_progress=progress.update)
    console.print(str(summary), markup=False)
    for line in summary.lines():
        console.print(line, markup=False)
    console.print(f"look at the poses and masks: {summary.dataset}/{PAGE}", markup=False)
    console.print(f"next: posegen colorize {out} --all-kinds")


@DATA_COMMANDS.command("colorize")
def _colorize(dataset: Positional[str], settings: ColorizeSettings) -> None:
    """Recolor the clothes of every clip, to train encoders on.

    Encoders learn the colour of a garment from recolored frames (Section 3.1), the generator from recolored clips. All
    stages together need --all-kinds.

    Args:
        dataset: Folder of a clip dataset.

    Examples:
        posegen colorize data --all-kinds
        posegen colorize data --scope clip --region both --recolorings 8
    """
    from orchestration.data.colorize import recolor_dataset

    with CountProgress(console, "recoloring") as progress:
        summary = recolor_dataset(dataset, settings, on_progress=progress.update)
    console.print(str(summary))


DATA_COMMANDS.commands["data"] = Group(
    "Convert Human3.6M, DeepFashion, Market or labelled photos.", (_published,), "dataset"
)


@_h36m.command("extract")
def _extract(archives: Positional[Path], out: Positional[Path], settings: ExtractSettings) -> None:
    """Extract Human3.6M's archives to OUT/extracted, after checking them.

    Each person needs Poses_D3_Positions_mono_universal_S1.tgz and Videos_S1.tgz (also .tar.gz or .tar), from the
    dataset's own site. Poses_D2_Positions and Poses_D3_Positions are extracted too, if they are there. Files that are
    extracted are kept. Archives with links, devices or paths outside the folder are refused.

    Args:
        archives: Folder of the archives.
        out: Folder of the dataset.

    Examples:
        posegen data h36m extract archives h36m
        posegen data h36m extract archives h36m --subjects S1 S5 S9
    """
    from orchestration.data.h36m_extract import extract_h36m

    with CountProgress(console, "archives") as progress:
        extracted = extract_h36m(archives, out, settings, on_progress=progress.update)
    console.print(str(extracted), markup=False)
    console.print(f"next: posegen data h36m process {out} --metadata metadata.xml", markup=False)


@_h36m.command("process")
def _process(out: Positional[Path], settings: ProcessSettings) -> None:
    """Make images, annotation, motions and clips of the extracted files.

    Images and annot_export.h5 lie in OUT/processed/all, in the layout of published code. Motions are for the stage
    behavior, clips for shape_posture. Cameras come from metadata.xml of the dataset's own code, or are fitted where
    measured positions in the room and in the images were extracted. Irregular file names of the dataset are known.
    Broken or missing files are listed in OUT/rejected.json and left out. Finished files are kept.

    Args:
        out: Folder of the dataset, after `posegen data h36m extract`.

    Examples:
        posegen data h36m process h36m --metadata metadata.xml
        posegen data h36m process h36m --annotations annot_export.h5
    """
    from orchestration.data.h36m_process import process_h36m

    with CountProgress(console, "processing") as progress:
        made = process_h36m(out, settings, on_progress=progress.update)
    console.print(str(made), markup=False)
    console.print(f"next: posegen train behavior {out}/motions --name behavior", markup=False)
    console.print(f"next: posegen train shape_posture {out}/clips --preset h36m --name shape", markup=False)


@_published.command("deepfashion")
def _deepfashion(index: Positional[Path], out: Positional[str], settings: IndexSettings) -> None:
    """DeepFashion: make clips for shape_posture from the VUNet's index.p and images.

    A clip has all images of one item, in one colour and on one person, by their file names. Images without both
    shoulders and both hips are left out and listed in OUT/rejected.json. The code inside index.p is never run.

    Args:
        index: Folder with index.p.
        out: Folder of the dataset.

    Examples:
        posegen data deepfashion deepfashion fashion
        posegen data deepfashion deepfashion fashion --workers 4
    """
    _convert_index(index, out, "deepfashion", settings)


@_published.command("market")
def _market(index: Positional[Path], out: Positional[str], settings: IndexSettings = _MARKET) -> None:
    """Market: make clips for shape_posture from the VUNet's index.p and images.

    A clip has all images of one person, by their file names, widened to squares by repeating their borders. Images
    without both shoulders and both hips are left out and listed in OUT/rejected.json. The code inside index.p is never
    run.

    Args:
        index: Folder with index.p.
        out: Folder of the dataset.

    Examples:
        posegen data market market1501 street
        posegen data market market1501 street --workers 4
    """
    _convert_index(index, out, "market", settings)


@_published.command("pairs")
def _pairs(out: Positional[str], settings: PairSettings, reading: ReadSettings) -> None:
    """Pairs of pictures of the studio's people with exact correspondence: make a dataset for the refiner.

    With --photos, people of photos are moved to poses of actions and back, too; the photo is what a refiner has to
    find. The same command again makes only pairs that are missing.

    Args:
        out: Folder of the dataset.

    Examples:
        posegen data pairs PAIRS --pairs 2000
        posegen data pairs PAIRS --pairs 2000 --motion walk.bvh
        posegen data pairs PAIRS --pairs 700 --poses blazepose --photos people
    """
    from orchestration.data.pairs import make_pairs

    with CountProgress(console, "pairs") as progress:
        made = make_pairs(out, settings, reading, progress.update)
    console.print(str(made), markup=False)
    console.print(f"next: posegen train refiner {out} --name refiner", markup=False)


@_published.command("parsing")
def _parsing(photos: Positional[Path], out: Positional[str], settings: ParsingSettings) -> None:
    """Labelled photos: make a dataset for person_parser, for example of Clothing Co-Parsing.

    Photos lie in photos/ID.jpg with labels/ID.png and classes.txt, or with annotations/pixel-level/ID.mat and
    label_list.mat. Classes become hair, skin, upper, lower, one_piece, shoes and carried by their names. Poses, masks
    and a first guess of the garments are found once. Photos that are broken are listed in OUT/rejected.json.

    Args:
        photos: Folder of the set.
        out: Folder of the dataset.

    Examples:
        posegen data parsing ccp labelled
        posegen data parsing photos labelled --workers 4
    """
    from orchestration.data.parsing import convert_photos

    with CountProgress(console, "labelled photos") as progress:
        made = convert_photos(photos, out, settings, on_progress=progress.update)
    console.print(str(made), markup=False)
    console.print(f"next: posegen train person_parser {out} --name parser", markup=False)


def _convert_index(index: Path, out: str, dataset: DatasetName, settings: IndexSettings) -> None:
    from orchestration.data.vunet_clips import convert_index

    with CountProgress(console, f"reading {TITLES[dataset]}") as progress:
        made = convert_index(index, out, dataset, settings, on_progress=progress.update)
    console.print(str(made), markup=False)
    console.print(f"next: posegen train shape_posture {out} --preset {dataset} --name {dataset}", markup=False)
