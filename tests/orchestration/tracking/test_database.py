"""Databases that cannot be opened are named in seconds, with the way out."""

from __future__ import annotations

import sys
import time

import pytest

import orchestration.tracking.database as module
from orchestration.tracking.client import require_store
from orchestration.tracking.database import require_database
from posegen.errors import TrackingError


def test_a_driver_that_is_absent_is_named_with_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(OSError, match=r"^postgresql:// needs .*: `pip install 'psycopg\[binary\]'`.*--storage"):
        require_database("postgresql://ann:hunter2@db/studies", "--storage")
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(OSError, match="needs the package pymysql"):
        require_database("mysql+pymysql://db/studies", "--storage")


def test_files_that_are_no_databases_are_named_at_once(tmp_path, monkeypatch):
    (tmp_path / "text.db").write_text("no database at all " * 100)
    for place in (tmp_path / "text.db", tmp_path / "text.db" / "mlflow.db", tmp_path):
        with pytest.raises(OSError, match=r"change MLFLOW_TRACKING_URI$"):
            require_database(f"sqlite:///{place}", "MLFLOW_TRACKING_URI")
    require_database(f"sqlite:///{tmp_path}/new/mlflow.db", "MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(TrackingError, match=r"it is not a store of MLflow: .*text.db: file is not a database: change"):
        require_store()
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    monkeypatch.setattr("sqlalchemy.create_engine", lambda address, **options: time.sleep(2))
    monkeypatch.setattr("sqlalchemy.dialects.postgresql.psycopg.PGDialect_psycopg.import_dbapi", lambda: None)
    begin = time.monotonic()
    with pytest.raises(OSError, match="no answer within 0 s: see to the database, or change MLFLOW_TRACKING_URI"):
        require_database("postgresql://127.0.0.1/studies", "MLFLOW_TRACKING_URI")
    assert time.monotonic() - begin < 1.5
