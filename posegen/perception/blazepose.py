"""BlazePose: the pose and mask of one person, followed through a clip (Bazarevsky et al., 2020, arXiv:2006.10204).

A detector finds people in the whole frame and tells for each a square that encloses the body and is turned to
stand upright. A second network finds 33 landmarks inside that square, and two more points that give the next
frame's square, so that the detector is needed again only when the person is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import cv2
import numpy as np

from posegen.errors import PerceptionError
from posegen.features.body_bones import drop_hidden_faces
from posegen.features.body_pose import BodyPoses
from posegen.io.video_reader import Footage
from posegen.perception import Poses
from posegen.perception.clothes_look import LIKELY_SAME, SURELY_OTHER, LookMemory, look_of
from posegen.perception.keypoint_maps import drop_outside, prominence
from posegen.perception.plausibility import drop_implausible
from posegen.perception.selfie import Selfie, clean_mask
from posegen.perception.smoothing import smooth
from posegen.perception.tflite import TFLite
from posegen.skeletons import BLAZEPOSE_33, OPENPOSE_18, convert_joints
from posegen.weights import download as weights

DETECTOR_SIZE = 224
LANDMARK_SIZE = 256
MIN_DETECTION_SCORE = 0.5
MIN_PERSON_SCORE = 0.5
"""The landmark network's own estimate that a person is in its square, below which the person counts as lost."""
MIN_VISIBILITY = 0.3
"""Landmarks less visible than that are missing."""
LOOK_AROUND_STEP = 8
"""Frames from one that is searched for other people to the next."""
_OTHER_SIZE = 0.6  # of the person's own square, from which another is no mere bystander
_OTHER_DISTANCE = 0.25  # of the same, up to which two squares are around one person
_MIN_OVERLAP = 0.3  # intersection over union from which two detections are one person
_REGION_MARGIN = 1.25  # the landmark network was trained on squares this much larger than the body's circle
_HEATMAP_REACH = 3  # cells around a landmark that its heatmap may move it by
_DETECTION_MARGIN = 0.5  # of the longer side, around a frame in which nobody is found: who fills it is overlooked
_LARGEST_STEP = 0.5  # of the region, from one frame to the next: more is a jump to somebody else
_LARGEST_GROWTH = 1.7  # of the region likewise, or its inverse
_LOOK_SIZE = 64  # pixels in which a person's colours are looked at
_LOST_SHARE = 0.25  # of the frames, from which it is worth looking for somebody else in the rest
_MIN_HEAT = 0.5  # maximum below which a heatmap knows no better
_CENTER, _TOP = 33, 34  # landmarks: middle of the hips, and a point on the circle around the body, above the head


