"""The MLflow client: which store is used, and what its errors mean."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from orchestration.tracking.database import require_database
from posegen.errors import TrackingError, first_line, hide_credentials

_log = logging.getLogger("posegen.tracking")
DEFAULT_STORE, ARTIFACTS = "mlflow.db", "mlartifacts"
_KIND, _TRAINS_MODELS = "mlflow.experimentKind", "custom_model_development"
"""The tag by which MLflow's page chooses its columns: it is one of language models otherwise."""
_SYSTEM = re.compile(r"\[Errno -?\d+\] ([^'\")]+)|(Read timed out|timed out)")
"""Words of the system about a connection, inside those of the libraries above it."""
_LOCKED = {"CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "UNAUTHENTICATED"}
"""Error codes of a server that wants other credentials."""
_USER_VARIABLES = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""Error codes of a server that is away, or overloaded."""


class AwayError(Exception):
    """MLflow does not answer now."""


class RefusedError(Exception):
    """MLflow answers, and does not take what it was sent."""


class LockedError(RefusedError):
    """MLflow wants other credentials."""


class UnusableError(RefusedError):
    """The address of MLflow's store leads to none, which does not change while a command runs."""


def tracking_uri() -> str:
    """Return the server of ``MLFLOW_TRACKING_URI``, or an sqlite file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(DEFAULT_STORE).absolute()}"


def shown_store() -> str:
    """Return the address of the store for messages: without user and password."""
    return hide_credentials(tracking_uri())


def store_name(uri: str) -> str:
    """Return a short name for a store, which reveals neither its address nor credentials."""
    return hashlib.sha256(uri.encode()).hexdigest()[:12]


@contextmanager
def naming_errors() -> Iterator[None]:
    """Raise AwayError or RefusedError for what goes wrong while MLflow is used."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except OSError as error:
        raise AwayError(first_line(error)) from error
    except MlflowException as error:
        if error.error_code in _LOCKED:
            raise LockedError(f"it refuses the credentials: set {_USER_VARIABLES}") from error
        kind = AwayError if error.error_code in _PASSING else RefusedError
        raise kind(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Reason of a store's error: of a server that is away the system's words, and what to do."""
    text = first_line(error)
    found = _SYSTEM.search(text)
    return f"{found[1] or found[2]}: see to the server, or change MLFLOW_TRACKING_URI" if found else text


def require_store(*, of_runs: bool = False) -> None:
    """Raise TrackingError where MLflow does not answer; or, `of_runs`, where no run was recorded. Makes no file."""
    uri = tracking_uri()
    try:
        with naming_errors():
            if _is_new(uri):
                _require_openable(uri)
            else:
                connect(uri).search_experiments(max_results=1)
    except LockedError as error:
        raise TrackingError(f"MLflow at {shown_store()}: {error}") from None
    except (AwayError, RefusedError) as error:
        raise TrackingError(f"MLflow at {shown_store()} does not answer: {error}") from None
    if of_runs and _is_new(uri):
        raise TrackingError(
            f"no runs are recorded here: {uri.removeprefix('sqlite:///')} is not there; give the command where they "
            "were, or set MLFLOW_TRACKING_URI to their store"
        )


def _is_new(uri: str) -> bool:
    """True for the address of a file that is not there."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists()


def _require_openable(uri: str) -> None:
    """Raise UnusableError where an address is that of a database that does not open."""
    try:
        require_database(uri, "MLFLOW_TRACKING_URI")
    except OSError as error:
        raise UnusableError(f"it is not a store of MLflow: {first_line(error)}") from error


def require_access() -> None:
    """Raise TrackingError where a server of MLflow refuses the credentials; for one that is away nothing is raised."""
    uri = tracking_uri()
    if not uri.startswith(("http:", "https:")):
        return
    try:
        with naming_errors():
            connect(uri).search_experiments(max_results=1)
    except LockedError as error:
        raise TrackingError(f"MLflow at {shown_store()}: {error}; or leave it out with --no-track") from None
    except (AwayError, RefusedError):
        pass


def connect(uri: str) -> Any:
    """Return a client of a store, whose tables are made where it is a new sqlite file.

    Raises UnusableError where the address leads to something else, or to a database that does not open.
    """
    # A training step waits for no server: two short tries instead of MLflow's minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # between our own lines
    from mlflow import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # each try of a server that is away
    if uri not in _made:
        _require_openable(uri)
    if uri.startswith("sqlite:") and uri not in _made:
        # Two commands that begin in an empty folder would make the same tables at once, which fails.
        with FileLock(Path(tempfile.gettempdir()) / f"posegen-{store_name(uri)}.lock"):
            try:
                _make_tables(uri)
            except SQLAlchemyError as error:
                raise UnusableError(f"it is not a store of MLflow: {first_line(error)}") from error
    _made.add(uri)
    return MlflowClient(tracking_uri=uri)


def _make_tables(uri: str) -> None:
    """Make a new sqlite file with MLflow's tables, whole or not at all; update those of an older MLflow.

    MLflow makes them in many steps, and cannot open a file whose maker was killed between two of them.
    """
    from mlflow import MlflowClient
    from sqlalchemy.engine import make_url

    url = make_url(uri)
    file = Path(url.database or "")
    if not url.database or url.database == ":memory:" or file.exists():
        MlflowClient(tracking_uri=uri)
        return
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    MlflowClient(tracking_uri=url.set(database=str(new)).render_as_string(hide_password=False))
    if file.exists():  # another program made it meanwhile
        new.unlink()
    else:
        new.replace(file)
        _log.info("runs are recorded in %s, which is new, and pictures in %s beside it", file, ARTIFACTS)


_made: set[str] = set()
"""Stores that were opened, and whose tables are there."""


def find_experiment(client: Any, uri: str, name: str) -> str:
    """Return the id of an experiment, which is made where there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        if _KIND not in found.tags:
            client.set_experiment_tag(found.experiment_id, _KIND, _TRAINS_MODELS)
        return found.experiment_id
    # Without a server, artifacts lie beside the store, wherever the process that logs them runs.
    local = uri.startswith("sqlite:///")
    location = (Path(uri.removeprefix("sqlite:///")).parent / ARTIFACTS / name).as_uri() if local else None
    try:
        return client.create_experiment(name, artifact_location=location, tags={_KIND: _TRAINS_MODELS})
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found.experiment_id  # another command made it meanwhile
