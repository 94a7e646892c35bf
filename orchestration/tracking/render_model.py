"""The code of a registered video generator: MLflow runs this file where it loads one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

import posegen as pg

_OPTIONS = ("action", "poses", "upper", "lower", "frames")


class RenderModel(PythonModel):
    """Renders a video for each row: of a person (``photo``) in an action or in poses, in colours."""

    def load_context(self, context: Any) -> None:
        """Load the run from the model's files."""
        run = Path(context.artifacts["run"])
        own = (run / "dataset").read_text().strip()
        dataset = own if Path(own, "dataset.json").is_file() else str(run / "dataset-info")
        self._renderer = pg.load(run, dataset=dataset)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a table with a column ``video``, the bytes of an MP4 for each row."""
        return pd.DataFrame({"video": [self._render(row) for _, row in model_input.iterrows()]})

    def _render(self, row: pd.Series) -> bytes:
        given = {name: row[name] for name in _OPTIONS if name in row and not pd.isna(row[name]) and row[name] != ""}
        if "frames" in given:
            given["frames"] = int(given["frames"])
        with tempfile.TemporaryDirectory() as folder:
            return self._renderer.render(row["photo"], **given).save(Path(folder) / "video.mp4").read_bytes()


set_model(RenderModel())
