"""Addresses of databases: whether they can be opened, which is told within seconds.

Those who use a database try for minutes before they say that they cannot.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from posegen.errors import first_line

_PATIENCE = 8.0  # seconds
_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""The packages of drivers that are called otherwise."""


def require_database(address: str, source: str) -> None:
    """Raise OSError where a database of SQLAlchemy's cannot be opened: in one line that ends with what to change.

    Args:
        address: Such as ``postgresql://host/studies``; those of servers, ``http://``, are not looked at.
        source: The option or the variable that names it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    if address.startswith(("http:", "https:", "file:")) or "://" not in address:
        return
    try:
        url = make_url(address)
        driver = url.get_dialect()
        driver.import_dbapi()
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), error.name)
        raise OSError(
            f"{address.partition(':')[0]}:// needs the package {package}: `pip install '{package}'`, or change {source}"
        ) from None
    except SQLAlchemyError as error:
        raise OSError(f"{first_line(error)}: change {source}") from None
    if url.get_backend_name() == "sqlite":
        _require_file(url.database or ":memory:", source)
    else:
        _require_answer(address, source)


def _require_file(database: str, source: str) -> None:
    """Raise OSError where a file is no database of sqlite, or cannot be made."""
    file = Path(database).absolute()
    if database in ("", ":memory:") or database.startswith("file:"):
        return
    if file.exists():
        try:
            opened = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=_PATIENCE)
            with closing(opened) as connection:
                connection.execute("PRAGMA schema_version")
        except sqlite3.Error as error:
            raise OSError(f"{file}: {error}: change {source}") from None
        return
    parent = next(folder for folder in file.parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OSError(f"{file} cannot be made in {parent}: change {source}")


def _require_answer(address: str, source: str) -> None:
    """Raise OSError where a server refuses, or does not answer."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    failure: list[Exception] = []

    def connect() -> None:
        try:
            create_engine(address, poolclass=NullPool).connect().close()
        except Exception as error:  # of whatever driver
            failure.append(error)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        raise OSError(f"no answer within {_PATIENCE:.0f} s: see to the database, or change {source}")
    if failure:
        raise OSError(f"{first_line(failure[0])}: see to the database, or change {source}")
