"""Sends the working tree to a cluster as a job, and stays with the job until it ends.

The job needs nobody to stay: it goes on when this process ends or its connection breaks. What is lost then is only the
view of its log, which begins again where it broke off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.cluster.tokens import close_token
from posegen.errors import ClusterError, first_line

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
"""Address of a cluster's dashboard after `ray dashboard cluster.yaml`."""
MAX_TREE = 100 * 2**20
"""Bytes of a working tree. Every node fetches it, and nobody's code is that large: it is data."""
_STORAGE = "$POSEGEN_STORAGE"
_RETRY = 2.0  # seconds
_PATIENCE = 600.0  # seconds without any success
_LINES_OF_RAY = re.compile(r"\A(\d[\d:, -]+\tINFO job_manager\.py:\d+ -- .*\n|Running entrypoint for job .*\n)+")
_MAY_BE_RAYS = re.compile(r"\d|R|$")
_START = 60.0  # seconds in which a cluster that was just started gets ready for jobs


@dataclass(frozen=True)
class Tree:
    """Files of a working tree that git keeps, or would keep."""

    folder: Path
    files: Sequence[str]
    """Relative to the folder, sorted."""
    excludes: Sequence[str]
    """Patterns, as of a .gitignore, of all else that lies in the folder."""
    num_bytes: int
    commit: str
    """Followed by ``-dirty`` where files differ from it."""


@dataclass(frozen=True)
class End:
    """End of a job."""

    code: int
    """0 when it did what it should, or else its exit code, or 1 where it has none."""
    message: str


def working_tree(folder: Path) -> Tree:
    """Find the files of the git working tree around a folder: committed or new, but not ignored.

    Raises:
        ClusterError: The folder is in no git working tree, or the tree is larger than `MAX_TREE`.
    """
    top = Path(_git(folder, "rev-parse", "--show-toplevel").removesuffix("\n"))
    listed = _list(top, "--cached", "--others", "--exclude-standard")
    # Submodules are folders, and deleted files are listed, too.
    sizes = {name: (top / name).stat().st_size for name in listed if (top / name).is_file()}
    folders = [name for name in listed if (top / name).is_dir()]
    ignored = _list(top, "--others", "--ignored", "--exclude-standard", "--directory")
    excludes = [".git", *("/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", name.rstrip("/")) for name in [*folders, *ignored])]
    num_bytes = sum(sizes.values())
    if num_bytes > MAX_TREE:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:5]
        named = ", ".join(f"{name} ({sizes[name] / 2**20:.0f} MiB)" for name in largest)
        raise ClusterError(
            f"the working tree has {num_bytes / 2**20:.0f} MiB, expected at most {MAX_TREE / 2**20:.0f} MiB of code; "
            f"put data into .gitignore and on the shared storage; largest: {named}"
        )
    commit = _git(top, "describe", "--always", "--dirty", "--abbrev=40").strip()
    return Tree(top, tuple(sizes), excludes, num_bytes, commit)


def entrypoint(arguments: Sequence[str]) -> str:
    """Return the shell command of a job. ``$POSEGEN_STORAGE`` is what the cluster knows by it; all else is meant
    literally."""
    return " ".join(["posegen", *map(_quote, arguments)])


