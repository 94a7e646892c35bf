"""Controllable human action video: the method, in PyTorch, NumPy, OpenCV and Arrow.

    >>> import posegen as pg
    >>> pg.load().render("ann.jpg", action="wave", upper="teal").save("wave.mp4")

Words
    clip         one person doing one action in one video.
    feature map  F, what the generator sees of a frame: stick figure (3 channels) and edge map (1 channel).
    stage        something that is trained (``color_encoder``, ``video_generator``, ...).
    run          one training of one stage.
    backend      one way to see a frame: pose, edges or mask.
    studio       the built-in set of rendered people and actions.

Shapes in comments and docstrings
    N batch, T frames, J joints, P body parts, C channels, H height, W width, Z latent, D width of a layer.

Conventions
    Images in files and in NumPy are uint8 RGB, (H, W, 3). In networks they are float, (N, 3, H, W), in [-1, 1].
    Feature maps, masks and edges are in [0, 1] until a network eats them (0 means "nothing there").
    Keypoints are (..., 18, 3): x and y in pixels, pixel centres at integer coordinates, and a confidence in
    [0, 1]. A joint that was not seen is (0, 0, 0); confidence > 0 is the only test for presence.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posegen.api import PhotoRenderer, RenderOptions, RunRenderer, Sheet, Video, actions, colorways, load
    from posegen.datasets.clips import ClipDataset
    from posegen.datasets.motions import MotionDataset
    from posegen.errors import PosegenError
    from posegen.inference.requested_motions import read_motion_file
    from posegen.motion.motion import Motion

__version__ = version("posegen")
__all__ = [
    "ClipDataset",
    "Motion",
    "MotionDataset",
    "PhotoRenderer",
    "PosegenError",
    "RenderOptions",
    "RunRenderer",
    "Sheet",
    "Video",
    "__version__",
    "actions",
    "colorways",
    "load",
    "read_motion_file",
]
# Imported when first asked for: the package itself costs nothing.
_PLACES = {
    "ClipDataset": "posegen.datasets.clips",
    "Motion": "posegen.motion.motion",
    "MotionDataset": "posegen.datasets.motions",
    "PosegenError": "posegen.errors",
    "read_motion_file": "posegen.inference.requested_motions",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'posegen' has no attribute {name!r}")
    return getattr(import_module(_PLACES.get(name, "posegen.api")), name)


def __dir__() -> list[str]:
    return __all__
