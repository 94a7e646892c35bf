"""``posegen export``: the generator of a run as ONNX, for runtimes without PyTorch."""

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from posegen.errors import ConfigError
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import write_whole
from posegen.io.output_files import EXPORT, KEEP_FILES, OverwriteSettings
from posegen.io.storage import StorageFolder

INPUTS = ("features", "previous", "code", "regions")
OUTPUT = "frame"
_OPSET = 18


@dataclass(frozen=True)
class Exported:
    """The file of an export."""

    path: Path
    num_bytes: int


def export(run: StorageFolder | str, out: Path, writing: OverwriteSettings = KEEP_FILES) -> Exported:
    """Write the generator as ONNX: one call renders a frame from the one before, so a loop renders a video.

    Inputs are ``features`` (N, F, H, W) in [-1, 1], ``previous`` (N, 3, H, W) in [-1, 1], at first v0, ``code``
    (N, Z) and ``regions`` (N, 2, H, W) in [0, 1]; the output is ``frame`` (N, 3, H, W) in [-1, 1]. N is free. The
    file's metadata have ``size``, ``latent_dims``, ``stage`` and ``config`` as JSON. Encoders, codebooks and feature
    restoration are not in it.

    Raises CheckpointError where there is no such run, and ConfigError where ONNX is not installed or `out` is no .onnx.
    """
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"export needs {' and '.join(missing)}: install with `pip install 'posegen[export]'`")
    import onnx

    EXPORT.require(out)
    writing.require_writable([out])
    synthesizer = load_renderer(run, VideoSynthesizer, device=torch.device("cpu"))
    stage, config = synthesizer.stage, synthesizer.stage.config
    latent_dims = config.upper_latent_dim, config.lower_latent_dim
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        _export_network(synthesizer, sum(latent_dims), path)
        model = onnx.load(path)
    facts = {"size": synthesizer.size, "latent_dims": latent_dims, "stage": stage.name, "config": asdict(config)}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in facts.items()})
    onnx.checker.check_model(model)
    write_whole(out, model.SerializeToString())
    return Exported(out, out.stat().st_size)


def _export_network(synthesizer: VideoSynthesizer, latent_dim: int, path: Path) -> None:
    shapes = [
        (synthesizer.stage.config.condition_channels, *synthesizer.size),
        (3, *synthesizer.size),
        (latent_dim,),
        (2, *synthesizer.size),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        torch.onnx.export(
            synthesizer.stage.generator,
            tuple(torch.zeros(2, *shape) for shape in shapes),  # a batch of one would be taken for a constant
            path,
            input_names=INPUTS,
            output_names=[OUTPUT],
            dynamic_shapes=[{0: torch.export.Dim("batch")}] * len(INPUTS),
            opset_version=_OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
