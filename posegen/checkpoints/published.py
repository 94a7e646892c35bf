"""Checkpoints that the published code of behaviour-driven synthesis wrote (Blattmann et al., 2021), as our stages.

That code writes ``reg_ckpt_*.pth``, and ``flow_ckpt_*.pth`` of flows, pickles of PyTorch with the network's tensors
alone or beside the optimizer's, and a ``config.yaml`` with what it was trained with. Of a pickle tensors are read and
nothing is run; of the settings those that decide how the network is used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from posegen.datasets.published.h36m_names import H36M_FPS, Y_UP
from posegen.errors import CheckpointImportError, first_line
from posegen.io.records import parse_partial
from posegen.networks.behavior import BehaviorNet
from posegen.skeletons import H36M_17
from posegen.stages import Behavior, BehaviorFlow, ShapePosture, Stage
from posegen.weights.readers import read_torch

_SETTINGS = "config.yaml"
_LONGEST_SETTINGS = 2**16  # bytes, thirty times those of the published file
_OPENPOSE_DATASETS = ("DeepFashion", "Market")  # whose postures have 18 joints


PublishedStageName = Literal["behavior", "behavior_flow", "shape_posture"]
"""Stages whose networks that code has, too."""


@dataclass(frozen=True)
class _General:
    experiment: str = ""


@dataclass(frozen=True)
class _Data:
    dataset: str = ""
    seq_length: tuple[int, int] = (50, 51)
    """Shortest window, and one more than the longest."""
    sequential_frame_lag: PositiveInt = 2
    """Frames of the video from one of a window to the next."""
    spatial_size: PositiveInt | None = None
    """Height and width of frames in pixels."""
    crop_app: bool = False
    """True if pictures show the surroundings of the person alone."""


@dataclass(frozen=True)
class _Training:
    information_max: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


@dataclass(frozen=True)
class PublishedSettings:
    """Settings in ``config.yaml``; published values for missing ones, and without the file."""

    general: _General = field(default_factory=_General)
    data: _Data = field(default_factory=_Data)
    training: _Training = field(default_factory=_Training)


@dataclass(frozen=True)
class Published:
    """A checkpoint as that code wrote it."""

    file: Path
    tensors: dict[str, Tensor]
    """Tensors by their published names."""
    settings: PublishedSettings

    def shape(self, name: str, dims: int) -> tuple[int, ...]:
        """Return the shape of a tensor of so many dimensions. Raises CheckpointImportError where there is no such
        one."""
        found = tuple(self.tensors[name].shape) if name in self.tensors else None
        if found is None or len(found) != dims:
            has = "is missing" if found is None else f"has the shape {found}"
            raise CheckpointImportError(
                f"{self.file}: {name} {has}, expected {dims} dimensions: is it of another network?"
            )
        self.check_numbers(name)
        return found

    def check_numbers(self, name: str, kind: torch.dtype = torch.float32) -> None:
        """Raise CheckpointImportError where a tensor has fewer numbers than its shape says, or those of another kind.

        Floating-point numbers may be of any precision.
        """
        tensor = self.tensors[name]
        fits = tensor.is_floating_point() if kind.is_floating_point else tensor.dtype == kind
        # A tensor may claim many numbers and hold one, again and again.
        if not fits or tensor.untyped_storage().nbytes() < tensor.nbytes:
            numbers = "floating-point" if kind.is_floating_point else "whole"
            raise CheckpointImportError(f"{self.file}: {name} does not hold {tensor.numel():,} {numbers} numbers")

    def count(self, pattern: str) -> int:
        """Count the tensors whose name matches a pattern."""
        return sum(re.fullmatch(pattern, name) is not None for name in self.tensors)


def open_published(stage: PublishedStageName, place: Path) -> Published:
    """Read a checkpoint, and the ``config.yaml`` beside it where there is one.

    Args:
        stage: What it should be of.
        place: A file, or a folder, of which the ``reg_ckpt*.pth``, or ``flow_ckpt*.pth`` of a flow, with the highest
            number at its end is read.

    Raises:
        CheckpointImportError: There is none, or a file is not what it should be.
    """
    prefix = _LAYOUTS[stage].prefix
    file = _newest(place, prefix) if place.is_dir() else place
    if not file.is_file():
        raise CheckpointImportError(
            f"there is no checkpoint {file}: expected a .pth file, or a folder with {prefix}_*.pth"
        )
    return Published(file, _read_tensors(file), _read_settings(file.parent / _SETTINGS))


def has_flow(folder: Path) -> bool:
    """Return True if a folder has a checkpoint of a flow."""
    return any(folder.glob(f"*{_FLOW.prefix}*.pth"))


def published_config(stage: PublishedStageName, published: Published) -> Stage.Config:
    """Return the configuration of a stage whose network is that of a checkpoint.

    What only training needs is the preset's: ``reference`` of `Behavior` and `BehaviorFlow`; of `ShapePosture` ``h36m``
    where whole pictures show the person, and ``market`` or ``deepfashion`` where crops do that are 2 or 4 times
    smaller. The checkpoint has neither a posture decoder nor a regressor of postures, so their losses are off. Windows
    and rate of a flow are those of the behaviour net, which the caller knows.

    Raises:
        CheckpointImportError: The checkpoint is of another network, or its settings are of another experiment.
    """
    layout, experiment = _LAYOUTS[stage], published.settings.general.experiment
    if experiment and experiment != layout.experiment:
        raise CheckpointImportError(
            f"{published.file.parent / _SETTINGS} is of the experiment {experiment!r}, expected {layout.experiment!r} "
            f"for the stage {stage!r}"
        )
    try:
        return layout.configure(published)
    except CheckpointImportError:
        raise
    except ValueError as error:
        raise CheckpointImportError(f"{published.file}: {error}") from error


def published_stage(stage: PublishedStageName, config: Stage.Config, published: Published) -> Stage:
    """Build a stage with the weights of a checkpoint.

    A behaviour net still lacks the scale of its data, which `Stage.begin` gives it, and a flow the behaviour net, which
    it takes over in `Stage.initialize`; its norms are the checkpoint's and want no `begin`.

    The published behaviour net sees Human3.6M's axes, z up. The adopted one gives the same of motions with y up.

    Args:
        stage: Its name.
        config: From `published_config`, adapted to data.
        published: The checkpoint.

    Raises:
        CheckpointImportError: Tensors are missing, unknown, or have shapes or numbers that the network cannot have.
    """
    layout = _LAYOUTS[stage]
    try:
        with torch.device("meta"):  # shapes alone: what lies may ask for more memory than there is
            _check(_by_published_name(layout.build(config), layout), published, layout)
    except CheckpointImportError:
        raise
    except ValueError as error:  # scales that do not fit together
        raise CheckpointImportError(f"{published.file}: {error}") from error
    built = layout.build(config)
    with torch.no_grad():
        for name, own in _by_published_name(built, layout).items():
            own.copy_(published.tensors[name].reshape(own.shape))
        if isinstance(built, Behavior) and isinstance(built.network, BehaviorNet):
            _turn_up(built.network)
    return built.eval()


def _newest(folder: Path, prefix: str) -> Path:
    """The checkpoint of a folder with the highest number behind its last underscore, as that code chooses it."""
    there = sorted(folder.glob("*.pth"))
    found = [path for path in there if prefix in path.name]
    if not found:
        others = f", it has {', '.join(path.name for path in there)}" if there else ""
        raise CheckpointImportError(f"{folder} has no {prefix}_*.pth{others}")
    return max(found, key=_number)


def _number(path: Path) -> int:
    match = re.search(r"_(\d+)\.pth$", path.name)
    return int(match[1]) if match else -1


def _read_tensors(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = read_torch(file)
    except Exception as error:
        raise CheckpointImportError(f"{file} cannot be read as a checkpoint: {first_line(error)}") from error
    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(x, str) and isinstance(y, Tensor) for x, y in state.items()):
        raise CheckpointImportError(f"{file} holds no tensors by name, expected a state dict, alone or as 'model'")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


class _Loader(yaml.SafeLoader):
    """Reads plain data, and the one tag of Python's that the published settings have."""


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", lambda loader, node: loader.construct_sequence(node))


