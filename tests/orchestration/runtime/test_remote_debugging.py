"""What a worker prints arrives, and a breakpoint stops it or says why not."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from orchestration.cli.progress import ConsoleProgress
from orchestration.runtime.progress import ForwardingListener, ProgressListener
from orchestration.runtime.remote_debugging import open_breakpoints, passing_prints


def test_lines_are_passed_on_as_they_end(monkeypatch):
    own, lines = io.StringIO(), []
    monkeypatch.setattr(sys, "stdout", own)
    with passing_prints(lines.append):
        print("one", 1)
        print("two", end="")
        assert lines == ["one 1"]
        print("\nthree\n", end="four")
        assert lines == ["one 1", "two", "three"]
    print("outside")
    assert lines == ["one 1", "two", "three", "four"]
    assert own.getvalue() == "one 1\ntwo\nthree\nfouroutside\n"


def test_lines_are_shown_as_they_are(capsys):
    from rich.console import Console

    listener = ConsoleProgress(Console(file=sys.stdout, width=20))
    ForwardingListener(listener).on_print("run", "[bold]x[/bold] " + "y" * 40)
    assert capsys.readouterr().out == "[bold]x[/bold] " + "y" * 40 + "\n"


def test_without_debugpy_a_breakpoint_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "debugpy", None)
    said: list[str] = []
    before = sys.breakpointhook
    with open_breakpoints("worker 0", said.append, lambda: pytest.fail("nobody waits")):
        breakpoint()
    assert said == ["breakpoint() is passed over: install posegen[debug] on the nodes, or train with --workers 0"]
    assert sys.breakpointhook is before


def test_a_breakpoint_waits_for_a_debugger_on_its_own_machine_alone(monkeypatch):
    """The port lets whoever reaches it run code."""
    events: list[object] = []
    debugpy = SimpleNamespace(
        listen=lambda address: events.append(address) or ("127.0.0.1", 5678),
        wait_for_client=lambda: events.append("wait"),
        breakpoint=lambda: events.append("stop"),
    )
    monkeypatch.setitem(sys.modules, "debugpy", debugpy)
    with open_breakpoints("worker 1", events.append, lambda: events.append("pause")):
        breakpoint()
        breakpoint()
    assert events[0] == ("127.0.0.1", 0)
    assert "worker 1 waits at a breakpoint" in events[1] and "127.0.0.1:5678" in events[1]
    assert events[2:5] == ["pause", "wait", "stop"]
    assert events[6:] == ["pause", "wait", "stop"]  # on the port that is open


def test_a_listener_ignores_what_it_does_not_show():
    ProgressListener().on_print("run", "line")
    ProgressListener().on_pause(0)
