"""Archives like Human3.6M's: made-up people before known cameras."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from cdflib.cdfwrite import CDF
from scipy.spatial.transform import Rotation

from posegen.datasets.published.h36m_cameras import LensCamera
from posegen.datasets.published.h36m_names import (
    CAMERAS,
    H36M_FPS,
    IMAGE_POSES,
    POSES,
    VIDEOS,
    WORLD_POSES,
    Take,
    names_of,
)
from posegen.io.video_writer import write_video
from posegen.motion.editing import resample
from posegen.motion.to_openpose import h36m_joints
from posegen.skeletons import H36M_17_INDICES
from posegen.synthetic.motions import make_subject, perform
from tests.support.corpus_actions import CORPUS_ACTIONS

SIZE = (100, 96)
"""Height and width of the videos."""

_ANGLES = (np.pi / 4, 3 * np.pi / 4, 5 * np.pi / 4, 7 * np.pi / 4)  # around the room
_FLOAT = 44  # CDF_FLOAT


def lens_camera(subject: str, camera: str, distortion: float = -0.05) -> LensCamera:
    """A camera that looks at the middle of the room from 4.5 m away; everybody's stand a little elsewhere."""
    turn = _ANGLES[CAMERAS.index(camera)] + 0.05 * int(subject.removeprefix("S"))
    position = np.array([4500 * np.cos(turn), 4500 * np.sin(turn), 1600.0])
    forward = np.array([0, 0, 900.0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return LensCamera(
        rotation=rotation,
        position=position,
        focal=np.array([115.0, 114.0]),
        center=np.array([47.0, 50.0]),
        distortion=np.array([distortion, 0.02, 0.001, -0.001, 0.0]),
    )


def metadata(subjects: Iterable[str] = ("S1", "S9"), names: dict[Take, str] | None = None) -> str:
    """``metadata.xml`` with the cameras of some people."""
    people = [f"S{number}" for number in range(1, 12)]
    places = np.zeros((4, 11, 6))
    for subject in subjects:
        for index, camera in enumerate(CAMERAS):
            found = lens_camera(subject, camera)
            angles = Rotation.from_matrix(found.rotation).as_euler("XYZ")
            places[index, people.index(subject)] = [*angles, *found.position]
    lens = lens_camera("S1", CAMERAS[0])
    k1, k2, p1, p2, k3 = lens.distortion
    lenses = np.tile([*lens.focal, *lens.center, k1, k2, k3, p1, p2], 4)
    numbers = " ".join(f"{number:.12g}" for number in [*places.ravel(), *lenses])
    rows = [["action", "subaction", *people]]
    rows += [
        [str(action), str(subaction), *(_said(Take(subject, action, subaction), names or {}) for subject in people)]
        for action in range(2, 17)
        for subaction in (1, 2)
    ]
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<metadata><mapping>{cells}</mapping><w0>[{numbers}]</w0></metadata>"


def _said(take: Take, names: dict[Take, str]) -> str:
    return names.get(take) or names_of(take)[0]


def world_poses(take: Take, frames: int) -> np.ndarray:
    """(T, 32, 3) millimetres, z up, at 50 frames per second: an action of the procedural corpus."""
    action = CORPUS_ACTIONS[take.action % len(CORPUS_ACTIONS)]
    number = int(take.subject.removeprefix("S"))
    motion = resample(perform(action, make_subject(number), take.subaction, frames=frames // 2 + 2), H36M_FPS)
    joints = h36m_joints(motion)[:frames].astype(np.float64)
    poses = np.repeat(joints[:, 6:7], 32, axis=1)  # joints that nobody looks at are at the pelvis
    poses[:, H36M_17_INDICES] = joints
    return 1000 * np.stack([poses[..., 0], -poses[..., 2], poses[..., 1]], axis=-1)


def before_camera(world: np.ndarray, camera: LensCamera) -> np.ndarray:
    """The same points in the camera's axes."""
    return (world - camera.position) @ camera.rotation.T


def write_cdf(path: Path, poses: np.ndarray) -> None:
    """A file as those of the dataset: ``Pose`` (1, T, numbers of all joints)."""
    path.unlink(missing_ok=True)
    file = CDF(path, {"Majority": "row_major"})
    spec = {"Variable": "Pose", "Data_Type": _FLOAT, "Num_Elements": 1, "Rec_Vary": True}
    flat = poses.reshape(1, len(poses), -1).astype(np.float32)
    file.write_var(spec | {"Dim_Sizes": list(flat.shape[1:])}, var_data=flat)
    file.close()


def draw_video(path: Path, keypoints: np.ndarray) -> None:
    """A video of discs (T, J, 2) on a bright ground, at 50 frames per second."""
    frames = []
    for pose in keypoints:
        frame = np.full((*SIZE, 3), (200, 190, 160), np.uint8)
        for index, (x, y) in enumerate(pose[list(H36M_17_INDICES)]):
            cv2.circle(frame, (round(x), round(y)), 3, (20, 10 * index, 120), -1)
        frames.append(frame)
    write_video(path, frames, fps=H36M_FPS)


class Studio:
    """Writes archives of people. Names of files are those of the dataset, unless others are said."""

    def __init__(self, folder: Path, frames: int = 40, cameras: tuple[str, ...] = CAMERAS[:1]):
        self.folder, self.frames, self.cameras = folder, frames, cameras
        folder.mkdir(parents=True, exist_ok=True)

    def film(self, takes: Iterable[Take], *, measured: bool = False, names: dict[Take, str] | None = None) -> None:
        """Write the archives of everybody who does something; with `measured` those of room and pictures, too."""
        files: dict[str, list[Path]] = {}
        rushes = self.folder / "rushes"
        rushes.mkdir(exist_ok=True)

        def add(take: Take, kind: str, path: Path) -> None:
            files.setdefault(f"{kind}_{take.subject}", []).append(path)

        for take in takes:
            base = (names or {}).get(take) or names_of(take)[0]
            world = world_poses(take, self.frames)
            for camera_id in self.cameras:
                camera = lens_camera(take.subject, camera_id)
                positions = before_camera(world, camera)
                pixels = camera.project(positions)
                told = {POSES: positions} | ({IMAGE_POSES: pixels} if measured else {})
                for kind, poses in told.items():
                    path = rushes / take.subject / kind / f"{base}.{camera_id}.cdf"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_cdf(path, poses)
                    add(take, kind, path)
                path = rushes / take.subject / VIDEOS / f"{base}.{camera_id}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                draw_video(path, pixels)
                add(take, VIDEOS, path)
            if measured:
                path = rushes / take.subject / WORLD_POSES / f"{base}.cdf"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_cdf(path, world)
                add(take, WORLD_POSES, path)
        for name, paths in files.items():
            pack(self.folder / f"{name}.tgz", paths)


def pack(archive: Path, paths: Iterable[Path]) -> None:
    """Pack files with folders around them, as the dataset's archives have."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in paths:
            tar.add(path, f"{path.parent.parent.name}/MyPoseFeatures/{path.parent.name}/{path.name}")


def pack_bytes(archive: Path, contents: dict[str, bytes | tarfile.TarInfo]) -> None:
    """Pack members by name: contents, or entries that are no files."""
    mode = {".tgz": "w:gz", ".tar": "w"}[archive.suffix]
    with tarfile.open(archive, mode) as tar:
        for name, content in contents.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