def _read_settings(file: Path) -> PublishedSettings:
    if not file.is_file():
        return PublishedSettings()
    with file.open("rb") as stream:
        content = stream.read(_LONGEST_SETTINGS + 1)
    if len(content) > _LONGEST_SETTINGS:
        raise CheckpointImportError(f"{file} is longer than {_LONGEST_SETTINGS:,} bytes, which no settings are")
    try:
        values = yaml.load(content, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise CheckpointImportError(f"{file}{line}: {error.problem}") from None
    except RecursionError:
        raise CheckpointImportError(f"{file} is nested deeper than any settings") from None
    except (yaml.YAMLError, ValueError) as error:
        raise CheckpointImportError(f"{file} is not YAML: {first_line(error)}") from None
    return parse_partial(PublishedSettings, values, str(file), CheckpointImportError)


def _configure_behavior(published: Published) -> Behavior.Config:
    _, latent_dim = published.shape("b_enc.rnn.weight_hh_l0", 2)
    _, pose_dim = published.shape("b_enc.rnn.weight_ih_l0", 2)
    if pose_dim != 3 * len(H36M_17):
        raise CheckpointImportError(
            f"{published.file} was trained on postures of {pose_dim} numbers, expected the {3 * len(H36M_17)} of "
            f"{len(H36M_17)} joints in the world (keypoint_type: keypoints_3d_world)"
        )
    preset = Behavior.presets["reference"]
    assert isinstance(preset, Behavior.Config)
    return replace(
        preset,
        latent_dim=latent_dim,
        num_frames=published.settings.data.seq_length[0],
        fps=H36M_FPS / published.settings.data.sequential_frame_lag,
        information_max=published.settings.training.information_max or preset.information_max,
        lambda_auxiliary=0.0,
    )


def _configure_flow(published: Published) -> BehaviorFlow.Config:
    _, latent_dim, *_ = published.shape("flow.sub_layers.0.norm_layer.loc", 4)
    hidden_dim, _ = published.shape("flow.sub_layers.0.coupling.s.0.main.0.weight", 2)
    num_layers = published.count(r"flow\.sub_layers\.0\.coupling\.s\.0\.main\.\d+\.weight")
    preset = BehaviorFlow.presets["reference"]
    assert isinstance(preset, BehaviorFlow.Config)
    return replace(
        preset,
        latent_dim=latent_dim,
        hidden_dim=hidden_dim,
        depth=num_layers - 2,  # beside the first and the last
        num_blocks=published.count(r"flow\.sub_layers\.\d+\.norm_layer\.loc"),
    )


def _configure_shape_posture(published: Published) -> ShapePosture.Config:
    width, channels, *_ = published.shape("eu.nin.conv.weight_v", 4)
    max_width, *_ = published.shape("dd.nin.conv.weight_v", 4)
    if channels not in (3, 30):
        raise CheckpointImportError(
            f"{published.file} sees a person in {channels} channels, expected 3 of a picture or 30 of ten part crops"
        )
    num_scales, appearance_scales = (1 + published.count(rf"{part}\.downs\.\d+\.down\.beta") for part in ("du", "eu"))
    box_factor = num_scales - appearance_scales
    preset = ShapePosture.presets["h36m" if channels == 3 else "market" if box_factor == 1 else "deepfashion"]
    assert isinstance(preset, ShapePosture.Config)
    size = published.settings.data.spatial_size or preset.spatial_size[0]
    return replace(
        preset,
        spatial_size=(size, size),
        bottleneck_factor=1 + round(math.log2(size)) - num_scales,
        box_factor=box_factor if channels == 30 else preset.box_factor,
        crop_person=channels == 3 and published.settings.data.crop_app,
        figure="openpose18" if published.settings.data.dataset in _OPENPOSE_DATASETS else preset.figure,
        width=width,
        max_width=max_width,
        information_max=published.settings.training.information_max or preset.information_max,
        lambda_regressor=0.0,
    )


@dataclass(frozen=True)
class _Layout:
    """Layout of a network in the published code."""

    experiment: str
    """Experiment name in its settings."""
    build: Callable[[Any], Stage]
    network: Callable[[Any], nn.Module]
    """Return the part of the stage that the checkpoint holds."""
    configure: Callable[[Published], Stage.Config]
    names: tuple[tuple[str, str], ...]
    """Patterns of our tensors' names, and what stands there in the published ones."""
    implied: str = r"(?!)"
    """Pattern of published names whose tensors say what others say, too."""
    prefix: str = "reg_ckpt"
    """Of the files' names."""


_BEHAVIOR = _Layout(
    experiment="behavior_net",
    build=Behavior,
    network=attrgetter("network"),
    configure=_configure_behavior,
    names=(
        (r"^encoder\.mean", "b_enc.mu_fn"),
        (r"^encoder\.logstd", "b_enc.std_fn"),
        (r"^encoder", "b_enc"),
        (r"^decoder\.head", "decoder.n_out"),
        (r"shift$", "beta"),
        (r"gain$", "gamma"),
        (r"linear\.bias$", "conv.bias"),
        (r"linear\.parametrizations\.weight\.original0$", "conv.weight_g"),
        (r"linear\.parametrizations\.weight\.original1$", "conv.weight_v"),
    ),
)
_FLOW = _Layout(
    experiment=_BEHAVIOR.experiment,
    build=BehaviorFlow,
    network=attrgetter("flow"),
    configure=_configure_flow,
    names=(
        (r"^blocks\.", "flow.sub_layers."),
        (r"\.norm\.shift$", ".norm_layer.loc"),
        (r"\.norm\.scale$", ".norm_layer.scale"),
        (r"\.to_(second|first)\.log_scale\.0\.", r".coupling.s.\1.main."),
        (r"\.to_(second|first)\.shift\.", r".coupling.t.\1.main."),
        (r"\.second\.", ".0."),  # the half that is changed first
        (r"\.first\.", ".1."),
        (r"\.permutation$", ".shuffle.forward_shuffle_idx"),
    ),
    implied=r"\.(shuffle\.backward_shuffle_idx|norm_layer\.initialized)$",
    prefix="flow_ckpt",
)
_SHAPE_POSTURE = _Layout(
    experiment="cvbae",
    build=ShapePosture,
    network=attrgetter("network"),
    configure=_configure_shape_posture,
    names=(
        (r"^appearance\.", "eu."),
        (r"^shape\.", "ed."),
        (r"^posture\.", "du."),
        (r"^decoder\.", "dd."),
        (r"\.(stem|skip)\.", ".nin."),
        (r"\.downs\.(\d+)\.", r".downs.\1.down."),
        (r"\.ups\.(\d+)\.conv\.", r".ups.\1.up."),
        (r"\.means\.", ".make_latent_params."),
        (r"\.logstds\.", ".make_logstds."),
        (r"\.last_block\.", ".fin_block."),
        (r"\.code_blocks\.", ".auto_blocks."),
        (r"\.output\.", ".out_conv."),
        (r"\.bias$", ".conv.bias"),
        (r"\.length$", ".conv.weight_g"),
        (r"\.direction$", ".conv.weight_v"),
    ),
)
_LAYOUTS: dict[PublishedStageName, _Layout] = {
    "behavior": _BEHAVIOR,
    "behavior_flow": _FLOW,
    "shape_posture": _SHAPE_POSTURE,
}


def _by_published_name(stage: Stage, layout: _Layout) -> dict[str, Tensor]:
    """The parameters of our network and its permutations, by the names that they have in that code."""
    network = layout.network(stage)
    permutations = [(name, tensor) for name, tensor in network.named_buffers() if not tensor.is_floating_point()]
    named = {}
    for name, tensor in [*network.named_parameters(), *permutations]:
        for pattern, replacement in layout.names:
            name = re.sub(pattern, replacement, name)
        named[name] = tensor
    return named


def _check(own: dict[str, Tensor], published: Published, layout: _Layout) -> None:
    """Raise CheckpointImportError where tensors are not those of the network."""
    file, given = published.file, published.tensors
    missing = sorted(own.keys() - given.keys())
    unknown = sorted(name for name in given.keys() - own.keys() if not re.search(layout.implied, name))
    if missing:
        raise CheckpointImportError(
            f"{file} lacks {len(missing)} of the network's {len(own)} tensors, such as {missing[0]}"
        )
    if unknown:
        raise CheckpointImportError(f"{file} has {len(unknown)} tensors that the network has not, such as {unknown[0]}")
    for name, expected in own.items():
        tensor = given[name]
        if _without_ones(tensor.shape) != _without_ones(expected.shape):
            raise CheckpointImportError(
                f"{file}: {name} has the shape {tuple(tensor.shape)}, expected {_without_ones(expected.shape)}"
            )
        published.check_numbers(name, expected.dtype)
        if not tensor.isfinite().all():
            raise CheckpointImportError(f"{file}: {name} has numbers that are not finite: its training diverged")
        if not expected.is_floating_point() and sorted(tensor.flatten().tolist()) != list(range(tensor.numel())):
            raise CheckpointImportError(f"{file}: {name} is no permutation: it lacks some of 0 to {tensor.numel() - 1}")


def _without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """Reduce a shape to its dimensions above 1: weights of 1×1 convolutions become matrices, and gains of channels
    vectors."""
    return tuple(side for side in shape if side != 1)


def _turn_up(network: BehaviorNet) -> None:
    """Turn the weights next to the postures, so that a network for axes with z up is one for axes with y up.

    That changes the order and the sign of numbers, which go through the z-score alone.
    """
    for name in ("encoder.rnn.weight_ih_l0", "decoder.rnn.weight_ih", "decoder.head.bias"):
        parameter = network.get_parameter(name)
        parameter.copy_(_turned(parameter))
    head = network.decoder.head.weight
    head.copy_(_turned(head.T).T)


def _turned(coordinates: Tensor) -> Tensor:
    """Numbers (..., 3 J), one for each coordinate of the joints, turned."""
    return (coordinates.unflatten(-1, (-1, 3)) @ torch.from_numpy(Y_UP.T).to(coordinates)).flatten(-2)
