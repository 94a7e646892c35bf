"""The command line: what people type is understood, and what cannot work is one line and code 2."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.cli import main as cli
from orchestration.cli.arguments import arguments_of
from orchestration.cli.parsing import Group
from posegen.stages import STAGES
from posegen.synthetic.motions import ACTIONS
from tests.support.command_line import refuse, run

ROOT = Path(__file__).resolve().parents[3]
APP = cli.build_app()


def commands(group: Group, path: str = "") -> Iterator[str]:
    """The words of every group and every command below one."""
    for name, command in group.commands.items():
        yield f"{path}{name}"
        if isinstance(command, Group):
            yield from commands(command, f"{path}{name} ")


@pytest.mark.parametrize("words", ["", *commands(APP)])
def test_help_teaches_in_80_columns(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(f"{words} --help", capsys)
    assert code == 0 and out.startswith(f"usage: posegen {words}".rstrip()) and len(out.splitlines()) > 5
    assert max(map(len, out.splitlines())) <= 80
    assert "options ─" not in out and not {"STR", "TEXT", "[TEXT"} & set(out.split()), "values without a name"
    assert "`" not in out and "{," not in out, "markup of docstrings, or a choice of nothing"


@pytest.mark.parametrize("words", commands(APP))
@pytest.mark.parametrize("columns", [60, 100])
def test_help_fits_narrow_and_wide_terminals(words, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = run(f"{words} --help", capsys)
    assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("words", commands(APP))
def test_every_command_has_examples(words, capsys):
    *groups, name = words.split()
    group = APP
    for word in groups:
        group = group.commands[word]
    command = group.commands[name]
    if isinstance(command, Group):
        return
    _, out, _ = run(f"{words} --help", capsys)
    shown = out.split("\nExamples:\n")[1]
    function = next(iter(command.functions.values()))
    least = 2 if list(arguments_of(function)) else 1
    assert shown.count("posegen ") >= least


@pytest.mark.parametrize("words", ["generate", "animate", "transfer", "evaluate", "export"])
def test_the_checkpoint_is_explained(words, capsys):
    _, out, _ = run(f"{words} --help", capsys)
    assert "Which checkpoint of a run: best" in " ".join(re.sub("[│ \n]+", " ", out).split())


def boxes(out: str) -> dict[str, str]:
    """The options of a screen, below their titles."""
    found = re.split(r"╭─ (.*?) ─+╮\n", out)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_options_of_a_photo_and_of_a_run_have_a_box_each(capsys):
    """What one of the two refuses stands in no other box."""
    _, out, _ = run("animate --help", capsys)
    assert "usage: posegen animate [-h] [OPTIONS] PHOTO|VIDEO|RUN" in out
    listed = {title: set(re.findall(r"│ (--[\w-]+)", text)) for title, text in boxes(out).items()}
    assert listed["Only with a photo or a video"] == {"--size", "--person", "--encoders", "--travel", "--refiner"}
    of_runs = {"--checkpoint", "--batch", "--precision", "--exact-color", "--garments", "--content", "--dataset"}
    assert listed["Only with a run"] == of_runs
    assert list(listed)[-2:] == ["Only with a photo or a video", "Only with a run"]
    _, out, _ = run("generate --help", capsys)
    assert not [title for title in boxes(out) if title.startswith("Only")]


def test_each_stage_says_what_it_learns_and_from_what(capsys):
    _, out, _ = run("train --help", capsys)
    lines = [" ".join(text.split()) for text in re.findall(r"^  \w+ ((?:.|\n {4})+)", out, flags=re.MULTILINE)]
    assert len(lines) == len(STAGES)
    for line in lines:
        assert line.startswith("Learns ") and re.search(r"\b(from|of a trained)\b", line), line


def test_help_lists_the_actions(capsys):
    _, out, _ = run("animate --help", capsys)
    words = re.findall(r"\w+", out.split("--action ACTION")[1].split("--actions")[0])
    assert set(ACTIONS) <= set(words)


def test_each_command_has_one_line_of_the_overview(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("--help", capsys)
    for section in APP.sections:
        below = out.split(f"\n{section.title}\n")[1].split("\n\n")[0].splitlines()
        assert [line.split()[0] for line in below] == list(section.commands)


@pytest.mark.parametrize(
    ("line", "culprit", "help_of"),
    [
        ("prepare a b --sise 96x64", "unknown option --sise (did you mean --size?)", "prepare"),
        ("train video_generator a --epocs 3", "--epocs (did you mean --num-epochs?)", "train video_generator"),
        ("train color_encoder a --epochs 3", "--epochs (did you mean --num-epochs or", "train color_encoder"),
        ("animate a.jpg --color red --out a.mp4", "--color (did you mean --upper or --lower?)", "animate"),
        ("generate run --content a", "posegen: missing --poses", "generate"),
        ("animate a.jpg --action wave --upper", "missing value of --upper: a shell drops #2a6fdb", "animate"),
        ("animate", "posegen: missing PHOTO|VIDEO|RUN;", "animate"),
        ("generate", "posegen: missing RUN, --content, --poses;", "generate"),
        ("animate my photo.jpg --action wave --out a.mp4", "unexpected photo.jpg (a name with spaces", "animate"),
        ("prepare a b c", "unexpected c", "prepare"),
        ("dance", "unknown command 'dance', expected one of studio, prepare", ""),
        ("genrate run", "unknown command 'genrate' (did you mean generate?)", ""),
        ("help", "unknown command 'help' (did you mean --help?)", ""),
        ("version", "unknown command 'version' (did you mean --version?)", ""),
        ("ui --port 80000", "got port 80000, expected 1 to 65535", "ui"),
        ("motion inspct a.npz", "unknown command 'inspct' (did you mean inspect?)", "motion"),
        ("train dancer a", "unknown stage 'dancer', expected one of actor, behavior", "train"),
        ("train video-generatr a", "unknown stage 'video-generatr' (did you mean video_generator?)", "train"),
        ("", "expected a command, one of studio, prepare", ""),
        ("weights", "expected a command, one of list, fetch", "weights"),
        ("data h36m", "expected a command, one of extract, process", "data h36m"),
        ("prepare", "missing VIDEOS, OUT", "prepare"),
        ("generate run --content a --poses b --oout c", "unknown option --oout (did you mean --out?)", "generate"),
        ("animate run --content a --out b --action wave jump", "unexpected jump", "animate"),
        ("generate run --content a --poses b --oout=c", "unknown option --oout (did you mean --out?)", "generate"),
        ("studio a --frames abc", "--frames: got 'abc', expected a whole number", "studio"),
        ("animate a.jpg --out b.mp4 --yaw left", "--yaw: got 'left', expected a number", "animate"),
        ("studio a --frames", "missing value for argument '--frames'", "studio"),
        ("studio s3://bucket/a", "expected a local file or folder", "studio"),
        ("prepare a b --size 96", "--size: got '96', expected HEIGHTxWIDTH", "prepare"),
        ("prepare a b --crop most", "'most' for argument '--crop', expected one of center, person, none", "prepare"),
        ("train video_generator a --colors-per-pair 3", "colors_per_pair must be 1 or 2", "train video_generator"),
        ("train actor a --preset smal", "unknown preset 'smal' (did you mean small?), expected one of", "train actor"),
        ("train actor a --preset", "got --preset twice or without a value, expected one of", "train actor"),
        ("submit -- prepare a b --sise 96x64", "--sise (did you mean --size?)", "prepare"),
        ("submit -- train dancer a", "unknown stage 'dancer'", "train"),
        ("submit --gpus one -- weights list", "--gpus: got 'one', expected a number", "submit"),
        ("cluster", "expected a command, one of check", "cluster"),
        ("train color_encoder a --latent-reg random --batch-size 3", "got batch_size 3", "train color_encoder"),
    ],
)
def test_what_is_not_understood_is_one_line_and_code_2(line, culprit, help_of, capsys):
    error = refuse(line, capsys)
    assert culprit in error and error.endswith(f"; see posegen {help_of} --help\n".replace("  ", " "))


class Reached(Exception):  # noqa: N818
    """The command was understood."""


def examples(group: Group) -> Iterator[str]:
    """The examples in the help of every command below a group."""
    for command in group.commands.values():
        if isinstance(command, Group):
            yield from examples(command)
        else:
            for function in command.functions:
                yield from command.examples_of(function)


def documented_commands() -> list[str]:
    """Every posegen command in a help, or in a shell block of README and documentation, without its comment."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    blocks = [block for page in pages for block in re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return sorted({*(line for line in lines if line.startswith("posegen ")), *examples(APP)})