@dataclass(frozen=True)
class Region:
    """A square around a person, turned so that the person is upright in it."""

    x: float
    """Centre, in pixels of the frame."""
    y: float
    size: float
    """Length of a side in pixels of the frame."""
    angle: float
    """Radians, clockwise on the screen; 0 for a person who stands upright."""

    @staticmethod
    def around(center: np.ndarray, top: np.ndarray) -> Region:
        """Return the square for a body's circle: its centre and its uppermost point, both (2,)."""
        dx, dy = (float(delta) for delta in top - center)
        size = 2 * _REGION_MARGIN * float(np.hypot(dx, dy))
        return Region(float(center[0]), float(center[1]), size, float(np.arctan2(dx, -dy)))

    def to_frame(self, resolution: int) -> np.ndarray:
        """Return the (2, 3) affine from pixels of the square, sampled at `resolution`, to pixels of the frame."""
        scaled = self.size / resolution * self._turn
        middle = (resolution - 1) / 2
        return np.column_stack([scaled, np.array([self.x, self.y]) - scaled @ [middle, middle]])

    def to_frame_axes(self, points: np.ndarray) -> np.ndarray:
        """Return points (..., 3) in the frame's axes that are given in those of the square: x right, y down, z away."""
        return np.concatenate([points[..., :2] @ self._turn.T, points[..., 2:]], axis=-1)

    @property
    def _turn(self) -> np.ndarray:
        """(2, 2): the rotation from the square's axes to the frame's."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]])


def make_anchors() -> np.ndarray:
    """Return the centres (2254, 2) of the detector's anchors, x and y in [0, 1], in the order of its output.

    Cells of 8 pixels have 2 anchors each, those of 16 have 2, and those of 32 have 6.
    """
    anchors = []
    for stride, count in ((8, 2), (16, 2), (32, 6)):
        cells = DETECTOR_SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        anchors.append(centers.repeat(count, axis=0))
    return np.concatenate(anchors)


def decode_detections(raw: np.ndarray, logits: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Turn the detector's output into people.

    Args:
        raw: (A, 12) box centre, box size and four points, x before y, in pixels relative to the anchor.
        logits: (A,) logits of the scores.
        anchors: (A, 2), from `make_anchors`.

    Returns:
        (P, 12) of distinct people, best first: box corners x0, y0, x1, y1 and the four points (middle of the
        hips, top of the body's circle, middle of the shoulders, top of the upper body's), in [0, 1] of the input.
    """
    likely = logits > np.log(MIN_DETECTION_SCORE / (1 - MIN_DETECTION_SCORE))
    scores = 1 / (1 + np.exp(-logits[likely]))
    points = raw[likely].reshape(-1, 6, 2) / DETECTOR_SIZE  # centre, size, four points
    half = points[:, 1] / 2
    points = points + anchors[likely][:, None]
    center = points[:, 0]
    boxes = np.concatenate([center - half, center + half, points[:, 2:].reshape(-1, 8)], axis=1)
    return _merge_overlapping(boxes, scores)


