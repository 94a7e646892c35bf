"""``posegen cluster check, submit``: a cluster's file before it costs anything, and commands that run on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from orchestration.cli.console import console, errors
from orchestration.cli.parsing import Group, Positional, Section
from posegen.errors import UsageError, counted, hide_credentials

_FOUND = 1  # exit code where `cluster check` found something
_files = Section("Commands")


@_files.command("check")
def _check_file(file: Positional[Path]) -> None:
    """Check a cluster's file before `ray up` or `kubectl apply` spends money on it.

    It is searched for missing tokens, open ports and security groups, unnamed storage, secrets and unpinned versions.
    Each finding names its cure. No cloud is contacted; the rest of the file is validated by `ray up`. A RayCluster or
    RayJob of KubeRay is searched for the same, and for fields that its API does not have; a Dockerfile, a compose file
    and a shell script, such as a Slurm job's, for secrets, open ports and unpinned versions; an IAM policy for rights
    that nothing uses. Ends with code 0 when nothing is found, 1 when something is, and 2 when the file cannot be read.

    Args:
        file: Such as cluster.yaml or docs/cluster/rayjob.yaml. Folders in it are looked up from the working directory,
            as `ray up` does.

    Examples:
        posegen cluster check cluster.yaml
        posegen cluster check docs/cluster-local.yaml
    """
    from orchestration.cluster.check import check_cluster_file

    checked = check_cluster_file(file)
    for finding in checked.findings:
        console.print(f"{file}: {finding}", markup=False)
    for remark in checked.open:
        console.print(f"to do before it starts: {remark}", markup=False)
    if checked.findings:
        sys.exit(_FOUND)
    left = f", {len(checked.open)} things are left to do before it starts" if checked.open else ""
    console.print(f"{file}: no mistakes found{left}", markup=False)


def cluster_commands(parse: Callable[[Sequence[str]], partial[None]]) -> Section:
    """Return the commands of this file.

    Args:
        parse: Returns the call that a command line stands for, by which commands are checked before they are sent.
    """
    commands = Section("Clusters", {"cluster": Group("Check a cluster's file before `ray up`.", (_files,))})

    @commands.command("submit")
    def _submit(
        command: Positional[tuple[str, ...]] = (), attach: str = "", gpus: float = 0, address: str = ""
    ) -> None:
        """Run a command on a cluster: posegen submit -- COMMAND …

        Sends the working tree, without what git ignores, and shows the job's log. The job continues without this
        process: when the connection breaks, the log resumes once there is one again, and Ctrl-C ends the view alone.
        Ends with the job's exit code. The cluster's token is that of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
        ~/.ray/auth_token.

        Args:
            command: The command and its options, after --. '$POSEGEN_STORAGE' in it is the cluster's own.
            attach: Name of a running job to show the log of, instead of a command.
            gpus: GPUs of the command's own process, for commands without --workers such as evaluate; others get theirs
                from Ray.
            address: Address of the cluster's dashboard; by default RAY_API_SERVER_ADDRESS, or that of `ray dashboard`.

        Examples:
            posegen submit --gpus 1 -- evaluate '$POSEGEN_STORAGE/runs/video'
            posegen submit --attach train-20260807-101500-3fa9
        """
        if bool(command) == bool(attach):
            raise UsageError("no command given, expected posegen submit -- COMMAND …, or --attach JOB to show a job")
        if command:
            _check_storage(parse(command))
            _check_secrets(command)
        _run_job(command, attach, gpus, address)

    return commands


def _run_job(command: tuple[str, ...], attach: str, gpus: float, address: str) -> None:
    """Send a command, or find a job, and show the log to its end."""
    from orchestration.cluster import jobs

    if command:
        tree = jobs.working_tree(Path.cwd())
        attach = jobs.name_job(command)
        client = jobs.connect_to_cluster(address)
        console.print(
            f"{counted(len(tree.files), 'file')} of {tree.num_bytes / 2**20:.1f} MiB go along with the job {attach}"
        )
        jobs.send(client, attach, tree, command, gpus)
    else:
        client = jobs.connect_to_cluster(address)
    console.print(f"the job goes on without this command; {jobs.reattach(attach)}", markup=False)
    try:
        end = jobs.follow_job(client, attach, show=_write_log, say=partial(errors.print, markup=False))
    except KeyboardInterrupt:
        stop = f"RAY_AUTH_MODE=token ray job stop --address {client.get_address()} {attach}"
        errors.print(f"the job goes on; {jobs.reattach(attach)}; to stop it: {stop}", markup=False)
        sys.exit(130)
    console.print(f"{attach} {end.message}", markup=False)
    if end.code:
        sys.exit(end.code)


def _check_storage(call: partial[None]) -> None:
    """Raise UsageError for a call that would keep its runs in the job's own folder."""
    for value in (*call.args, *call.keywords.values()):
        runs = getattr(value, "runs", "")
        if runs and not runs.startswith(("/", "~", "$")) and "://" not in runs:
            raise UsageError(
                f"a job's own folder is deleted with the job, got runs in {runs!r}: "
                "name a place that every machine reaches, such as --runs '$POSEGEN_STORAGE/runs'"
            )


def _check_secrets(command: Sequence[str]) -> None:
    """Raise UsageError for a password in a command, which the cluster writes down and shows."""
    if any(hide_credentials(word) != word for word in command):
        raise UsageError(
            "the cluster writes a command down, and this one has a user or a password in an address: leave it out, "
            "and give it to the cluster as PGUSER and PGPASSWORD, ~/.pgpass or an AWS profile"
        )


def _write_log(text: str) -> None:
    """Write the job's own output as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has seen enough, which is no lost connection
        raise KeyboardInterrupt from None
