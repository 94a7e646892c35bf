"""``posegen ui --optuna``: Optuna's dashboard of a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from wsgiref.simple_server import make_server

from orchestration.runtime.ports import take_port
from orchestration.search.study import open_storage
from posegen.errors import ConfigError, SearchError

_HOST = "127.0.0.1"


def serve_dashboard(search: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the dashboard until the process is interrupted.

    Args:
        search: Folder of a search with ``study.db``, or the address of its storage.
        port: Port on this machine; other machines cannot reach it.
        on_ready: Called with the page's address.

    Raises:
        ConfigError: optuna-dashboard, an optional dependency, is not installed, or the port is taken.
        SearchError: There is no such study.
    """
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise ConfigError("Optuna's page needs a package: install with `pip install 'posegen[dashboard]'`") from None
    app = wsgi(open_storage(_address(search)))
    take_port(_HOST, port).close()
    with make_server(_HOST, port, app) as server:
        on_ready(f"http://{_HOST}:{port}")
        server.serve_forever()


def _address(search: str) -> str:
    if "://" in search:
        return search
    file = Path(search) / "study.db"
    if not file.is_file():
        raise SearchError(f"there is no study in {search}, expected the folder of a search, or its --storage")
    return f"sqlite:///{file}"