def _merge_overlapping(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Average the boxes that overlap the best remaining one, by score: steadier than keeping the best alone."""
    people = []
    while len(boxes):
        best = scores.argmax()
        same = _overlap(boxes[best], boxes) > _MIN_OVERLAP
        same[best] = True  # also when it has no area
        people.append(np.average(boxes[same], axis=0, weights=scores[same]))
        boxes, scores = boxes[~same], scores[~same]
    return np.array(people).reshape(-1, 12)


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with many."""
    sides = np.minimum(box[2:4], boxes[:, 2:4]) - np.maximum(box[:2], boxes[:, :2])
    intersection = sides.clip(0).prod(axis=1)
    union = (box[2:4] - box[:2]).prod() + (boxes[:, 2:4] - boxes[:, :2]).prod(axis=1) - intersection
    return intersection / np.maximum(union, 1e-9)


@dataclass(frozen=True)
class Sighting:
    """A person in one frame."""

    landmarks: np.ndarray
    """(39, 3) x and y in pixels of the frame, visibility in [0, 1]: the 33 of BlazePose and six auxiliary."""
    world: np.ndarray
    """(39, 3) the same in space: metres from the middle of the hips, x right, y down and z away in the frame."""
    score: float
    """Probability that this is a person."""
    mask: np.ndarray
    """(256, 256) uint8 probability × 255 of the person's pixels in the region."""
    region: Region
    """Region in which the landmarks were searched."""

    def next_region(self) -> Region:
        """Return where to search in the next frame."""
        return Region.around(self.landmarks[_CENTER, :2], self.landmarks[_TOP, :2])

    def depths(self) -> np.ndarray:
        """Return how far the joints of OpenPose-18 are in front of the middle of the hips: (18,) metres."""
        points = np.ones((len(BLAZEPOSE_33), 3))  # all of them, however visible
        points[:, 0] = -self.world[: len(BLAZEPOSE_33), 2]
        return convert_joints(points, BLAZEPOSE_33)[:, 0]

    def look_in(self, image: np.ndarray) -> np.ndarray | None:
        """Return the person's look in the frame (H, W, 3), see `posegen.perception.clothes_look.look_of`."""
        crop = _crop(image, self.region, _LOOK_SIZE)
        return look_of(crop, cv2.resize(self.mask, (_LOOK_SIZE, _LOOK_SIZE), interpolation=cv2.INTER_AREA))

    def mask_in_frame(self, height: int, width: int) -> np.ndarray:
        """Return the mask (H, W) in the frame's pixels."""
        return cv2.warpAffine(self.mask, self.region.to_frame(LANDMARK_SIZE), (width, height))


class BlazeposeNetworks:
    """The two networks, on single frames (H, W, 3) uint8 RGB of any size."""

    def __init__(self) -> None:
        self._detector = TFLite(weights.path("blazepose-detector"))
        self._landmark = TFLite(weights.path("blazepose-landmark"))
        self._anchors = make_anchors()

    def detect(self, image: np.ndarray) -> list[Region]:
        """Return the people in a frame, the most certain first.

        Where nobody is found, the frame is looked at once more from farther off: somebody who fills it, or whose head
        is cut off, is overlooked otherwise.
        """
        return self._detect(image, 0) or self._detect(image, round(_DETECTION_MARGIN * max(image.shape[:2])))

    def _detect(self, image: np.ndarray, margin: int) -> list[Region]:
        """Find people in a frame with a margin of some of its pixels around."""
        height, width = image.shape[:2]
        scale = DETECTOR_SIZE / (max(height, width) + 2 * margin)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        left, top = (DETECTOR_SIZE - size[0]) // 2, (DETECTOR_SIZE - size[1]) // 2
        square = np.full((DETECTOR_SIZE, DETECTOR_SIZE, 3), -1, np.float32)
        square[top : top + size[1], left : left + size[0]] = small / np.float32(127.5) - 1
        output = self._detector(square)
        people = decode_detections(output["Identity"], output["Identity_1"][:, 0], self._anchors)
        points = (people[:, 4:].reshape(-1, 4, 2) * DETECTOR_SIZE - [left, top]) / scale - 0.5
        return [Region.around(center, uppermost) for center, uppermost in points[:, :2]]

    def look(self, image: np.ndarray, region: Region) -> Sighting:
        """Find the landmarks of the person inside a region."""
        to_frame = region.to_frame(LANDMARK_SIZE)
        output = self._landmark(_crop(image, region, LANDMARK_SIZE) / np.float32(255))
        raw = output["Identity"].reshape(39, 5)  # x, y, z, logits of visibility and presence
        points = refine_landmarks(raw[:, :2] / LANDMARK_SIZE, _sigmoid(output["Identity_3"])) * LANDMARK_SIZE
        points = (points - 0.5) @ to_frame[:, :2].T + to_frame[:, 2]
        mask = (_sigmoid(output["Identity_2"][..., 0]) * 255).round().astype(np.uint8)
        landmarks = np.column_stack([points, _sigmoid(raw[:, 3])])
        world = region.to_frame_axes(output["Identity_4"].reshape(39, 3))
        return Sighting(landmarks, world, float(output["Identity_1"][0]), mask, region)


def _crop(image: np.ndarray, region: Region, resolution: int) -> np.ndarray:
    """The region of a frame as a square; beyond the frame its border goes on."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (resolution, resolution)
    return cv2.warpAffine(image, region.to_frame(resolution), size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def refine_landmarks(points: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Move regressed landmarks to the centre of heat around them, which jitters a quarter less from frame to frame.

    Args:
        points: (L, 2) x and y in [0, 1].
        heatmaps: (h, w, L) probabilities.

    Returns:
        (L, 2); landmarks whose surroundings are cold, or that are outside the heatmap, stay where they were.
    """
    height, width, count = heatmaps.shape
    reach = np.arange(-_HEATMAP_REACH, _HEATMAP_REACH + 1)
    cell = np.floor(points * [width, height]).astype(int)  # (L, 2)
    x = cell[:, 0, None, None] + reach  # (L, 1, 7)
    y = cell[:, 1, None, None] + reach[:, None]  # (L, 7, 1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # (L, 7, 7)
    landmark = np.arange(count)[:, None, None]
    heat = heatmaps[y.clip(0, height - 1), x.clip(0, width - 1), landmark] * inside  # (L, 7, 7)
    total = heat.sum(axis=(1, 2)).clip(1e-9)
    centers = np.stack([(heat * x).sum(axis=(1, 2)) / width, (heat * y).sum(axis=(1, 2)) / height], axis=1)
    within = (cell >= 0).all(axis=1) & (cell < [width, height]).all(axis=1)
    refined = within & (heat.max(axis=(1, 2)) >= _MIN_HEAT)
    return np.where(refined[:, None], centers / total[:, None], points)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64).clip(-50, 50)))


