"""A job gets the working tree and nothing else, and is watched to its end over connections that break."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestration.cli import main as cli
from orchestration.cluster import jobs
from orchestration.cluster.tokens import close_token
from orchestration.runtime.ray_data import _cluster_cpus
from orchestration.tracking import run_log
from orchestration.training.job import TrainSettings
from orchestration.training.ray_trainer import cpus_each, takes_gpus
from tests.support.job_server import TOKEN, JobServer, serve

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working tree with committed, new, changed, deleted and ignored files, as working directory."""
    folder = tmp_path / "tree"
    (folder / "code").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("/data/\n*.mp4\n")
    (folder / "code" / "main.py").write_text("print('committed')\n")
    (folder / "gone.py").write_text("gone\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "All")
    (folder / "code" / "main.py").write_text("print('changed')\n")
    (folder / "gone.py").unlink()
    (folder / "Größe 1.txt").write_text("new\n")
    (folder / "data").mkdir()
    (folder / "data" / "clips.parquet").write_bytes(b"data")
    (folder / "code" / "take.mp4").write_bytes(b"video")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The token that the server wants, and nothing else of this machine's."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(jobs, "_RETRY", 0.01)


@pytest.fixture
def start() -> Iterator[Callable[..., JobServer]]:
    """Starts job servers, which end with the test."""
    with ExitStack() as stack:
        yield lambda *views, **others: stack.enter_context(serve(JobServer(list(views), **others)))


def test_the_tree_is_what_git_keeps(tree):
    found = jobs.working_tree(tree / "code")  # from anywhere inside
    assert found.folder == tree
    assert list(found.files) == [".gitignore", "Größe 1.txt", "code/main.py", "run.sh"]
    assert found.num_bytes == sum((tree / name).stat().st_size for name in found.files)
    assert found.commit == git(tree, "rev-parse", "HEAD") + "-dirty"
    git(tree, "commit", "-qam", "Changed")
    assert jobs.working_tree(tree).commit == git(tree, "rev-parse", "HEAD")


def send(server: JobServer, tree: Path) -> zipfile.ZipFile:
    """Begin a job, and return what it took along."""
    jobs.send(jobs.connect_to_cluster(server.address), "job", jobs.working_tree(tree), ["weights", "list"])
    return zipfile.ZipFile(io.BytesIO(server.package))


def test_equal_trees_are_sent_once(tree, start):
    server = start(["log\n"])
    with send(server, tree) as packed:
        assert packed.read("code/main.py") == b"print('changed')\n"
        assert packed.getinfo("run.sh").external_attr >> 16 & 0o111
    for name in ("run.sh", "code/main.py"):
        os.utime(tree / name, (0, 0))
    server.package = b"not taken again"
    jobs.send(jobs.connect_to_cluster(server.address), "again", jobs.working_tree(tree), ["weights", "list"])
    assert server.package == b"not taken again"
    first, second = (request["runtime_env"]["working_dir"] for request in server.submitted)
    assert first == second


def test_what_git_leaves_out_stays_here(tree, start, capfd):
    """As git itself tells: patterns of other files than .gitignore, odd names, files that were added all the same."""
    (tree / ".git" / "info" / "exclude").write_text("/private/\n[*\n")
    for name in ("private/key", "[a] #1!.mp4", "code/data/kept.txt", "data/added.txt", "[*/x", "x/private/kept"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    git(tree, "add", "-f", "data/added.txt")
    git(tree, "init", "-q", "inner")
    (tree / "inner" / "file").write_text("of another repository")
    with send(start(["log\n"]), tree) as packed:
        files = sorted(name for name in packed.namelist() if not name.endswith("/"))
    assert files == sorted(jobs.working_tree(tree).files)
    assert {"code/data/kept.txt", "data/added.txt", "x/private/kept"} <= set(files)
    assert not {"private/key", "[a] #1!.mp4", "data/clips.parquet", "inner/file"} & set(files)
    assert capfd.readouterr() == ("", "")


def test_data_in_the_tree_is_named_with_what_to_do(tree):
    for name, size in (("old.parquet", jobs.MAX_TREE), ("new.parquet", 3 * 2**20)):
        with (tree / name).open("wb") as file:
            file.truncate(size)  # sparse
    with pytest.raises(
        ValueError, match=r"has 103 MiB, expected at most 100 MiB .*\.gitignore .*: old.parquet \(100 M"
    ):
        jobs.working_tree(tree)
    (tree / ".git" / "info" / "exclude").write_text("*.parquet\n")
    assert jobs.working_tree(tree).num_bytes < 1000


def test_a_folder_without_git_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a git working tree with a commit"):
        jobs.working_tree(tmp_path)


def test_the_clusters_shell_sees_what_was_typed(tmp_path):
    """Only the storage is the cluster's own."""
    program = tmp_path / "posegen"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    program.chmod(0o755)
    typed = ["train", "$POSEGEN_STORAGE/my data", "--runs=$POSEGEN_STORAGE/runs", "$HOME", "a'b", "", "*", "`id`", "é"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "POSEGEN_STORAGE": "s3://a b/c"}
    done = subprocess.run(jobs.entrypoint(typed), shell=True, env=environment, capture_output=True, text=True)
    seen = [word.replace("$POSEGEN_STORAGE", "s3://a b/c") for word in typed]
    assert done.stdout == f"{seen}\n"


def test_a_job_is_sent_and_watched_over_a_connection_that_breaks(tree, start, capsys):
    server = start(
        ["first\nsec"],
        ["first\n", "second\n", "thi"],
        ["first\nsecond\n", "third\n"],
        end={"status": "FAILED", "driver_exit_code": 3, "message": "it failed\n"},
    )
    with pytest.raises(SystemExit) as stop:
        cli.main(["submit", "--address", server.address, "--gpus", "2", "--", "weights", "fetch", "a b"])
    assert stop.value.code == 3
    captured = capsys.readouterr()
    assert captured.out.count("first\nsecond\nthird\n") == 1 and captured.out.count("second") == 1
    assert captured.err.count("connection lost, trying again; the job goes on") == 2
    (request,) = server.submitted
    name = request["submission_id"]
    assert f"posegen submit --attach {name}" in captured.out and f"{name} failed: it failed\n" in captured.out
    assert name.startswith("weights-") and request["entrypoint"] == "posegen weights fetch 'a b'"
    assert request["entrypoint_num_gpus"] == 2
    sent = request["runtime_env"]
    assert sent["env_vars"]["POSEGEN_COMMIT"] == jobs.working_tree(tree).commit
    assert sent["working_dir"].startswith("gcs://_ray_pkg_")
    with zipfile.ZipFile(io.BytesIO(server.package)) as packed:
        assert sorted(packed.namelist()) == list(jobs.working_tree(tree).files)
    assert server.tokens == {f"Bearer {TOKEN}"}


def watch(server: JobServer, job: str = "job") -> tuple[jobs.End, str, list[str]]:
    """How a job ends, its log as it was shown, and what was said of the connection."""
    shown, said = [], []
    end = jobs.follow_job(jobs.connect_to_cluster(server.address), job, shown.append, said.append)
    return end, "".join(shown), said


@pytest.mark.parametrize("closes_politely", [False, True])
def test_each_line_is_shown_once(closes_politely, start):
    lines = [f"line {index}\n" for index in range(50)]
    views = [lines[:10], [], ["".join(lines[:30])], lines[:20], lines[:31], lines]
    server = start(*views, closes_politely=closes_politely, unreachable=3)
    end, shown, said = watch(server)
    assert shown == "".join(lines) and end.code == 0
    assert server.num_views == len(views)
    assert bool(said) or closes_politely


RAYS = (
    "2026-11-29 10:00:00,123\tINFO job_manager.py:581 -- Runtime env is setting up.\nRunning entrypoint for job j: x\n"
)


@pytest.mark.parametrize("own", ["", "Ready\n", "2026-11-29 training\n", "Running on\n", "12%", "R", RAYS])
@pytest.mark.parametrize("length", [1, 7, 1000])
def test_lines_that_ray_puts_before_a_log_are_left_out(own, length, start):
    log = RAYS + own
    pieces = [log[k : k + length] for k in range(0, len(log), length)]
    server = start(pieces[: len(pieces) // 2], pieces)
    assert watch(server)[1] == (own if own != RAYS else "")
    assert watch(start(["first\n", RAYS]))[1] == f"first\n{RAYS}"


def test_what_a_job_wrote_last_is_shown_though_no_view_told_it(start):
    end, shown, _ = watch(start(["first\n"], unseen="last\n"))
    assert (end.code, shown) == (0, "first\nlast\n")


def test_a_job_that_is_over_is_told_from_its_log(start):
    server = start(["all\n"], num_views=1)
    assert watch(server)[:2] == (jobs.End(0, "succeeded: "), "all\n")


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [
        ({"status": "SUCCEEDED", "driver_exit_code": 0, "message": "Job finished"}, 0, "succeeded: Job finished"),
        ({"status": "FAILED", "driver_exit_code": 2}, 2, "failed: "),
        ({"status": "FAILED", "driver_exit_code": -9}, 137, "failed: "),
        ({"status": "FAILED", "message": "no environment"}, 1, "failed: no environment"),
        ({"status": "STOPPED"}, 1, "stopped: "),
    ],
)
def test_the_jobs_end_is_the_commands_end(end, code, message, start):
    assert watch(start(["log\n"], end=end))[0] == jobs.End(code, message)


def test_a_cluster_that_stays_away_is_given_up(start, monkeypatch):
    monkeypatch.setattr(jobs, "_PATIENCE", 0.1)
    server = start(["a"], ["a"], unreachable=10**6)
    with pytest.raises(ConnectionError, match="the job goes on; to see it again: posegen submit --attach job"):
        watch(server)


def test_what_cannot_be_reached_or_found_is_one_line(start, capsys):
    nowhere = "http://127.0.0.1:9"
    server = start(["a"])
    for address, name, message in (
        (nowhere, "job", f"no cluster at {nowhere}; `ray dashboard cluster.yaml`, left open, brings one"),
        (server.address, "unknown", "no job 'unknown' on this cluster"),
        (f"{server.address}/elsewhere", "job", "elsewhere is not a cluster's dashboard: Version check returned 404"),
        ("10.0.0.1:6379", "job", "got the address '10.0.0.1:6379', expected the dashboard's, such as http://"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(["submit", "--attach", name, "--address", address])
        err = capsys.readouterr().err
        assert stop.value.code == cli.USAGE_ERROR and message in err and err.count("\n") == 1


def test_the_token_is_found_where_ray_looks(start, monkeypatch, tmp_path):
    server = start(["a"])
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text(f"{TOKEN}\n")
    (tmp_path / "other").write_text("another")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    jobs.connect_to_cluster(server.address)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    with pytest.raises(ValueError, match="the cluster expects another token"):
        jobs.connect_to_cluster(server.address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    jobs.connect_to_cluster(server.address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ValueError, match="the cluster expects another token"):
        jobs.connect_to_cluster(server.address)


def test_an_address_is_not_overruled_by_a_cluster_in_the_environment(start, monkeypatch):
    server = start(["a"])
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    assert jobs.connect_to_cluster(server.address).get_address() == server.address
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", server.address)
    assert jobs.connect_to_cluster().get_address() == server.address


@pytest.mark.parametrize("reason", [KeyboardInterrupt, BrokenPipeError])
def test_who_looks_no_more_ends_the_view_alone(reason, start, capsys, monkeypatch):
    server = start(["first\n"], ["first\n"])

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if "first" in text:
                raise reason
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Screen())
    with pytest.raises(SystemExit) as stop:
        cli.main(["submit", "--address", server.address, "--attach", "job"])
    assert stop.value.code == 130
    err = capsys.readouterr().err
    assert "the job goes on; to see it again: posegen submit --attach job" in err
    assert f"ray job stop --address {server.address} job" in err and "connection lost" not in err


def test_runs_of_a_job_record_the_commit_that_was_sent(monkeypatch):
    monkeypatch.setenv("POSEGEN_COMMIT", "0123abc-dirty")
    run_log._origin.cache_clear()
    try:
        assert run_log._origin()["mlflow.source.git.commit"] == "0123abc-dirty"
    finally:
        run_log._origin.cache_clear()


def test_machines_that_have_yet_to_start_are_asked_for(monkeypatch):
    """A cluster has none at first."""
    asked = TrainSettings(workers=4, gpus=1)
    assert not takes_gpus(asked, 0) and takes_gpus(asked, 4) and takes_gpus(TrainSettings(workers=4), 4)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert takes_gpus(asked, 0) and not takes_gpus(TrainSettings(workers=4), 0)
    assert _cluster_cpus(32) == 32


@pytest.mark.parametrize(
    ("machines", "workers", "gpus", "expected"),
    [
        ([{"CPU": 8}], 2, 0, 4),
        ([{"CPU": 2}, {"CPU": 2}, {"CPU": 2}], 2, 0, 2),  # a third of six would fit nowhere
        ([{"CPU": 4}, {"CPU": 2}], 2, 0, 2),
        ([{"CPU": 64}, {"CPU": 8, "GPU": 2}], 2, 1, 4),
        ([{"CPU": 64}, {"CPU": 8, "GPU": 1}], 2, 0.5, 4),
        ([{}, {"CPU": 2}], 3, 0, 1),
        ([], 1, 0, 1),
    ],
)
def test_workers_ask_for_what_machines_have(machines, workers, gpus, expected):
    assert cpus_each(machines, workers, gpus) == expected


def test_workers_meet_on_the_network_of_rays_nodes(monkeypatch):
    from orchestration.runtime.process_group import name_interface

    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "127.0.0.1")
    monkeypatch.setattr("os.environ", {})
    name_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"].startswith("lo")
    assert os.environ["NCCL_SOCKET_IFNAME"] == os.environ["GLOO_SOCKET_IFNAME"]
    os.environ["GLOO_SOCKET_IFNAME"] = "mine"
    name_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"


@pytest.fixture(scope="module")
def ray_token(ray_session: None) -> str:
    """The token of the private Ray. Of the module, so that it is read before `token` sets another one."""
    return os.environ["RAY_AUTH_TOKEN"]


@pytest.mark.slow
@pytest.mark.ray
def test_rays_own_server_is_spoken_to(ray_token, monkeypatch, capfd):
    """This very working tree runs as a job, to its exit code."""
    import ray

    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_token)
    monkeypatch.chdir(Path(__file__).parent)
    address = f"http://{ray._private.worker.get_dashboard_url()}"
    command = jobs.entrypoint
    path = f"PATH={Path(sys.executable).parent}:$PATH"
    monkeypatch.setattr(jobs, "entrypoint", lambda arguments: f"{path} {command(arguments)}")
    with pytest.raises(SystemExit) as stop:
        cli.main(["submit", "--address", address, "--", "evaluate", "nowhere"])
    assert stop.value.code == 2
    out, err = capfd.readouterr()
    assert out.count("no run in nowhere") == 1 and "failed" in out, err
    assert err == ""
    assert not re.search(r"INFO|job_manager|Running entrypoint|gcs://", out)


def test_a_token_that_others_can_read_becomes_its_owners_alone(tmp_path):
    folder, token = tmp_path / ".ray", tmp_path / ".ray" / "auth_token"
    folder.mkdir(mode=0o755)
    token.write_text("secret")
    token.chmod(0o644)
    close_token(token)
    assert (token.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_password_is_not_sent_to_a_cluster(capsys):
    storage = "postgresql://ann:hunter2@db.example/studies"
    with pytest.raises(SystemExit) as stop:
        cli.main(["submit", "--", "tune", "joint", "s3://b/data", "--runs", "s3://b/runs", "--storage", storage])
    err = capsys.readouterr().err
    assert stop.value.code == cli.USAGE_ERROR and "a user or a password in an address" in err and "hunter2" not in err
