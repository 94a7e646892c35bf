"""People and poses by name: clips of a dataset, and images and videos that the dataset's own backends look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset, DatasetInfo, GarmentChoice
from posegen.errors import ConfigError, DatasetError
from posegen.features.body_pose import BodyPoses
from posegen.features.parts import is_usable
from posegen.inference.body_measures import BodyMeasures, measure_body
from posegen.inference.person import Person, person_of_clip
from posegen.io.media import is_picture_file, is_video_source
from posegen.io.video_reader import Box, DetailedFootage, cut_still_with_detail, iterate_frames, read_image
from posegen.perception import BACKENDS, POSE_ESTIMATORS, Poses
from posegen.perception.clip_viewer import ClipViewer
from posegen.perception.person_box import person_box
from posegen.samples import usable_rows

_FILE_BACKENDS = {"truth", "openpose_json"}  # read files beside a video, and cannot process an image

_LOOKS, _LOOK_STEP = 40, 5  # frames of a video that are looked at for its person, and from one to the next


def open_clips(dataset: str, size: tuple[int, int]) -> ClipDataset:
    """Open a clip dataset for a renderer. Raises ConfigError where its frames are not of the renderer's size."""
    data = ClipDataset(dataset)
    if data.info.size != size:
        raise ConfigError(f"{dataset} has frames of {data.info.size}, the renderer was trained at {size}")
    return data


def find_clips(data: ClipDataset, names: Sequence[str]) -> list[ClipFile]:
    """Find clips by name; a name with ``*`` or ``?`` stands for all clips whose PERSON/ACTION it matches.

    Raises DatasetError where a name, or a pattern, matches no clip.
    """
    found: dict[str, ClipFile] = {}
    for name in names:
        if set(name) & set("*?["):
            matches = [clip for clip in data.clips if fnmatch(f"{clip.info.person}/{clip.info.action}", name)]
            if not matches:
                raise DatasetError(f"no PERSON/ACTION in {data.folder} matches {name!r}")
        else:
            matches = [data.find(name)]
        found |= {clip.clip_id: clip for clip in matches}
    return list(found.values())


def load_person(data: ClipDataset, content: str, garments: GarmentChoice = "dataset") -> Person:
    """Load the person of an image file, or of the first usable frame of a video file or a clip.

    `garments` is how they are found.
    """
    method = data.info.garment_method(garments)
    if is_image(content):
        return replace(perceive_person(Path(content), data.info), garments=method)
    if is_video_file(content):
        return replace(_perceive_first(Path(content), data.info), garments=method)
    return person_of_clip(data.find(content), method)


def measure_person(data: ClipDataset, content: str, person: Person) -> BodyMeasures:
    """Measure the body of the person whom `load_person` gave: from all frames of a clip, or from the one picture.

    Raises ConfigError where no shoulders are seen.
    """
    if is_file(content):
        return measure_body(person.body)
    clip = data.find(content)
    rows = usable_rows(clip)
    return measure_body(BodyPoses.from_keypoints(clip.keypoints[rows]))


def is_image(name: str) -> bool:
    """Return whether a name is that of an image file."""
    return is_picture_file(Path(name))


def is_video_file(name: str) -> bool:
    """Return whether a name is that of a video file; a folder of pictures could be meant as PERSON/ACTION."""
    return is_video_source(Path(name)) and not Path(name).is_dir()


def is_file(name: str) -> bool:
    """Return whether a name is that of an image or a video, and so not of a clip."""
    return is_image(name) or is_video_file(name)


def perceive_person(path: Path, info: DatasetInfo) -> Person:
    """Run the dataset's pose estimator, edge detector and segmenter on an image file, cropped as the dataset's clips.

    Raises ConfigError where no person is detected.
    """
    viewer = _viewer_of(info)
    footage, poses = _see_person(read_image(path, size=None, crop="none").images[0], path, info, viewer)
    if not poses.scores[0] > 0:
        raise ConfigError(f"no person is found in {path}")
    return _complete_person(footage, poses, viewer)


def _perceive_first(path: Path, info: DatasetInfo) -> Person:
    """The person of the first frame of a video that shows shoulders and hips, of those that are looked at."""
    viewer = _viewer_of(info)
    for _, _, frame in islice(iterate_frames(path), 0, _LOOKS * _LOOK_STEP, _LOOK_STEP):
        footage, poses = _see_person(frame, path, info, viewer)
        if poses.scores[0] > 0 and is_usable(poses.keypoints[0]):
            return _complete_person(footage, poses, viewer)
    raise ConfigError(f"no person is seen with both shoulders and both hips in the first frames of {path}")


def _viewer_of(info: DatasetInfo) -> ClipViewer:
    names = {kind: _backend_name(info, kind) for kind in BACKENDS}
    if set(names.values()) & _FILE_BACKENDS:
        names = {"pose": "blazepose", "edges": "hed", "mask": "blazepose"}  # an image has no file of facts beside it
    return ClipViewer(names)


def _complete_person(footage: DetailedFootage, poses: Poses, viewer: ClipViewer) -> Person:
    edges, masks = viewer.find_edges(footage), viewer.find_masks(footage, poses)
    return Person(footage.small.images[0], poses.keypoints[0], edges[0], masks[0])


def _see_person(image: np.ndarray, path: Path, info: DatasetInfo, viewer: ClipViewer) -> tuple[DetailedFootage, Poses]:
    """A picture as the dataset's clips were cropped, so that its person is as large; all of it where that cuts them."""
    whole = cut_still_with_detail(image, path, info.size, "none")
    poses = viewer.find_poses(whole)
    crop = info.settings.get("crop", "none")
    if crop == "center":
        box: Literal["center"] | Box | None = "center"
    elif crop == "person":
        box = person_box([image], info.size[1] / info.size[0])
    else:
        box = None
    if box is None:
        return whole, poses
    cropped = cut_still_with_detail(image, path, info.size, box)
    found = viewer.find_poses(cropped)
    shows_as_much = (found.keypoints[..., 2] > 0).sum() >= (poses.keypoints[..., 2] > 0).sum()
    return (cropped, found) if shows_as_much else (whole, poses)


def shows_person(path: Path, info: DatasetInfo) -> bool:
    """Return whether the dataset's pose estimator detects a person in an image file.

    True where the dataset's poses came from files, since there is no estimator then: the photo is taken to be like the
    dataset's frames, which show a person.
    """
    name = _backend_name(info, "pose")
    if name in _FILE_BACKENDS:
        return True
    return bool(POSE_ESTIMATORS[name].make()(read_image(path, size=info.size, crop="none")).scores[0] > 0)


def _backend_name(info: DatasetInfo, kind: str) -> str:
    """The backend of the dataset's ``pose``, ``edges`` or ``mask``. Raises DatasetError where there is none."""
    name = str(info.backends.get(kind, {}).get("name", ""))
    if name not in BACKENDS[kind]:
        raise DatasetError(f"the dataset's {kind} is of {name!r}, expected one of {sorted(BACKENDS[kind])}")
    return name