def follow_landmarks(networks: BlazeposeNetworks, frames: Iterable[np.ndarray]) -> Iterator[Sighting | None]:
    """Find the same person in frame after frame; None where it is lost.

    It is the most prominent person of the first frame that shows anyone. From one frame to the next it neither jumps
    nor changes its colours; while it is lost, only somebody near where it was seen last, who looks like it, is taken
    for it.
    """
    last: Sighting | None = None
    lost = True
    memory = LookMemory()
    for frame in frames:
        sighting = networks.look(frame, last.next_region()) if last and not lost else None
        followed = is_person(sighting) and last and _continues(last, sighting)
        if not (followed and sighting and _looks(sighting, frame, memory, SURELY_OTHER)):
            region = _choose(networks.detect(frame), last, frame)
            sighting = networks.look(frame, region) if region else None
            if is_person(sighting) and not _looks(sighting, frame, memory, LIKELY_SAME):
                sighting = None
        lost = not is_person(sighting)
        if is_person(sighting):
            last = sighting
            memory.learn(sighting.look_in(frame))
        yield None if lost else sighting


def _continues(last: Sighting, sighting: Sighting) -> bool:
    """Return whether a person can have come from one sighting to another in one frame."""
    before, after = last.next_region(), sighting.next_region()
    growth = after.size / max(before.size, 1e-9)
    step = np.hypot(after.x - before.x, after.y - before.y)
    return bool(step <= _LARGEST_STEP * before.size and 1 / _LARGEST_GROWTH <= growth <= _LARGEST_GROWTH)


def _looks(sighting: Sighting, frame: np.ndarray, memory: LookMemory, least: float) -> bool:
    return memory.fits(sighting.look_in(frame), least)


def follow_both_ways(networks: BlazeposeNetworks, images: Sequence[np.ndarray]) -> list[Sighting | None]:
    """Find the same person in frames (H, W, 3) as `follow_landmarks`, and go back where nobody was detected at first.

    Where that person is soon gone for good, somebody who comes later is followed instead, if they are seen longer and
    larger. None where the person is lost all the same.
    """
    sightings = list(follow_landmarks(networks, images))
    end = _end_of(sightings)
    while end > 0 and len(images) - end > max(_LOST_SHARE * len(images), 1):
        later: list[Sighting | None] = [*([None] * end), *follow_landmarks(networks, images[end:])]
        if _presence(later) > _presence(sightings):
            sightings = later
        after = _end_of(later)
        end = after if after > end else len(images)
    for frame in reversed(range(len(sightings) - 1)):
        later_one = sightings[frame + 1]
        if sightings[frame] is None and later_one is not None:
            sighting = networks.look(images[frame], later_one.next_region())
            likely = is_person(sighting) and _continues(later_one, sighting)
            alike = likely and _same_look(sighting, images[frame], later_one, images[frame + 1])
            sightings[frame] = sighting if alike else None
    return sightings


def _same_look(one: Sighting, frame: np.ndarray, other: Sighting, other_frame: np.ndarray) -> bool:
    memory = LookMemory()
    memory.learn(other.look_in(other_frame))
    return _looks(one, frame, memory, LIKELY_SAME)


def _end_of(sightings: Sequence[Sighting | None]) -> int:
    """The frame after the last one in which the person is seen; 0 where it never is."""
    return max((frame + 1 for frame, sighting in enumerate(sightings) if sighting is not None), default=0)


def _presence(sightings: Sequence[Sighting | None]) -> float:
    """Return the presence of a person: the number of frames, weighted by size."""
    return sum(sighting.next_region().size for sighting in sightings if sighting is not None)


