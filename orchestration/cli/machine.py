"""``posegen doctor, completion``: this machine and its shell."""

from __future__ import annotations

import sys
from collections.abc import Callable

from rich.markup import escape

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

        Checks versions, devices, memory, disk, pretrained weights, Ray and MLflow. Ends with code 1 if something is
        broken.

        Examples:
            posegen doctor
        """
        is_broken = False
        for finding in diagnose():  # lines and no table, which cuts paths
            console.print(_MARKS[finding.state], f"{escape(finding.name)}: {escape(finding.found)}")
            if finding.advice:
                console.print(f"    to do: {finding.advice}", markup=False)
            is_broken |= finding.state == "bad"
        if is_broken:
            sys.exit(1)

    @commands.command("completion")
    def _completion(shell: Positional[Shell]) -> None:
        """Print a completion script for a shell.

        Load it at the shell's start: source <(posegen completion bash), or posegen completion fish | source.

        Args:
            shell: The shell.

        Examples:
            posegen completion bash
            posegen completion fish
        """
        print(completion_script(app(), shell), end="")

    return commands
