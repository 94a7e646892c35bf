"""``posegen register``: a run's video generator in MLflow's registry, from where `mlflow.pyfunc` loads it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestration.tracking.client import connect, find_experiment, naming_errors, require_store, tracking_uri
from orchestration.tracking.mirror import KEY, MODEL_EPOCH, sync
from orchestration.tracking.run_log import RunLog
from posegen.checkpoints.checkpoint import find_checkpoint, load_frame_stage, load_progress
from posegen.checkpoints.run_record import dataset_of
from posegen.errors import TrackingError
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.storage import StorageFolder

EXPERIMENT = "posegen"
_VERSIONS = "mlflow.modelVersions"  # tag of a logged model, by which MLflow's pages name its versions
_COLUMNS = ("photo", "action", "poses", "upper", "lower")
_EXAMPLE = {"photo": "photo.jpg", "action": "wave", "poses": "", "upper": "teal", "lower": "", "frames": 50}


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a model in the registry."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """Address for `mlflow.pyfunc.load_model`."""
        return f"models:/{self.name}/{self.version}"


def register(run: str, name: str, dataset: str = "") -> RegisteredModel:
    """Register a run's checkpoint as a version of a model that draws videos.

    Args:
        run: Run of the stage video_generator or end_to_end.
        name: Of the model; another version is added where it exists.
        dataset: Clip dataset whose clips the model can name where it is loaded; by default the run's own.

    Raises:
        PosegenError: There is no such run, it renders no videos, or MLflow does not answer or refuses.
    """
    checkpoint = find_checkpoint(run)
    load_frame_stage(checkpoint, (VideoSynthesizer.stage_type,))  # other stages are refused
    require_store()
    sync(run)
    uri, log = tracking_uri(), RunLog(run)
    with naming_errors(), tempfile.TemporaryDirectory() as folder:
        client = connect(uri)
        description = log.description
        experiment = find_experiment(client, uri, description.experiment if description else EXPERIMENT)
        runs = client.search_runs([experiment], f"tags.`{KEY}` = '{description.key}'") if description else []
        source = runs[0].info.run_id if runs else None
        _write_model(Path(folder) / "model", checkpoint, dataset or dataset_of(run))
        epoch = load_progress(checkpoint).epoch
        model = _find_model(client, experiment, source, epoch) or client.create_logged_model(
            experiment, f"{name}-{epoch}", source_run_id=source, model_type="pyfunc"
        )
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
        client.finalize_logged_model(model.model_id, "READY")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description=f"posegen {version('posegen')}: videos of people")
        made = client.create_model_version(name, f"models:/{model.model_id}", source, model_id=model.model_id)
        versions = [*json.loads(model.tags.get(_VERSIONS, "[]")), {"name": name, "version": str(made.version)}]
        client.set_logged_model_tags(model.model_id, {_VERSIONS: json.dumps(versions)})
    return RegisteredModel(name, str(made.version))


def _find_model(client: Any, experiment: str, run_id: str | None, epoch: int) -> Any:
    """Find the model with the metrics of an epoch that was sent while the run was tracked; None if it was not kept."""
    if run_id is None:
        return None
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    return next((model for model in found if model.tags.get(MODEL_EPOCH) == str(epoch)), None)


def _write_model(folder: Path, checkpoint: StorageFolder, dataset: str) -> None:
    """Write the files of a model: code, checkpoint, and what is known of the dataset."""
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        _copy(checkpoint, run / "checkpoints" / checkpoint.name)
        (run / "dataset").write_text(dataset)
        (run / "dataset-info").mkdir()
        (run / "dataset-info" / "dataset.json").write_bytes(StorageFolder(dataset).read("dataset.json"))
        text = [ColSpec("string", column, required=column == "photo") for column in _COLUMNS]
        inputs = Schema([*text, ColSpec("long", "frames", required=False)])
        save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("render_model.py")),
            artifacts={"run": str(run)},
            signature=ModelSignature(inputs, Schema([ColSpec("binary", "video")])),
            input_example=pd.DataFrame([_EXAMPLE]),
            pip_requirements=[f"posegen=={version('posegen')}"],
        )


def _copy(checkpoint: StorageFolder, folder: Path) -> None:
    folder.mkdir(parents=True)
    for file in checkpoint.files(""):
        (folder / file).write_bytes(checkpoint.read(file))
    if not any(folder.iterdir()):
        raise TrackingError(f"{checkpoint} has no files")
