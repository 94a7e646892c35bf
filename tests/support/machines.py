"""Machines that this one pretends to be, on a network of their own: what a cluster is tried on.

Each has its own processes, network, host name, home, ``/tmp``, shared memory and Python environment, and of the rest
sees what this machine has. They are namespaces of the kernel, which end with the processes in them: nothing of them
is left where those are killed, not even if the test itself is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NETWORK = "10.77.0"
"""The first three numbers of every address; no other machine is in reach."""
USER = "posegen"
"""Who works on them: another name of root, with a home of its own."""
_NEEDED = ("git", "ip", "nsenter", "rsync", "setpriv", "ssh", "ssh-keygen", "sshd", "unshare")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE = 60.0  # seconds in which a machine starts, and ends
_NAMESPACES = ("mnt", "net", "pid", "uts")
_UNSHARE = ("unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")

# Arguments: name, folder, home, Python environment, folders that are seen also where /tmp hides them, --, command.
_BOOT = r"""
set -e
name=$1 folder=$2 home=$3 environment=$4; shift 4
hostname "$name"
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/hosts" /etc/hosts
cd /tmp  # the old one, also when another lies over it
mount --bind "$folder/tmp" /tmp
while [ "$1" != -- ]; do
    case $1 in /tmp/*) mkdir -p "$1"; mount --no-canonicalize --bind "${1#/tmp/}" "$1" ;; esac
    shift
done
shift
mount -t tmpfs -o mode=700 home "$home"
cp -r "$folder/home/." "$home"
mount -t tmpfs run /run
mkdir /run/sshd /run/over /run/work
mount -t overlay -o "lowerdir=$environment,upperdir=/run/over,workdir=/run/work" environment "$environment"
mount -t tmpfs -o mode=1777 shm /dev/shm
cd "$home"
touch "$folder/booted"
exec "$@"
"""
_SSHD = """\
HostKey {folder}/host_key
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
UsePAM no
"""
_PIP = """\
# There is no network to fetch packages from, and what the cluster's file installs is in the environment.
[global]
no-index = true
no-build-isolation = false
"""


def missing() -> str:
    """What this machine lacks to pretend to be others; empty where it lacks nothing."""
    if sys.platform != "linux" or os.geteuid():
        return "machines made of namespaces need Linux and root"
    absent = [name for name in _NEEDED if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"not here: {', '.join(absent)} (apt-get install git iproute2 openssh-client openssh-server rsync)"
    tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"no right to make namespaces: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass
class Machine:
    """One of them, while it runs."""

    name: str
    address: str
    folder: Path
    """What it keeps on disk: its ``/tmp`` and the log of its first process."""
    home: Path
    process: subprocess.Popen[bytes]
    pid: int = 0
    """Of its first process, seen from outside; 0 before that runs."""

    def command(self, words: Sequence[str | Path], *, folder: Path | None = None, **variables: str) -> list[str]:
        """What runs a command on it, as its user, in a folder and with variables beside those that all have."""
        known = {"HOME": str(self.home), "USER": USER, "LANG": "C.UTF-8", "PATH": f"{sys.prefix}/bin:{_PATH}"}
        settings = [f"{name}={value}" for name, value in {**known, **variables}.items()]
        inside = ["env", "--ignore-environment", f"--chdir={folder or self.home}", *settings, *map(str, words)]
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--uts", "--", *inside]

    def processes(self) -> list[psutil.Process]:
        """All that run on it, its first one among them."""
        return _inhabitants({self.namespace("pid")})

    def running(self, *parts: str) -> list[str]:
        """The command lines, of those that run on it, that have any of some parts."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error):
                found.append(" ".join(process.cmdline()))
        return [line for line in found if any(part in line for part in parts)]

    def namespace(self, kind: str) -> str:
        """Its namespace of a kind; empty when it is gone."""
        return _namespace(self.pid, kind)


@dataclass
class Lab:
    """An operator's machine, and others that it reaches by SSH.

    Args:
        folder: What they keep on disk.
        visible: Folders that all of them see at the same place.
    """

    folder: Path
    visible: Iterable[Path]
    machines: dict[str, Machine] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    @property
    def operator(self) -> Machine:
        """The machine at the first address, from which the others are used."""
        return self.machines["operator"]

    def __enter__(self) -> Lab:
        (self.folder / "home").mkdir(parents=True)
        for key in ("id_ed25519", "host_key"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        try:
            operator = self._boot("operator", 1, {".ssh/id_ed25519": self.folder / "id_ed25519"}, ["sleep", "infinity"])
            self._in_network(operator, "ip", "link", "add", "lan", "type", "bridge")
            self._give_address(operator, "lan")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for machine in list(self.machines.values()):
            self._end(machine)

    def start(self, name: str, number: int) -> Machine:
        """Start a machine that runs sshd and has this Python environment, changes to which are its own."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "sshd_config").write_text(_SSHD.format(folder=self.folder))
        (folder / "pip.conf").write_text(_PIP)
        files = {
            ".ssh/authorized_keys": self.folder / "id_ed25519.pub",
            ".config/pip/pip.conf": folder / "pip.conf",
            "posegen-venv": Path(sys.prefix),
        }
        sshd = shutil.which("sshd", path=_PATH) or "sshd"
        machine = self._boot(name, number, files, [sshd, "-D", "-e", "-f", str(folder / "sshd_config")])
        peer = ("peer", "name", "lan", "netns", str(machine.pid))
        self._in_network(self.operator, "ip", "link", "add", name, "type", "veth", *peer)
        self._in_network(self.operator, "ip", "link", "set", name, "master", "lan", "up")
        self._give_address(machine, "lan")
        self._in_network(machine, "ip", "route", "add", "default", "via", self.operator.address)
        return machine

    def pull_the_plug(self, machine: Machine) -> None:
        """Let a machine die: first it is silent, for whoever talks to it must not hear of its end."""
        self._in_network(self.operator, "ip", "link", "set", machine.name, "down")
        self._end(machine)

    def leftovers(self) -> list[str]:
        """Processes in any of the machines that there ever were."""
        return [str(process) for process in _inhabitants(self._seen)]

    def _boot(self, name: str, number: int, home: Mapping[str, Path], command: Sequence[str]) -> Machine:
        folder = self.folder / name
        self._furnish(folder, home)
        arguments = [name, str(folder), str(self.folder / "home"), sys.prefix, *map(str, self.visible), "--", *command]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *_UNSHARE, "bash", "-c", _BOOT, "boot", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": _PATH},
            )
        machine = self.machines[name] = Machine(name, f"{NETWORK}.{number}", folder, self.folder / "home", process)
        deadline = time.monotonic() + _PATIENCE
        while not (folder / "booted").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not start: {(folder / 'log').read_text()}")
            time.sleep(0.05)
        machine.pid = psutil.Process(process.pid).children()[0].pid
        self._seen |= {machine.namespace(kind) for kind in _NAMESPACES}
        self._in_network(machine, "ip", "link", "set", "lo", "up")
        return machine

    def _furnish(self, folder: Path, home: Mapping[str, Path]) -> None:
        """Put what a machine begins with into its folder: where in its home which file or folder is."""
        for part in ("home", "tmp"):
            (folder / part).mkdir(parents=True)
        (folder / "tmp").chmod(0o1777)
        for target, source in home.items():
            place = folder / "home" / target
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if source.is_dir():
                place.symlink_to(source)
            else:
                shutil.copy(source, place)
        user = f"{USER}:x:0:0::{self.folder / 'home'}:/bin/bash\n"
        (folder / "passwd").write_text(user + Path("/etc/passwd").read_text())
        # As Debian's installer leaves it: by its own name a machine is nowhere that others reach.
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {folder.name}\n")

    def _give_address(self, machine: Machine, device: str) -> None:
        self._in_network(machine, "ip", "address", "add", f"{machine.address}/24", "dev", device)
        self._in_network(machine, "ip", "link", "set", device, "up")

    def _in_network(self, machine: Machine, *words: str) -> None:
        _run("nsenter", f"--target={machine.pid}", "--net", "--", *words)

    def _end(self, machine: Machine) -> None:
        ending = machine.processes() if machine.pid else []
        machine.process.kill()  # and the kernel all that it began
        machine.process.wait()
        psutil.wait_procs(ending, timeout=_PATIENCE)
        del self.machines[machine.name]


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def _namespace(pid: int, kind: str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:  # it ended
        return ""


def _inhabitants(namespaces: set[str]) -> list[psutil.Process]:
    """The processes in any of some namespaces. Those that have ended and are still listed have none."""
    known = namespaces - {""}
    return [one for one in psutil.process_iter() if any(_namespace(one.pid, kind) in known for kind in _NAMESPACES)]
