"""``posegen VERB …``: one call per verb, then a few lines that say what was made."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.logging import RichHandler
from tyro.conf import OmitArgPrefixes, Positional
from tyro.extras import SubcommandApp

from orchestration.cli.behavior import behavior_app
from orchestration.cli.console import console, deferred, errors
from orchestration.cli.data import data_app
from orchestration.cli.motion import motion_app
from orchestration.cli.progress import ConsoleProgress, CountProgress
from orchestration.cli.report import report_app
from orchestration.cli.train import train_app
from orchestration.cli.weights import weights_app
from orchestration.data.colorize import ColorizeSettings
from orchestration.data.motion_conversion import ReadSettings
from orchestration.data.prepare import PrepareSettings
from orchestration.data.studio import StudioSettings
from orchestration.errors import naming_system_errors
from orchestration.evaluation.video import EvaluateSettings
from orchestration.generation.animate import MotionSettings
from orchestration.generation.colors import ColorSettings
from orchestration.generation.output import OutputSettings
from orchestration.generation.transfer import TransferSettings
from orchestration.reports.demo import DemoSettings
from orchestration.runtime.progress import ProgressCallback
from orchestration.search.settings import TuneSettings
from orchestration.search.tables import describe_plan, describe_trial, plan_table
from orchestration.training.import_published import ImportSettings
from orchestration.training.runs import dataset_of
from posegen.checkpoints.published import PublishedStageName, has_flow
from posegen.errors import PosegenError, UsageError, in_one_line
from posegen.stages import STAGES, Behavior

if TYPE_CHECKING:
    from orchestration.generation.output import GeneratedVideos
    from orchestration.search.results import TrialResult

USAGE_ERROR = 2
FOUND = 1  # `cluster check` found something
_GROUPS = ("train", "report", "motion", "behavior", "data", "cluster", "weights")  # verbs that another word follows
_LISTS = (
    "--actions",
    "--methods",
    "--objectives",
    "--observed",
    "--perceptual",
    "--poses",
    "--set",
    "--subjects",
    "--test",
    "--tracks",
)
DESCRIPTION = """Controllable human action video: a pose sequence and a clothing colour in, a video out.

The road: studio, or your own videos → prepare → colorize → train color_encoder (upper, lower)
→ train video_generator → evaluate, generate, animate.

