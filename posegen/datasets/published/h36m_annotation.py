"""``annot_export.h5``: where every picture of Human3.6M is and what it shows, as behaviour-driven synthesis reads it.

One row a picture; the rows of a view follow each other. Lengths are millimetres, the world's z points up:

==================== ================= ========================================================================
img_paths            (N,) bytes        path of the picture, beginning with ``processed``
keypoints            (N, 32, 2)        pixels
norm_keypoints       (N, 32, 2)        shares of width and height
keypoints_3d         (N, 32, 3)        in the camera's axes, of the universal body
keypoints_3d_world   (N, 32, 3)        in the world
intrinsics_univ      (N, 4)            fx, cx, fy, cy in pixels, in this order
extrinsics_univ      (N, 3, 4)         from the world to the camera's axes
image_size           (N, 2)            width, height
world_measured       (N,) bool         whether the world is the room, see below; not in the published file
p_ids, action, subaction, camera_id, f_ids  (N,)   numbers; frames count from 1
==================== ================= ========================================================================

The published file has measured places of the person in the room. Where posegen knows no more than a camera's view of a
universal body, it says where such a body would have to be: at the person's place in the picture, nearer or farther.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import h5py
import numpy as np

from posegen.datasets.motion_formats.source import put_on_floor
from posegen.datasets.published.h36m_names import (
    CAMERAS,
    H36M_ACTIONS,
    H36M_FPS,
    H36M_JOINTS,
    H36M_SUBJECTS,
    Y_UP,
    CameraView,
    Take,
)
from posegen.errors import ArchiveError, first_line
from posegen.io.storage import scratch_name
from posegen.motion.cameras import PinholeCamera
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import smpl_joints
from posegen.motion.to_openpose import openpose_body, project_body
from posegen.skeletons import H36M_17, H36M_17_INDICES

ANNOTATION_FILE = "annot_export.h5"

_COLUMNS: dict[str, tuple[tuple[int, ...], str]] = {
    "img_paths": ((), "S256"),
    "keypoints": ((H36M_JOINTS, 2), "f4"),
    "norm_keypoints": ((H36M_JOINTS, 2), "f4"),
    "keypoints_3d": ((H36M_JOINTS, 3), "f4"),
    "keypoints_3d_world": ((H36M_JOINTS, 3), "f4"),
    "intrinsics_univ": ((4,), "f8"),
    "extrinsics_univ": ((3, 4), "f8"),
    "image_size": ((2,), "i8"),
    "p_ids": ((), "i8"),
    "action": ((), "i8"),
    "subaction": ((), "i8"),
    "camera_id": ((), "i8"),
    "f_ids": ((), "i8"),
    "world_measured": ((), "?"),
}
_NEEDED = _COLUMNS.keys() - {"img_paths", "keypoints", "norm_keypoints", "keypoints_3d", "world_measured"}
_MAX_ROWS = 2**24  # eight times as many as there are
_MAX_BYTES = 2**27  # of the annotation of one view


@dataclass(frozen=True)
class ViewRows:
    """Rows of a view in the annotation."""

    world: np.ndarray
    """(T, 32, 3) millimetres in the world."""
    intrinsics: np.ndarray
    """(4,) pixels: fx, cx, fy, cy."""
    extrinsics: np.ndarray
    """(3, 4)."""
    size: tuple[int, int]
    """Height and width of the pictures."""
    frames: np.ndarray
    """(T,): numbers of the frames in the video, from 1."""
    measured: bool = True
    """True if `world` is the measured position of the person."""

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def camera(self) -> PinholeCamera:
        """The camera in posegen's world: metres, y up."""
        fx, cx, fy, cy = map(float, self.intrinsics)
        rotation = self.extrinsics[:, :3] @ Y_UP.T
        return PinholeCamera(
            fx=fx,
            fy=fy,
            cx=cx,
            cy=cy,
            rotation=tuple(tuple(row) for row in rotation.tolist()),  # type: ignore[arg-type]
            translation=tuple((self.extrinsics[:, 3] / 1000).tolist()),
            canvas=self.size,
        )

    def joints(self) -> np.ndarray:
        """Joints (T, 17, 3) of `posegen.skeletons.H36M_17` in metres, y up."""
        return (self.world[:, H36M_17_INDICES] / 1000 @ Y_UP.T).astype(np.float32)

    def keypoints(self) -> np.ndarray:
        """OpenPose keypoints (T, 18, 3) in pixels, see `posegen.motion.to_openpose.project_body`."""
        return project_body(openpose_body(self.joints(), H36M_17), self.camera)