def name_job(arguments: Sequence[str]) -> str:
    """Return a name that no other job has: its verb, the time and some letters."""
    return f"{arguments[0]}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def connect_to_cluster(address: str = "") -> JobSubmissionClient:
    """Find a cluster's job server, and prove that this is its operator.

    Args:
        address: ``http://HOST:PORT``; by default ``RAY_API_SERVER_ADDRESS``, or else where `ray dashboard` listens.

    Raises:
        ConnectionError: Nobody answers.
        PosegenError: It is no such server, or does not accept the token.
    """
    address = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    if not address.startswith(("http://", "https://")):
        raise ClusterError(f"got the address {address!r}, expected the dashboard's, such as {DEFAULT_ADDRESS}")
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    os.environ["RAY_API_SERVER_ADDRESS"] = address  # or the client would take RAY_ADDRESS instead of what it is given
    for name in ("job.sdk", "dashboard_sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
    try:
        return JobSubmissionClient(address, headers=_token_headers())
    except AuthenticationError as error:
        raise _refused(error) from None
    except ConnectionError:
        raise ConnectionError(
            f"no cluster at {address}; `ray dashboard cluster.yaml`, left open, brings one to {DEFAULT_ADDRESS}"
        ) from None
    except RuntimeError as error:
        raise ClusterError(f"{address} is not a cluster's dashboard: {first_line(error)}") from None


def send(client: JobSubmissionClient, job: str, tree: Tree, arguments: Sequence[str], gpus: float = 0) -> None:
    """Send a tree and begin its job.

    Args:
        client: From `connect`.
        job: Its name, from `name_job`.
        tree: The job's working directory, and the code that it runs.
        arguments: Those of posegen.
        gpus: Of the command's own process, which then runs where they are, and not on the head.

    Raises:
        ConnectionError: The connection broke, and the job may or may not have begun.
        PosegenError: The cluster refuses the job.
    """
    os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"  # the tree says what is left out, and so git itself
    submit = partial(
        client.submit_job,
        entrypoint=entrypoint(arguments),
        submission_id=job,
        entrypoint_num_gpus=gpus or None,
        runtime_env={
            "working_dir": str(tree.folder),
            "excludes": list(tree.excludes),
            "env_vars": {
                "POSEGEN_COMMIT": tree.commit,
                "PYTHONUNBUFFERED": "1",
                "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # what reserves no GPU sees none
            },
        },
    )
    begin = time.monotonic()
    while not _taken(submit, job, may_wait=time.monotonic() - begin < _START):
        time.sleep(_RETRY)


def _taken(submit: Callable[[], object], job: str, *, may_wait: bool) -> bool:
    """Return True if the cluster accepts a job; a newly started cluster asks to try again."""
    try:
        submit()
    except OSError as error:
        raise ConnectionError(f"sending broke off ({error}); if the job began, {reattach(job)}") from error
    except RuntimeError as error:
        if may_wait and "try again later" in str(error):
            return False
        raise ClusterError(f"the cluster refuses the job: {str(error).strip().splitlines()[-1]}") from error
    return True


def follow_job(
    client: JobSubmissionClient, job: str, show: Callable[[str], object], say: Callable[[str], object]
) -> End:
    """Show a job's log from its beginning until the job ends, over as many connections as it takes.

    Args:
        client: From `connect`.
        job: Its name.
        show: Gets the text of the log as it comes, each piece once.
        say: Gets a line when the connection is lost.

    Raises:
        ConnectionError: The cluster was out of reach for ten minutes.
        ConnectionError: There is no such job, or the token is not accepted.
    """
    import aiohttp

    log = _Log(show)
    lost_at: float | None = None
    while True:
        shown = log.shown
        try:
            details = _details(client, job)
            if details.status.is_terminal():
                log.print_from(0, client.get_job_logs(job))
                log.finish()
                return _end(details)
            asyncio.run(_tail(client, job, log))
            lost_at = None
        except (OSError, RuntimeError, aiohttp.ClientError) as error:
            if lost_at is None or log.shown > shown:
                lost_at = time.monotonic()
                say(f"connection lost, trying again; the job goes on ({first_line(error)})")
            elif time.monotonic() - lost_at > _PATIENCE:
                raise ConnectionError(f"the cluster is out of reach; the job goes on; {reattach(job)}") from error
        time.sleep(_RETRY)


def reattach(job: str) -> str:
    """Return the command that attaches to a job again."""
    return f"to see it again: posegen submit --attach {job}"


class _Log:
    """Position in a log: each connection sends it from its beginning. Ray's own lines are left out."""

    def __init__(self, show: Callable[[str], object]):
        self.shown = 0
        self._show = show
        self._head: str | None = ""  # what may be lines of Ray's, until a line is none

    def print_from(self, position: int, piece: str) -> int:
        """Show what is new in a piece of the log that begins at a position, and return where it ends."""
        end = position + len(piece)
        if end > self.shown:
            self._print(piece[max(self.shown - position, 0) :])
            self.shown = end
        return end

    def finish(self) -> None:
        """Show what was kept back for its end."""
        if self._head:
            self._show(self._head)
        self._head = None

    def _print(self, piece: str) -> None:
        if self._head is None:
            self._show(piece)
            return
        self._head = _LINES_OF_RAY.sub("", self._head + piece)
        if "\n" in self._head or not _MAY_BE_RAYS.match(self._head):
            self.finish()


async def _tail(client: JobSubmissionClient, job: str, log: _Log) -> None:
    position = 0
    async for piece in client.tail_job_logs(job):
        position = log.print_from(position, piece)


def _details(client: JobSubmissionClient, job: str) -> JobDetails:
    from ray.exceptions import AuthenticationError

    try:
        return client.get_job_info(job)
    except AuthenticationError as error:
        raise _refused(error) from None
    except RuntimeError as error:
        if "status code 404" in str(error):
            raise ClusterError(f"no job {job!r} on this cluster; `ray job list` names them") from None
        raise


def _end(details: JobDetails) -> End:
    reason = (details.message or "").partition(", last available logs")[0].strip()  # they have been shown
    message = f"{str(details.status).lower()}: {reason}"
    if str(details.status) == "SUCCEEDED":
        return End(0, message)
    code = details.driver_exit_code or 1
    return End(code if code > 0 else 128 - code, message)  # a signal's number is negative, and a shell's 128 more


def _refused(error: Exception) -> ClusterError:
    return ClusterError(
        f"the cluster expects another token ({first_line(error)}): that of `ray up`, in ~/.ray/auth_token"
    )


def _token_headers() -> dict[str, str]:
    """Return the headers with the token for the job server, read from Ray's places.

    Ray itself looks only if ``RAY_AUTH_MODE`` says so before it is first imported.
    """
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        return {}
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if not token and path.is_file():
        close_token(path)
        token = path.read_text().strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _quote(argument: str) -> str:
    parts = (shlex.quote(part) if part else "" for part in argument.split(_STORAGE))
    return f'"{_STORAGE}"'.join(parts) or "''"


def _list(folder: Path, *options: str) -> list[str]:
    """Files of a git working tree, relative to it and sorted; folders, which end in /, where git tells no more."""
    return sorted({name for name in _git(folder, "ls-files", "-z", *options).split("\0") if name})


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{folder} is not a git working tree with a commit: {done.stderr.strip()}")
    return done.stdout
