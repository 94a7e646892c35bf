"""``posegen doctor, completion``: this machine and its shell."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.table import Table

from orchestration.cli.completion import Shell, completion_script
from orchestration.cli.console import console
from orchestration.cli.doctor import diagnose
from orchestration.cli.parsing import Group, Positional, Section

_MARKS = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "bad": "[red]✗[/]"}


def machine_commands(app: Callable[[], Group]) -> Section:
    """Return the commands of this file.

    Args:
        app: Returns all commands, whose words are completed.
    """
    commands = Section("This machine")

    @commands.command("doctor")
    def _doctor() -> None:
        """Check this machine, and say what is missing.

        Looked at are versions, devices, memory, disk, pretrained weights, Ray and MLflow. Ends with code 1 where
        something is broken.

        Examples:
            posegen doctor
        """
        table = Table("", "what", "found", "what to do", box=None)
        is_broken = False
        for finding in diagnose():
            table.add_row(_MARKS[finding.state], finding.name, finding.found, finding.advice)
            is_broken |= finding.state == "bad"
        console.print(table)
        if is_broken:
            sys.exit(1)

    @commands.command("completion")
    def _completion(shell: Positional[Shell]) -> None:
        """Print a script for the completion of commands by a shell.

        Load it at the shell's start: source <(posegen completion bash), or posegen completion fish | source.

        Args:
            shell: The shell.

        Examples:
            posegen completion bash
            posegen completion fish
        """
        print(completion_script(app(), shell), end="")

    return commands