def view_columns(
    view: CameraView, keypoints: np.ndarray, positions: np.ndarray, rows: ViewRows
) -> dict[str, np.ndarray]:
    """Return a view's rows of the file by column: keypoints (T, 32, 2) in pixels, positions (T, 32, 3)."""
    count, (height, width) = len(rows), rows.size
    constants: dict[str, object] = {
        "intrinsics_univ": rows.intrinsics,
        "extrinsics_univ": rows.extrinsics,
        "image_size": (width, height),
        "p_ids": int(view.take.subject.removeprefix("S")),
        "action": view.take.action,
        "subaction": view.take.subaction,
        "camera_id": int(view.camera),
        "world_measured": rows.measured,
    }
    columns = {
        "img_paths": np.array([str(picture_path(view, frame)) for frame in rows.frames], "S256"),
        "keypoints": keypoints,
        "norm_keypoints": keypoints / (width, height),
        "keypoints_3d": positions,
        "keypoints_3d_world": rows.world,
        "f_ids": rows.frames,
    } | {name: np.repeat(np.asarray(value)[None], count, axis=0) for name, value in constants.items()}
    return {name: columns[name].astype(dtype) for name, (_, dtype) in _COLUMNS.items()}


def encode_columns(columns: dict[str, np.ndarray]) -> bytes:
    """Return a view's rows as the content of an ``.npz``."""
    content = io.BytesIO()
    np.savez(content, **columns)  # type: ignore[arg-type]  # numpy's annotation knows its own options only
    return content.getvalue()


