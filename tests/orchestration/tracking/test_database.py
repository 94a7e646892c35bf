"""Databases that cannot be opened are named in seconds, with the way out."""

from __future__ import annotations

import socket
import sys
import time

import pytest

import orchestration.tracking.database as module
from orchestration.tracking.client import connect, require_store
from orchestration.tracking.database import require_database
from posegen.errors import TrackingError


def test_a_driver_that_is_absent_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(
        OSError, match=r"^postgresql:// needs .* psycopg2-binary: `pip install psycopg2-binary`.*--storage"
    ):
        require_database("postgresql://ann:hunter2@db/studies", "--storage")
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(OSError, match="needs the package pymysql"):
        require_database("mysql+pymysql://db/studies", "--storage")


def test_files_that_are_no_databases_are_named_at_once(tmp_path, monkeypatch):
    (tmp_path / "text.db").write_text("no database at all " * 100)
    for place in (tmp_path / "text.db", tmp_path / "text.db" / "mlflow.db", tmp_path):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}")
        begin = time.monotonic()
        with pytest.raises(TrackingError, match="does not answer: it is not a store .*: change MLFLOW_TRACKING_URI$"):
            require_store()
        assert time.monotonic() - begin < 5
    assert not list(tmp_path.glob("*.new"))


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch):
    driver = type(sys)("pg8000")  # of which only the name is looked at before it connects

    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"x://127.0.0.1:{silent.getsockname()[1]}/studies"

        def never(*args, **options):
            time.sleep(1)

        monkeypatch.setattr("sqlalchemy.create_engine", never)
        with pytest.raises(OSError, match="no answer within 0 s: see to the database, or change MLFLOW_TRACKING_URI"):
            module._require_answer(address, "MLFLOW_TRACKING_URI")
    assert driver and connect
