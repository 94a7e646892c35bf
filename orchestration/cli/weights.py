"""``posegen weights COMMAND …``: pretrained weights on this machine."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from orchestration.cli.console import console
from orchestration.cli.parsing import Group, Positional, Section
from posegen.errors import UsageError
from posegen.io.output_files import OverwriteSettings

_commands = Section("Commands")
WEIGHTS_COMMANDS = Group("List, fetch and verify pretrained weights.", (_commands,))
"""The commands of this file."""


@_commands.command("list")
def _list_weights() -> None:
    """List pretrained weights.

    The table has their purpose, licence and source, and whether they are on this machine.

    Examples:
        posegen weights list
    """
    from posegen.weights.registry import listing

    table = Table("name", "what it is", "licence", "source", "here", box=SIMPLE_HEAD, pad_edge=False)
    table.columns[0].no_wrap = True  # names are typed: whole, in one line
    for column in table.columns[1:]:
        column.overflow = "fold"
    for row in listing():
        here = "yes" if row["cached"] else "no"
        table.add_row(*(str(row[name]) for name in ("name", "description", "licence", "source")), here)
    console.print(table)


@_commands.command("fetch")
def _fetch_weights(names: Positional[tuple[str, ...]] = ()) -> None:
    """Fetch and verify weights, for use without a network.

    Args:
        names: Names of weights; by default all that `prepare` and `evaluate` use with their default settings.

    Examples:
        posegen weights fetch
        posegen weights fetch blazepose-detector blazepose-landmark
    """
    from posegen.weights.download import fetch
    from posegen.weights.registry import DEFAULTS

    fetch(names or DEFAULTS, progress=lambda text: console.print(text, markup=False))


@_commands.command("provide")
def _provide_weights(name: Positional[str], file: Positional[Path]) -> None:
    """Provide a file of weights that cannot be fetched.

    The file is verified and copied to where posegen keeps weights.

    Args:
        name: Name of the weights, see `posegen weights list`.
        file: The file as it was published.

    Examples:
        posegen weights provide openpose body_pose_model.pth
        posegen weights provide rcf rcf.pth
    """
    from posegen.weights.download import provide

    console.print(f"{name}: {provide(name, file)}")


@_commands.command("pack")
def _pack_weights(run: Positional[str], file: Positional[Path], writing: OverwriteSettings) -> None:
    """Pack the weights of a run as posegen ships them.

    They are written in half precision. A file of the stage person_parser replaces person_parser.safetensors
    in posegen/pretrained, one of motion_diffusion motion.safetensors there, and its sha256 the one in
    posegen/weights/shipped.py.

    Args:
        run: A run.
        file: The file to write, .safetensors.

    Examples:
        posegen weights pack runs/parser person_parser.safetensors
        posegen weights pack runs/parser person_parser.safetensors --overwrite
    """
    from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
    from posegen.weights.shipped import pack_shipped

    writing.require_writable([file])
    digest = pack_shipped(load_stage(find_checkpoint(run)).shipped_weights(), file)
    console.print(f"{file}: {file.stat().st_size:,} bytes, sha256 {digest}", markup=False)


@_commands.command("verify")
def _verify_weights() -> None:
    """Verify all weights on this machine by their sha256.

    Examples:
        posegen weights verify
    """
    from posegen.weights.download import verify

    rows = verify()
    for name, state in rows:
        console.print(f"{name}: {state}")
    changed = [name for name, state in rows if state == "changed"]
    if changed:
        raise UsageError(f"{', '.join(changed)} changed on disk: fetch again with `posegen weights fetch`")