def decode_columns(content: bytes) -> dict[str, np.ndarray]:
    """Return the inverse of `encode_columns`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in _COLUMNS}


def rows_of(columns: dict[str, np.ndarray]) -> ViewRows:
    """Return what columns say of the one view that they are of."""
    width, height = columns["image_size"][0].tolist()
    return ViewRows(
        world=columns["keypoints_3d_world"].astype(np.float64),
        intrinsics=columns["intrinsics_univ"][0].astype(np.float64),
        extrinsics=columns["extrinsics_univ"][0].astype(np.float64),
        size=(int(height), int(width)),
        frames=columns["f_ids"],
        measured=bool(columns.get("world_measured", np.ones(1))[0]),
    )


def write_annotation(path: Path, views: Iterable[dict[str, np.ndarray]]) -> int:
    """Write the file of some views, one after the other, whole or not at all; return the number of its rows.

    Args:
        path: The file.
        views: The columns of a view each, see `view_columns`.
    """
    partial = path.with_name(scratch_name(path.name))
    count = 0
    try:
        with h5py.File(partial, "w") as file:
            for name, (shape, dtype) in _COLUMNS.items():
                file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=True, compression="lzf")
            for columns in views:
                start, count = count, count + len(columns["f_ids"])
                for name, values in columns.items():
                    file[name].resize(count, axis=0)
                    file[name][start:] = values
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


class Annotation:
    """The file, posegen's or the published one, opened view by view.

    Raises ArchiveError, in one line with file and column, where it is another one or does not fit together.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._open() as file:
            missing = sorted(name for name in _NEEDED if not isinstance(file.get(name), h5py.Dataset))
            if missing:
                raise ArchiveError(f"{path}: {', '.join(missing)} is missing: is it an annotation of Human3.6M?")
            if len(file["f_ids"]) > _MAX_ROWS:
                raise ArchiveError(f"{path}: f_ids has {len(file['f_ids']):,} rows, expected at most {_MAX_ROWS:,}")
            for name in sorted(_NEEDED):
                self._check(file[name], name, len(file["f_ids"]))

    def _check(self, column: h5py.Dataset, name: str, count: int) -> None:
        shape, dtype = _COLUMNS[name]
        if column.shape != (count, *shape):
            raise ArchiveError(f"{self.path}: {name} has shape {column.shape}, expected {(count, *shape)}")
        if column.dtype.kind not in "iuf":
            raise ArchiveError(f"{self.path}: {name} has values of type {column.dtype}, expected {dtype}")

    @cached_property
    def views(self) -> dict[CameraView, np.ndarray]:
        """Row numbers (T,) of each view in the order of its frames. Unknown views are left out."""
        with self._open() as file:
            person, action, subaction, camera, frame = (
                file[name][:].astype(np.int64) for name in ("p_ids", "action", "subaction", "camera_id", "f_ids")
            )
        keys = np.stack([person, action, subaction, camera], axis=1)
        unique, groups = np.unique(keys, axis=0, return_inverse=True)
        order = np.lexsort([frame, groups.ravel()])
        divided = np.split(order, np.cumsum(np.bincount(groups.ravel()))[:-1])
        views = {
            CameraView(Take(f"S{who}", what, again), str(where)): rows
            for (who, what, again, where), rows in zip(unique.tolist(), divided, strict=True)
            if f"S{who}" in H36M_SUBJECTS and what in H36M_ACTIONS and again in (1, 2) and str(where) in CAMERAS
        }
        if not views:
            raise ArchiveError(f"{self.path} has no views that are Human3.6M's: look at p_ids, action and camera_id")
        return views

    def read(self, view: CameraView) -> ViewRows:
        """Read a view. Raises ArchiveError where frames are missing, or numbers are none."""
        numbers = self.views[view]
        low, high = int(numbers.min()), int(numbers.max()) + 1
        if (high - low) * H36M_JOINTS * 3 * 8 > _MAX_BYTES:
            raise ArchiveError(f"{self.path}: the rows of {view} are spread over {high - low:,}, expected one run")
        with self._open() as file:
            known = _NEEDED | ({"world_measured"} & file.keys())
            rows = rows_of({name: file[name][low:high][numbers - low] for name in known})
        if (np.diff(rows.frames) != 1).any():
            raise ArchiveError(f"{self.path}: f_ids of {view} do not count up one by one")
        for name in ("world", "intrinsics", "extrinsics"):
            if not np.isfinite(getattr(rows, name)).all():
                raise ArchiveError(f"{self.path}: {name} of {view} has numbers that are not finite")
        return rows

    @contextmanager
    def _open(self) -> Iterator[h5py.File]:
        if not self.path.is_file():
            raise ArchiveError(f"no annotation at {self.path}")
        try:
            with h5py.File(self.path) as file:
                yield file
        except ArchiveError:
            raise
        except (OSError, KeyError, RuntimeError, ValueError) as error:  # what h5py raises for damaged files
            raise ArchiveError(f"{self.path} is damaged or no HDF5: {first_line(error)}") from None


def motion_of_view(rows: ViewRows) -> Motion:
    """Return a view as a motion of 24 joints in metres, y up, at 50 frames per second, without rotations.

    The ground of measured places is the room's; a universal body is put on the floor where its feet are.
    """
    motion = Motion.from_joints(smpl_joints(rows.joints()), H36M_FPS)
    return motion if rows.measured else put_on_floor(motion)


def picture_path(view: CameraView, frame: int, folder: str = "imageSequence") -> PurePosixPath:
    """Return the path of a picture in published code, inside the dataset's folder; frames count from 1."""
    take = view.take
    place = PurePosixPath("processed", "all", take.subject, take.folder, folder, view.camera)
    return place / f"img_{frame:06}.jpg"