@pytest.mark.parametrize("command", documented_commands())
def test_documented_commands_are_parsed(command, monkeypatch):
    """Each reaches the function that does it."""

    def reach(*_: object, **__: object) -> None:
        raise Reached

    for target in (
        "orchestration.cli.machine.diagnose",
        "orchestration.cli.machine.completion_script",
        "orchestration.search.dashboard.serve_dashboard",
        "orchestration.tracking.register.register",
        "orchestration.serving.serve.serve_videos",
        "orchestration.app.server.serve_app",
        "posegen.weights.download.provide",
        "posegen.weights.download.verify",
        "posegen.weights.shipped.pack_shipped",
        "posegen.checkpoints.checkpoint.find_checkpoint",
        "orchestration.data.prepare.prepare_videos",
        "orchestration.data.colorize.recolor_dataset",
        "orchestration.training.recipes.train_with_requirements",
        "orchestration.training.train.train",
        "orchestration.evaluation.evaluate.evaluate_run",
        "orchestration.generation.videos.generate",
        "orchestration.generation.animate.animate",
        "orchestration.generation.photo.animate_photo",
        "orchestration.generation.adapt.adapt",
        "orchestration.generation.preview.preview",
        "orchestration.generation.colorways.write_colorways",
        "orchestration.reports.photo.evaluate_photos",
        "orchestration.reports.parsing.report_parsing",
        "orchestration.data.parsing.convert_photos",
        "orchestration.data.pairs.make_pairs",
        "orchestration.generation.transfer.transfer",
        "orchestration.generation.behavior.sample_behavior",
        "orchestration.generation.behavior.interpolate_behavior",
        "orchestration.generation.behavior.reconstruct_behavior",
        "orchestration.data.motion_inspection.inspect_motions",
        "orchestration.data.motion_conversion.convert_motions",
        "orchestration.data.motion_conversion.convert_one",
        "orchestration.data.motion_conversion.synthesize",
        "orchestration.data.motion_files.read_some",
        "orchestration.data.motion_curation.build_from_tracks",
        "orchestration.generation.motions.generate_motions",
        "orchestration.evaluation.motion.evaluate_motion",
        "orchestration.evaluation.records.read_evaluation",
        "orchestration.evaluation.behavior.evaluate_behavior",
        "orchestration.reports.estimator_comparison.compare_estimators",
        "orchestration.generation.export_onnx.export",
        "orchestration.reports.figures.figure2",
        "orchestration.reports.figures.figure4",
        "orchestration.reports.figures.figure5",
        "orchestration.reports.table1.table1",
        "orchestration.data.h36m_extract.extract_h36m",
        "orchestration.data.h36m_process.process_h36m",
        "orchestration.data.vunet_clips.convert_index",
        "orchestration.search.tune.tune",
        "orchestration.search.tune.plan",
        "orchestration.evaluation.compare.compare_runs",
        "orchestration.tracking.server.serve_page",
        "orchestration.reports.demo.demo",
        "orchestration.training.import_published.import_checkpoint",
        "orchestration.cluster.check.check_cluster_file",
        "orchestration.cluster.jobs.connect_to_cluster",
        "posegen.weights.download.fetch",
        "posegen.weights.registry.listing",
        "orchestration.data.studio.render_studio",
    ):
        monkeypatch.setattr(target, reach)
    monkeypatch.setattr("orchestration.cli.video.dataset_of", lambda run: "data")
    with pytest.raises(Reached):
        cli.main(shlex.split(command)[1:])


def test_readme_names_every_command():
    assert {command.split()[1] for command in documented_commands()} >= set(APP.commands) - {
        "demo",
        "studio",
    }  # which `make demo` runs
