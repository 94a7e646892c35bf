"""The page's command."""

from __future__ import annotations

from tests.support.command_line import run


def test_what_ends_the_page_and_what_is_deleted_then_is_said(capsys, monkeypatch):
    monkeypatch.setattr("orchestration.app.server.serve_app", lambda settings, on_ready: on_ready("http://here"))
    assert run("app", capsys).out == "the page: http://here; Ctrl-C stops it and deletes the uploads\n"