posegen demo walks all of it in a few minutes; posegen VERB --help explains each step."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Ends with code 2 and one line for what the user can put right."""
    handler = RichHandler(console=errors, show_path=False, show_time=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    try:
        with naming_system_errors():
            parse(list(sys.argv[1:] if arguments is None else arguments))()
    except PosegenError as error:
        errors.print("posegen:", in_one_line(error), markup=False)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        errors.print("posegen: stopped; the same command goes on from what is finished")
        sys.exit(130)


def parse(arguments: list[str]) -> partial[None]:
    """Return the call that a command line stands for. Raises UsageError, in one line, where it stands for none."""
    # A stage's options are the fields of its configuration, whose defaults are the preset's.
    preset, rest = take_option(arguments, "--preset", "") if arguments[:1] == ["train"] else ("", arguments)
    if preset and len(rest) > 1 and rest[1] in STAGES and preset not in STAGES[rest[1]].presets:
        raise UsageError(f"unknown preset {preset!r}, expected one of {sorted(STAGES[rest[1]].presets)}")
    _check_once(rest)
    app = build_app(preset)
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return app.cli(prog="posegen", description=DESCRIPTION, args=rest, config=(OmitArgPrefixes,))
    except SystemExit as stop:
        if stop.code == USAGE_ERROR:
            raise UsageError(fold_box(complaint.getvalue(), rest)) from None
        raise


def _check_once(arguments: Sequence[str]) -> None:
    """Raise UsageError for an option of several values that is given twice: the last one alone would count."""
    own = list(arguments)[: arguments.index("--") if "--" in arguments else None]
    options = [argument.partition("=")[0] for argument in own if argument.startswith("--")]
    twice = [option for option in _LISTS if options.count(option) > 1]
    if twice:
        raise UsageError(f"got {twice[0]} twice: give it once, with all its values behind it")


def fold_box(box: str, arguments: Sequence[str]) -> str:
    """Fold the box in which tyro tells what is wrong with the arguments into one line, and say where more is told."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)  # on terminals it is coloured
    content = "\n".join(line.strip("│╰╯ ") for line in plain.splitlines()[1:])  # below the title
    parts = [" ".join(part.split()) for part in re.split(r"^[─-]+$", content, flags=re.MULTILINE)]  # between rules
    message, *details = filter(None, parts)
    message = re.sub(r"^Error parsing \S*__tyro\S*: ", "", message)  # a whole group of options has no name
    for detail in details:
        if detail.startswith(("Available subcommands", "Unrecognized options")):
            message += f"; {detail}"
        elif similar := re.match(r"(?:Perhaps you meant|Arguments similar to \S+): (--[\w-]+)", detail):
            message += f" (did you mean {similar[1]}?)"
    verb = [] if "subcommand" in box else arguments[: 2 if arguments[0] in _GROUPS else 1]
    return f"{message[0].lower()}{message[1:].rstrip('.')}; see {' '.join(['posegen', *verb, '--help'])}"


def take_option(arguments: list[str], option: str, default: str) -> tuple[str, list[str]]:
    """Take one ``--option VALUE`` or ``--option=VALUE`` out of the arguments."""
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            return arguments[index + 1], arguments[:index] + arguments[index + 2 :]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}="), arguments[:index] + arguments[index + 1 :]
    return default, arguments


def build_app(preset: str = "") -> SubcommandApp:
    """All commands. The preset decides the defaults of `train`, so it is known before the rest is parsed."""
    app = SubcommandApp()
    app.command(deferred(studio))
    app.command(deferred(prepare))
    app.command(deferred(colorize))
    app.command(train_app(preset), name="train", help="Train a stage: `posegen train STAGE --help`.")
    app.command(name="import-checkpoint")(deferred(import_checkpoint))
    app.command(deferred(tune))
    app.command(deferred(compare))
    app.command(deferred(ui))
    app.command(deferred(evaluate))
    app.command(deferred(generate))
    app.command(deferred(animate))
    app.command(deferred(transfer))
    app.command(deferred(export))
    app.command(report_app(), name="report", help="The paper's table and figures, from any dataset.")
    app.command(motion_app(), name="motion", help="Motions: files of many kinds, and what runs generate.")
    app.command(behavior_app(), name="behavior", help="What runs of behaviour have learned, and motions of theirs.")
    app.command(data_app(), name="data", help="Human3.6M, DeepFashion and Market, from what you download yourself.")
    app.command(deferred(demo))
    cluster_app = SubcommandApp()
    cluster_app.command(name="check")(deferred(check_cluster))
    app.command(cluster_app, name="cluster", help="A cluster's file: `posegen cluster check FILE`.")
    app.command(deferred(submit))
    app.command(weights_app(), name="weights", help="Pretrained weights: list, fetch, verify or provide them.")
    return app


def studio(
    out: Positional[Path],
    settings: StudioSettings = StudioSettings(),
    reading: ReadSettings = ReadSettings(),
) -> None:
    """Render the built-in studio: people who do the same actions, with their true pose, mask and colours.

    Args:
        out: Folder for PERSON/ACTION.mp4, with the truth beside each video.
    """
    from orchestration.data.studio import render_studio

    with CountProgress(console, "rendering") as listener:
        count = render_studio(out, settings, reading, listener.update)
    console.print(f"{count} videos in {out}", markup=False)
    console.print(f"next: posegen prepare {out} DATASET --pose truth --edges truth --mask truth", markup=False)


def prepare(videos: Positional[Path], out: Positional[str], settings: PrepareSettings = PrepareSettings()) -> None:
    """Turn a folder of videos into a clip dataset: cropped frames, poses, edges and masks.

    Videos lie in VIDEOS/PERSON/ACTION.mp4, or --pattern says how to read person and action from their paths.

    Args:
        videos: Folder of videos.
        out: Folder of the dataset: local, a shared mount or an address such as s3://bucket/data.
    """
    from orchestration.data.prepare import prepare_videos

    with CountProgress(console, "preparing") as listener:
        summary = prepare_videos(videos, out, settings, on_progress=listener.update)
    console.print(str(summary))
    console.print(f"next: posegen colorize {out} --scope frame --region upper")


def colorize(dataset: Positional[str], settings: ColorizeSettings = ColorizeSettings()) -> None:
    """Paint the clothes of a dataset's clips in random colours, which the encoders learn from (Section 3.1).

    The road needs three calls: --scope frame --region upper, --scope frame --region lower, --scope clip --region both.

    Args:
        dataset: Folder of a clip dataset.
    """
    from orchestration.data.colorize import recolor_dataset

    with CountProgress(console, "painting") as listener:
        summary = recolor_dataset(dataset, settings, on_progress=listener.update)
    console.print(str(summary))


def import_checkpoint(
    stage: Positional[PublishedStageName],
    checkpoint: Positional[Path],
    dataset: Positional[str],
    settings: ImportSettings,
) -> None:
    """Make a run of a checkpoint that the published code of behaviour-driven synthesis wrote (Blattmann et al., 2021).

    The run counts as trained to its end: evaluate it, draw with it, train a flow of its codes. Sizes are those of the
    checkpoint's tensors; of a config.yaml beside it are read what windows, frames and codes it was trained with. A flow
    is imported after the behaviour net whose codes it learned, which --from names.

    Args:
        stage: Which network it is: behavior, behavior_flow or shape_posture.
        checkpoint: File reg_ckpt_*.pth or, of a flow, flow_ckpt_*.pth; or a folder, of which the newest one is taken.
        dataset: Motions, of which a behaviour net takes the scale of postures; clips of the size that a
            shape-and-posture net draws.
    """
    from orchestration.training.import_published import import_checkpoint as import_run

    imported = import_run(stage, checkpoint, dataset, settings)
    console.print(f"{imported.checkpoint} is the run {imported.run.name} now; it lies in {imported.run}", markup=False)
    verb = "evaluate" if stage == "shape_posture" else "behavior evaluate"
    console.print(f"next: posegen {verb} {imported.run}", markup=False)
    if not isinstance(imported.config, Behavior.Config):
        return
    if has_flow(imported.checkpoint.parent):
        options = f"{imported.checkpoint.parent} {dataset} --from {imported.run} --name {imported.run.name}-flow"
        console.print(f"its flow: posegen import-checkpoint behavior_flow {options}", markup=False)
        return
    frames, size = imported.config.num_frames, imported.config.latent_dim  # which a flow must have, too
    options = f"{dataset} --from {imported.run} --no-canonical --num-frames {frames} --latent-dim {size}"
    console.print(f"a flow: posegen train behavior_flow {options}", markup=False)


def tune(
    space: Positional[str], dataset: Positional[str], plan: bool = False, settings: TuneSettings = TuneSettings()
) -> None:
    """Search the settings of a method; the same command goes on with a search that was stopped.

    Trial 0 has the preset's own settings. What several trials need, such as equal encoders, is trained once.

    Args:
        space: What is searched. Of videos: codes_and_losses, joint, latent_sizes, loss_weights, optional_losses; of
            motions: motion_codes, motion_kl, behavior_information, behavior_flow.
        dataset: Folder of a clip dataset with all its colours, or of a dataset of motions.
        plan: Say what would be tried and what it costs, and do nothing.
    """
    from orchestration.search.tune import plan as make_plan
    from orchestration.search.tune import tune

    if plan:
        planned = make_plan(space, dataset, settings)
        console.print(plan_table(planned))
        console.print(describe_plan(planned))
        return
    found = tune(space, dataset, settings, on_trial=_say_trial)
    counts = {state: found.count(state) for state in ("complete", "pruned", "failed", "running")}
    console.print(
        f"{found.name}: {len(found.trials)} trials in {found.seconds / 60:.1f} min, "
        + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    )
    trained, reused = (sum(getattr(trial, name) for trial in found.trials) for name in ("trained", "reused"))
    console.print(f"of the runs that trials need, {trained} were trained and {reused} were there already")
    for trial in found.best:
        console.print(f"best: {describe_trial(trial)}; its run: {trial.run}", markup=False)


def compare(
    targets: Positional[tuple[str, ...]], metric: str = "", top: int = 20, out: Path = Path("comparison.html")
) -> None:
    """Compare runs that MLflow has: a table, best first, and a page with plots, pictures and videos.

    A metric without a direction, or whose goal is the value of real data, is listed and not ranked.

    Args:
        targets: Experiments, searches or runs, by their name; a run also by its folder or its id.
        metric: What is compared; by default the objective of a search, or the first metric of an evaluation.
        top: Runs in the table; the page has all.
        out: The page, .html; nothing else is needed to look at it.
    """
    from orchestration.evaluation.compare import compare_runs
    from orchestration.evaluation.compare_page import write_page
    from orchestration.evaluation.tables import comparison_table

    found = compare_runs(targets, metric)
    console.print(comparison_table(found, top))
    if found.without:
        console.print(f"{found.without} more runs do not have {found.info.name}", markup=False)
    console.print(f"with plots, pictures and videos: {write_page(found, out)}", markup=False)


def ui(port: int = 5000) -> None:
    """Open MLflow's page on the store that posegen records to.

    Args:
        port: Where it listens, on this machine alone.
    """
    from orchestration.tracking.server import serve_page

    serve_page(port, on_ready=lambda address: console.print(f"MLflow: {address}; Ctrl-C stops it", markup=False))


def evaluate(run: Positional[str], dataset: str = "", settings: EvaluateSettings = EvaluateSettings()) -> None:
    """Measure a run on held-out data, by the protocol of its stage.

    Stages that render videos reconstruct test clips from their first frames (Section 4.3). Runs of actor, behavior and
    behavior_flow are measured as by `posegen motion evaluate` and `posegen behavior evaluate`, which have options of
    their own. For all other stages the validation metrics are averaged over the whole split.

    Args:
        run: Run of any stage.
        dataset: What the stage reads; by default the dataset that the run was trained on.
    """
    from orchestration.evaluation.evaluate import evaluate_run
    from orchestration.evaluation.tables import record_tables

    with CountProgress(console, "measuring") as listener:
        record = evaluate_run(run, dataset, settings, on_progress=listener.update)
    console.print(*record_tables(record))
    for line in record.notes:
        console.print(line, markup=False)
    console.print(f"scores by name, and pictures where there are any: {record.folder}", markup=False)
    console.print(f"next: posegen compare {run} OTHER_RUN --metric {record.phase}/NAME", markup=False)


def generate(
    run: Positional[str],
    content: str,
    poses: tuple[str, ...],
    out: Path,
    dataset: str = "",
    batch: int = 4,
    colors: ColorSettings = ColorSettings(),
) -> None:
    """Draw videos: this person, these pose sequences, these colours.

    One pose sequence gives one video. Several, or --sample, give a folder of them.

    Args:
        run: Run of the stage video_generator.
        content: The person: an image file, or a clip (its id or PERSON/ACTION), of which the first frame is taken.
        poses: The pose sequences: clips of the dataset, by id, PERSON/ACTION or a pattern such as '*/bow'.
        out: The video to write, .mp4, or the folder for several.
        dataset: Clip dataset with these clips, whose backends also see a new image; by default the run's own.
        batch: Videos that are drawn at once.
    """
    from orchestration.generation.videos import generate

    output = OutputSettings(out=out, batch=batch)
    made = generate(run, dataset or dataset_of(run), content=content, poses=poses, output=output, colors=colors)
    _print_generated(made, out)


def animate(
    run: Positional[str],
    content: str,
    out: Path,
    moves: MotionSettings,
    dataset: str = "",
    batch: int = 4,
    colors: ColorSettings = ColorSettings(),
) -> None:
    """Draw videos of actions: this person does this, in these colours.

    What is done is a motion in three dimensions: of an action, by a trained ACTOR (--actor) or by a procedure, or from
    a file. It is seen from the front, as large as the person and where they stand. One action gives one video. Several,
    or --sample, give a folder of them.

    Args:
        run: Run of the stage video_generator.
        content: The person: an image file, or a clip (its id or PERSON/ACTION), of which the first frame is taken.
        out: The video to write, .mp4, or the folder for several.
        dataset: Clip dataset whose backends see a new image, and whose clips are known; by default the run's own.
        batch: Videos that are drawn at once.
    """
    from orchestration.generation.animate import animate

    output = OutputSettings(out=out, batch=batch)
    made = animate(run, dataset or dataset_of(run), content=content, moves=moves, output=output, colors=colors)
    _print_generated(made, out)


def transfer(
    run: Positional[str],
    out: Path,
    settings: TransferSettings,
    batch: int = 4,
    colors: ColorSettings = ColorSettings(),
) -> None:
    """Draw what one person does, done by another, from the other's own posture on (behaviour-driven synthesis).

    Without --appearance the video shows stick figures: whose behaviour, whose posture, and the transfer. With it, and a
    --renderer, it shows that person. One posture gives one video, several give a folder of them. The motion lies beside
    each video, .npz.

    Args:
        run: Run of the stage behavior or behavior_flow.
        out: The video to write, .mp4, or the folder for several.
        batch: Videos that are drawn at once, where the renderer knows colours.
    """
    from orchestration.generation.transfer import transfer

    made = transfer(run, settings, OutputSettings(out=out, batch=batch), colors=colors)
    _print_generated(made.rendered, out)
    motions = made.motions[0] if len(made.motions) == 1 else f"{len(made.motions)} files in {out}"
    console.print(f"the motion, to be turned with `posegen motion show`: {motions}", markup=False)


def _print_generated(shown: GeneratedVideos, out: Path) -> None:
    videos = shown.videos[0] if len(shown.videos) == 1 else f"{len(shown.videos)} videos in {out}"
    sheets = (
        f"a contact sheet in {shown.sheets[0]}" if len(shown.sheets) == 1 else f"{len(shown.sheets)} contact sheets"
    )
    console.print(f"{shown.num_frames} frames in {videos}, {sheets}", markup=False)
    for region, note in shown.colors.items():
        console.print(f"{region}: {note}", markup=False)


def export(run: Positional[str], out: Positional[Path]) -> None:
    """Export the generator of a run to ONNX: feature map, frame before, colour code and regions in, a frame out.

    Args:
        run: Run of the stage video_generator.
        out: The file to write, .onnx.
    """
    from orchestration.generation.export_onnx import export

    made = export(run, out)
    console.print(f"{made.num_bytes / 1e6:.1f} MB in {made.path}", markup=False)


def demo(out: Positional[Path] = Path("posegen-demo"), settings: DemoSettings = DemoSettings()) -> None:
    """Walk the whole road on the built-in studio, in a few minutes on a CPU: rendered people in, a video out.

    Args:
        out: Folder for everything that is made.
    """
    from orchestration.reports.demo import demo

    demo(out, settings, _ConsoleOutput())


class _ConsoleOutput:
    """The demo's output on the console."""

    def print(self, text: str) -> None:
        console.print(text)

    def training(self) -> ConsoleProgress:
        return ConsoleProgress(console)

    @contextmanager
    def counting(self, what: str) -> Iterator[ProgressCallback]:
        with CountProgress(console, what) as progress:
            yield progress.update


def check_cluster(file: Positional[Path]) -> None:
    """Find what would hurt in a cluster's file before `ray up` spends money on it; no cloud is asked.

    It looks for missing tokens, open ports and security groups, storage that is not named, secrets, and versions that
    are not pinned. Each finding says what cures it. Ends with 0 when nothing is found, with 1 when something is, and
    with 2 when the file cannot be read. Whether the rest of the file is right, `ray up` says.

    Args:
        file: Such as cluster.yaml. Folders in it are looked up from the working directory, as `ray up` does.
    """
    from orchestration.cluster.check import check_cluster_file

    checked = check_cluster_file(file)
    for finding in checked.findings:
        console.print(f"{file}: {finding}", markup=False)
    for remark in checked.open:
        console.print(f"to do before ray up: {remark}", markup=False)
    if checked.findings:
        sys.exit(FOUND)
    console.print(f"{file}: nothing found that would hurt", markup=False)


def submit(command: Positional[tuple[str, ...]] = (), attach: str = "", gpus: float = 0, address: str = "") -> None:
    """Run a command on a cluster: posegen submit -- VERB … sends the working tree there and shows the job's log.

    What git ignores is not sent. The job needs nobody to watch it: when the connection breaks, it goes on, and so does
    its log once there is a connection again; Ctrl-C ends the view alone. Ends with the job's exit code. The cluster's
    token is that of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.

    Args:
        command: The verb and its options, after --. '$POSEGEN_STORAGE' in it is the cluster's own.
        attach: Instead of a command, the name of a job to come back to.
        gpus: Of the command's own process, for verbs without --workers such as evaluate; others get theirs by Ray.
        address: Of the cluster's dashboard; by default RAY_API_SERVER_ADDRESS, or where `ray dashboard` brings it.
    """
    if bool(command) == bool(attach):
        raise UsageError("say what to run, posegen submit -- VERB …, or what to come back to, --attach JOB")
    from orchestration.cluster import jobs

    if command:
        _check_lasting(parse(list(command)))  # what is not understood here is not sent
        tree = jobs.working_tree(Path.cwd())
        attach = jobs.name_job(command)
        client = jobs.connect(address)
        console.print(f"{len(tree.files)} files of {tree.num_bytes / 2**20:.1f} MiB go along with the job {attach}")
        jobs.send(client, attach, tree, command, gpus)
    else:
        client = jobs.connect(address)
    console.print(f"the job goes on without this command; {jobs.reattach(attach)}", markup=False)
    try:
        end = jobs.follow(client, attach, show=_show, say=partial(errors.print, markup=False))
    except KeyboardInterrupt:
        stop = f"RAY_AUTH_MODE=token ray job stop --address {client.get_address()} {attach}"
        errors.print(f"the job goes on; {jobs.reattach(attach)}; to stop it: {stop}", markup=False)
        sys.exit(130)
    console.print(f"{attach} {end.message}", markup=False)
    if end.code:
        sys.exit(end.code)


def _check_lasting(call: partial[None]) -> None:
    """Raise UsageError where a job would keep its runs in its own folder, which no other machine has."""
    for value in (*call.args, *call.keywords.values()):
        runs = getattr(value, "runs", "")
        if runs and not runs.startswith(("/", "~", "$")) and "://" not in runs:
            raise UsageError(
                f"a job's own folder goes with the job, and got runs in {runs!r}: "
                "say a place that every machine reaches, such as --runs '$POSEGEN_STORAGE/runs'"
            )


def _show(text: str) -> None:
    """A job's own output, as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough, which is no lost connection
        raise KeyboardInterrupt from None


def _say_trial(trial: TrialResult, best: list[TrialResult]) -> None:
    leads = " [green]best by now[/]" if trial.number in {one.number for one in best} else ""
    console.print(f"{describe_trial(trial)}{leads}")