def is_person(sighting: Sighting | None) -> TypeGuard[Sighting]:
    """Return whether a sighting is certain enough to be used."""
    return sighting is not None and sighting.score >= MIN_PERSON_SCORE


def _choose(regions: list[Region], last: Sighting | None, frame: np.ndarray) -> Region | None:
    """The region of the person who was seen last or, if nobody was, of the most prominent one."""
    if last is None:
        height, width = frame.shape[:2]
        return max(regions, key=lambda r: prominence(np.array([r.x, r.y]), r.size, height, width), default=None)
    expected = last.next_region()
    near = {np.hypot(region.x - expected.x, region.y - expected.y): region for region in regions}
    distance = min(near, default=np.inf)
    return near[distance] if distance < expected.size else None


def count_others(subject: Region, regions: list[Region]) -> int:
    """Return how many of the detected regions are around someone else, of a size comparable to the subject's."""
    return sum(
        region.size >= _OTHER_SIZE * subject.size
        and np.hypot(region.x - subject.x, region.y - subject.y) > _OTHER_DISTANCE * subject.size
        for region in regions
    )


class Blazepose:
    """Pose estimator that works on any footage and gives masks on the way."""

    def __init__(self) -> None:
        self._networks = BlazeposeNetworks()

    def __call__(self, footage: Footage) -> Poses:
        """Return smoothed poses. Joints outside the picture, or hardly visible, are missing, and faces from behind.

        Every eighth frame is searched for other people.
        """
        images = footage.images
        sightings = follow_both_ways(self._networks, list(images))
        num_frames, height, width = images.shape[:3]
        keypoints = np.zeros((num_frames, len(BLAZEPOSE_33), 3))
        depths = np.full((num_frames, len(OPENPOSE_18)), np.nan, np.float32)
        scores = np.zeros(num_frames, np.float32)
        masks = np.zeros((num_frames, height, width), np.uint8)
        for frame, sighting in enumerate(sightings):
            if sighting is not None:
                keypoints[frame] = sighting.landmarks[: len(BLAZEPOSE_33)]
                depths[frame] = sighting.depths()
                scores[frame] = sighting.score
                masks[frame] = sighting.mask_in_frame(height, width)
        keypoints[keypoints[..., 2] < MIN_VISIBILITY] = 0
        sizes = np.array([0.0 if one is None else one.next_region().size for one in sightings])
        joints = smooth(drop_implausible(convert_joints(keypoints, BLAZEPOSE_33), sizes))
        joints = drop_hidden_faces(BodyPoses(joints, depths, np.zeros((num_frames, 2, 3), np.float32)))
        others = self._look_around(images, sightings)
        return Poses(drop_outside(joints, height, width).astype(np.float32), scores, masks, others)

    def _look_around(self, images: np.ndarray, sightings: list[Sighting | None]) -> np.ndarray:
        """Count the others (T,); -1 in frames that are skipped, or that do not show the person to compare them with."""
        others = np.full(len(images), -1, np.int16)
        for frame in range(0, len(images), LOOK_AROUND_STEP):
            sighting = sightings[frame]
            if sighting is not None:
                others[frame] = count_others(sighting.next_region(), self._networks.detect(images[frame]))
        return others


class BlazeposeMasks:
    """Person segmenter that takes the masks of `Blazepose`, and those of `Selfie` where nobody was found."""

    def __init__(self) -> None:
        self._selfie = Selfie()

    def __call__(self, footage: Footage, poses: Poses) -> np.ndarray:
        """Return (T, H, W) uint8 masks, 0 or 255. Raises PerceptionError if the pose estimator gave no masks."""
        if poses.masks is None:
            raise PerceptionError(
                "got poses without masks, expected those of the pose backend 'blazepose'; "
                "with other poses use the mask backend 'selfie'"
            )
        masks = [
            mask if score >= MIN_PERSON_SCORE else self._selfie.probability(image)
            for image, mask, score in zip(footage.images, poses.masks, poses.scores, strict=True)
        ]
        return np.stack([clean_mask(mask) for mask in masks])
