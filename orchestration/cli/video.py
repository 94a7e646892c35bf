"""``posegen generate, animate, colorways, transfer, evaluate, export``: videos of runs, and what runs are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from tyro.conf import UseAppendAction

from orchestration.cli.checkpoint import with_checkpoint
from orchestration.cli.console import console
from orchestration.cli.parsing import Command, Positional, Section, arg
from orchestration.cli.progress import ConsoleProgress, CountProgress
from orchestration.evaluation.video import EvaluateSettings
from orchestration.generation.adapt import AdaptSettings
from orchestration.generation.animate import PersonSettings
from orchestration.generation.colorways import ColorwaySettings
from orchestration.generation.output import OutputSettings
from orchestration.generation.transfer import TransferSettings
from orchestration.reports.photo import PhotoEvaluateSettings
from posegen.checkpoints.run_record import dataset_of, is_run_folder
from posegen.errors import ConfigError, counted
from posegen.inference.option_use import PHOTO, RUN, require_used
from posegen.inference.requested_codes import ColorSettings
from posegen.inference.requested_motions import MotionSettings
from posegen.inference.run_video import PoseSettings
from posegen.inference.shown_person import PhotoSettings, ViewSettings
from posegen.io.output_files import PREVIEW, OverwriteSettings, written_as
from posegen.io.storage import StorageFolder

if TYPE_CHECKING:
    from orchestration.generation.output import GeneratedVideos

VIDEO_COMMANDS = Section("Generate and evaluate videos")
"""The commands of this file."""
_CLASS_LEGEND = (
    "its classes: blue is the upper garment (--upper), green the lower one (--lower), purple a one-piece (the garment "
    "that is not seen beside it, or both), brown hair, beige skin, yellow shoes, and red what is carried, such as a "
    "bag"
)


@dataclass(frozen=True, kw_only=True)
class _MotionOptions(MotionSettings):
    """The motion of the person: generated for actions, or read from a file."""

    action: UseAppendAction[tuple[str, ...]] = ()
    """An action, or several separated by commas; may be given again. Each gives one video. Without --actor: wave,
    wave_one_hand, wave_both_hands, jumping_jacks, side_step, squat, arm_circles, salute, stretch, march_in_place,
    point, bow, kick, clap, turn_torso, punch, boxing_guard, jump, sit, bend, raise_arms, turn, idle, drink, phone,
    throw, lunge, dance, walk or run."""


@VIDEO_COMMANDS.command("generate")
@with_checkpoint
def _generate(
    run: Positional[str],
    content: str,
    driving: PoseSettings,
    output: OutputSettings,
    colors: ColorSettings,
    dataset: str = "",
) -> None:
    """Generate videos of a person, in given poses and colours.

    Poses are fitted to the person: limbs take the person's lengths, and feet stand on the person's ground. One pose
    sequence gives one video. Several, or --sample, give a folder of videos.

    Args:
        run: Run of the stage video_generator or end_to_end.
        content: The person: an image file, or a video file or a clip (its id or PERSON/ACTION, /2 for the second of
            several), of which the first frame is taken.
        dataset: Clip dataset with these clips, whose backends also process a new image; by default the run's own.

    Examples:
        posegen generate runs/video --content ann/wave --poses bob/bow --upper '#2a6fdb' --out out.mp4
        posegen generate runs/video --content photo.jpg --poses dance.mp4 --lower teal --exact-color --out dance.mp4
    """
    from orchestration.generation.videos import generate

    output = output.named_after(run)
    made = generate(run, dataset or dataset_of(run), content=content, driving=driving, output=output, colors=colors)
    _print_videos(made)


@VIDEO_COMMANDS.command("animate")
@with_checkpoint
def _animate(
    subject: Annotated[Positional[str], arg(metavar="PHOTO|VIDEO|RUN")],
    output: OutputSettings,
    moves: _MotionOptions,
    colors: ColorSettings,
    view: PhotoSettings,
    source: PersonSettings,
) -> None:
    """Animate the person of a photo in given actions and colours.

    With a photo, the person's own pixels move, the clothes take exactly the colours given, and no training is needed:
    posegen animate photo.jpg --action wave --upper teal --out wave.mp4

    The motion comes from an action (--action; of the motion model that comes with posegen, or of --actor), from a
    motion file (--motion) or from a video of somebody else (--poses), and is fitted to the person's size and place. One
    action gives one video. Several, or --sample, give a folder of videos.

    Args:
        subject: A photo, a video of the person, or a run of the stage video_generator or end_to_end (with --content).

    Examples:
        posegen animate photo.jpg --action wave --upper '#2a6fdb' --lower black --out wave.mp4
        posegen animate photo.jpg --poses dance.mp4 --size 768x512 --out dance.mp4
        posegen animate runs/video --content ann/wave --action walk --upper teal --out walk.mp4
    """
    from orchestration.generation.animate import animate
    from orchestration.generation.photo import animate_photo
    from orchestration.generation.videos import generate
    from posegen.inference.people import is_image
    from posegen.io.media import is_video_source

    path, output = Path(subject), output.named_after(subject)
    is_run = path.is_dir() and is_run_folder(StorageFolder(subject))
    if not is_run and (is_image(subject) or is_video_source(path) or path.is_file()):
        require_used(PHOTO, source, colors, output)
        with CountProgress(console, "frames") as progress:
            made = animate_photo(path, moves=moves, output=output, colors=colors, view=view, on_frame=progress.update)
    else:
        if path.is_dir() and not is_run:
            raise ConfigError(f"{subject} is a folder without a run, expected a photo, a video of the person or a run")
        require_used(RUN, view)
        content, dataset = source.require_content(), source.dataset or dataset_of(subject)
        if view.poses is None:
            made = animate(subject, dataset, content=content, moves=moves, output=output, colors=colors)
        else:
            moves.require_no_motion()
            driving = PoseSettings(poses=(str(view.poses),), frames=moves.frames, fps=moves.fps)
            made = generate(subject, dataset, content=content, driving=driving, output=output, colors=colors)
    _print_videos(made)


@VIDEO_COMMANDS.command("adapt")
def _adapt(photo: Annotated[Positional[Path], arg(metavar="PHOTO|VIDEO")], settings: AdaptSettings) -> None:
    """Adapt a refiner to the person of a photo or a video.

    The person is moved to other poses and back, which shows what is missing; a video gives pairs of its own frames,
    too. The run corrects the frames of `posegen animate PHOTO --refiner RUN`.

    Args:
        photo: An image file, or a video of the person.

    Examples:
        posegen adapt photo.jpg --minutes 10 --name ann
        posegen adapt ann.mp4 --minutes 30 --name ann
    """
    from orchestration.generation.adapt import adapt

    with CountProgress(console, "pairs") as progress, ConsoleProgress(console) as listener:
        made = adapt(photo, settings, on_pair=progress.update, listener=listener)
    console.print(
        f"{made.run.name} is trained on {counted(made.num_pairs, 'pair')}; it lies in {made.run}", markup=False
    )
    console.print(
        f"next: posegen animate {photo} --action wave_one_hand --refiner {made.run} --out wave.mp4", markup=False
    )


@VIDEO_COMMANDS.command("preview")
def _preview(
    photo: Positional[Path],
    view: ViewSettings,
    writing: OverwriteSettings,
    out: Annotated[Path | None, written_as(PREVIEW)] = None,
) -> None:
    """Show how posegen sees a photo, and which actions suit it.

    Writes a picture with photo, pose, classes of pixels, layers and background side by side. Prints what the photo
    hides, and which actions will look good, fair or poor.

    Args:
        photo: An image file.
        out: The picture to write, .png; by default PHOTO.preview.png in the current folder.

    Examples:
        posegen preview photo.jpg
        posegen preview group.jpg --person 2 --out second.png
    """
    from orchestration.generation.preview import preview

    with console.status("looking at the photo …"):
        made = preview(photo, out, view, writing)
    for line in made.report.findings or ["nothing was found that speaks against this photo"]:
        console.print(line, markup=False)
    for suitability in ("good", "fair", "poor"):
        fits = {name: fit.reason for name, fit in made.report.actions.items() if fit.suitability == suitability}
        for reason in dict.fromkeys(fits.values()):
            names = ", ".join(name for name, why in fits.items() if why == reason)
            console.print(f"{suitability}: {names}" + f" ({reason})" * bool(reason), markup=False)
    for better in dict.fromkeys(fit.better for fit in made.report.actions.values() if fit.better):
        console.print(f"more actions suit {better}", markup=False)
    if made.is_older:
        console.print(f"{made.picture} is there already and stays: --overwrite replaces it", markup=False)
        return
    console.print(f"picture: {made.picture}; {_CLASS_LEGEND}", markup=False)


@VIDEO_COMMANDS.command("colorways")
def _colorways(photo: Positional[Path], settings: ColorwaySettings) -> None:
    """Show a photo of a person in many colours on one sheet.

    Combines each colour of the upper garment with each of the lower one. Keeps texture and folds, and every pixel of a
    garment that is given no colour. Prints how far each colour is from the requested one (ΔE2000: below 1 is hardly
    visible), and writes it as .csv beside the sheet.

    Args:
        photo: The photo of a person.

    Examples:
        posegen colorways photo.jpg --upper teal black white --lower keep navy --out sheet.png
        posegen colorways photo.jpg --upper '#2a6fdb' coral --action wave --out moments.png
    """
    from orchestration.generation.colorways import write_colorways

    with console.status("recolouring …"):
        made = write_colorways(photo, settings)
    console.print(made.table())
    for note in made.notes:
        console.print(note, markup=False)
    pictures = counted(made.num_pictures, "picture")
    console.print(f"the photo and {pictures} in other colours: {made.sheet}; this table: {made.figures}", markup=False)


@VIDEO_COMMANDS.command("transfer")
@with_checkpoint
def _transfer(run: Positional[str], output: OutputSettings, settings: TransferSettings, colors: ColorSettings) -> None:
    """Transfer one person's behaviour to another person's pose.

    The other person's motion starts from their own pose (behaviour-driven synthesis). Without --appearance the video
    shows stick figures: the source of the behaviour, the source of the pose, and the transfer. With --appearance and
    --renderer it shows that person. One posture gives one video, several give a folder of videos. The motion lies
    beside each video, .npz.

    Args:
        run: Run of the stage behavior or behavior_flow.

    Examples:
        posegen transfer runs/behavior --behavior s01/kick --posture s02/sit --out kick.mp4
        posegen transfer runs/behavior --behavior dance.mp4 --posture walk.npz --frames 120 --out dance.mp4
    """
    from orchestration.generation.transfer import transfer

    made = transfer(run, settings, output.named_after(run), colors=colors)
    _print_videos(made.rendered)
    motions = _name_files(made.motions, "file")
    console.print(f"the motion, to be turned with `posegen motion show`: {motions}", markup=False)


@with_checkpoint
def _evaluate(run: Positional[str], settings: EvaluateSettings, dataset: str = "") -> None:
    """Measure a run of any stage on held-out data.

    Stages that render videos reconstruct test clips from their first frames (Section 4.3). Runs of actor, behavior and
    behavior_flow are measured as by `posegen motion evaluate` and `posegen behavior evaluate`, which have options of
    their own. For all other stages the validation metrics are averaged over the whole split.

    Args:
        run: Run of any stage.
        dataset: What the stage reads; by default the dataset that the run was trained on.

    Examples:
        posegen evaluate runs/video
        posegen evaluate runs/upper --split test
    """
    from orchestration.evaluation.evaluate import evaluate_run
    from orchestration.evaluation.tables import record_tables
    from posegen.inference.people import is_file

    if is_file(run):
        raise ConfigError(f"{run} is no run: a photo or a video is measured by posegen evaluate --pipeline photo {run}")
    with CountProgress(console, "measuring") as progress:
        record = evaluate_run(run, dataset, settings, on_progress=progress.update)
    console.print(*record_tables(record))
    for line in record.notes:
        console.print(line, markup=False)
    console.print(f"scores by name, and pictures where there are any: {record.folder}", markup=False)
    console.print(f"next: posegen compare {run} OTHER_RUN --metric {record.phase}/NAME", markup=False)


def _evaluate_photos(clips: Positional[tuple[Path, ...]], settings: PhotoEvaluateSettings) -> None:
    """Measure the photo pipeline, which needs no run: posegen evaluate --pipeline photo CLIPS.

    Later frames of each clip are shown from its first one, by layers as `posegen animate PHOTO` does, and compared with
    copying it, with rigid parts and, where a run is given, with Deformable GAN. People of --photos are shown in actions
    and colours: whether they keep their look, have the colours, take the poses and are whole. On --labels the masks of
    garments are measured. --without and --ablations show what single parts are worth.

    Args:
        clips: Videos of one person each, and folders of them.

    Examples:
        posegen evaluate --pipeline photo clips/a.mp4 clips/b.mp4
        posegen evaluate --pipeline photo clips --photos people
        posegen evaluate --pipeline photo clips/a.mp4 --photos people --max-photos 4 --ablations
    """
    from orchestration.reports.photo import evaluate_photos
    from orchestration.reports.photo_tables import motion_cells, table_cells

    with CountProgress(console, "measuring") as progress:
        evaluation = evaluate_photos(clips, settings, on_progress=progress.update)
    for lines, names in ((table_cells(evaluation), 3), (motion_cells(evaluation), 2)):
        if len(lines) > 1:
            _print_table(lines, names)
    for line in evaluation.notes:
        console.print(line, markup=False)
    console.print(f"tables and pictures: {settings.out}", markup=False)


VIDEO_COMMANDS.commands["evaluate"] = Command({"run": _evaluate, "photo": _evaluate_photos}, option="--pipeline")


@VIDEO_COMMANDS.command("export")
@with_checkpoint
def _export(run: Positional[str], out: Positional[Path], writing: OverwriteSettings) -> None:
    """Export a video generator to ONNX.

    The network takes a feature map, the frame before, a colour code and regions, and gives a frame.

    Args:
        run: Run of the stage video_generator or end_to_end.
        out: The file to write, .onnx.

    Examples:
        posegen export runs/video generator.onnx
        posegen export runs/video generator.onnx --checkpoint last
    """
    from orchestration.generation.export_onnx import export

    made = export(run, out, writing)
    console.print(f"{made.num_bytes / 1e6:.1f} MB in {made.path}", markup=False)


def _print_table(lines: Sequence[tuple[str, ...]], names: int) -> None:
    """Print lines, the first of which has the heads; the first so many columns are names, the others numbers."""
    table = Table()
    for column, head in enumerate(lines[0]):
        table.add_column(head, justify="left" if column < names else "right", overflow="fold")
    for cells in lines[1:]:
        table.add_row(*cells)
    console.print(table)


def _name_files(files: Sequence[Path], noun: str) -> str:
    """One file by its path, several by their number and their folder."""
    folder = "this folder" if files[0].parent == Path() else f"the folder {files[0].parent}"
    return str(files[0]) if len(files) == 1 else f"{counted(len(files), noun)} in {folder}"


def _print_videos(made: GeneratedVideos) -> None:
    sheets = f"a contact sheet in {made.sheets[0]}" if len(made.sheets) == 1 else f"{len(made.sheets)} contact sheets"
    pages = f", a page in {made.pages[0]}" if len(made.pages) == 1 else f", {len(made.pages)} pages" * bool(made.pages)
    videos = _name_files(made.videos, "video")
    console.print(f"{counted(made.num_frames, 'frame')} in {videos}, {sheets}{pages}", markup=False)
    for region, note in made.colors.items():
        console.print(f"{region}: {note}", markup=False)
    for note in made.notes:
        console.print(f"note: {note}", markup=False)
