"""A layered person whose frames a trained refiner corrects."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from posegen.checkpoints.checkpoint import find_checkpoint, load_stage
from posegen.datasets.refinement import RefinementPair, pair_of_frame
from posegen.features.body_bones import has_trunk
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.inference.adaptation_pairs import stack_poses
from posegen.inference.painted_person import Moment, PaintedPerson
from posegen.io.storage import StorageFolder
from posegen.networks.device import default_device
from posegen.parallel import LIGHT_START_SECONDS, START_SECONDS
from posegen.samples import composition_arrays, to_image
from posegen.stages import Refiner

_MULTIPLE = 16


class RefinedPerson:
    """A layered person, each of whose frames is refined.

    Args:
        person: The person.
        refiner: A trained stage, in evaluation mode.
    """

    def __init__(self, person: LayeredPerson, refiner: Refiner):
        self.person, self.refiner = person, refiner

    def recolored(self, image: np.ndarray) -> RefinedPerson:
        """Return the person with other colours: the same layers of another picture (H, W, 3) uint8."""
        return RefinedPerson(self.person.recolored(image), self.refiner)

    def frame(self, pose: BodyPoses, scale: float = 1.0) -> np.ndarray:
        """Show the person in one pose, refined: (H, W, 3) uint8. Arguments as those of `LayeredPerson.frame`."""
        found = self.person.frame_with_map(pose, scale)
        if not has_trunk(pose) or not (found.layers >= 0).any():
            return found.image
        window = _window(found.layers >= 0)
        unknown = np.zeros(found.opacity.shape, np.uint8)
        pair = RefinementPair(
            **pair_of_frame(self.person.image, self.person.labels, self.person.background, found),
            target=found.image,
            mask=found.opacity,
            visible=unknown,
            truth=np.full_like(found.positions, np.nan),
            poses=stack_poses(self.person.pose, pose),
        )
        arrays = composition_arrays(pair.cropped(window))
        image = found.image.copy()
        image[window] = to_image(2 * self._refine(arrays) - 1)
        return image

    @torch.no_grad()
    def _refine(self, arrays: dict[str, np.ndarray]) -> Tensor:
        device = next(self.refiner.parameters()).device
        batch = {name: torch.as_tensor(array)[None].to(device) for name, array in arrays.items()}
        return self.refiner.refine(batch)[0].image[0]


def refined_frame(painted: PaintedPerson, refiner: Refiner, moment: Moment) -> np.ndarray:
    """Show a person of one picture as they are at a moment, refined: (H, W, 3) uint8."""
    return RefinedPerson(painted.dressed(moment.colors).views[0], refiner).frame(moment.pose)


def seconds_to_start(refiner: Refiner | None) -> float:
    """Return CPU seconds until another process draws frames that a refiner corrects; there is one GPU for all."""
    if refiner is None:
        return LIGHT_START_SECONDS
    return START_SECONDS if next(refiner.parameters()).device.type == "cpu" else math.inf


def load_refiner(run: StorageFolder | str, device: torch.device | None = None) -> Refiner:
    """Load the newest checkpoint of a run of the stage refiner. Raises CheckpointError where there is none."""
    return load_stage(find_checkpoint(run), Refiner).to(device or default_device()).eval()


def _window(near: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns that hold all that is near the person, multiples of 16 where the picture has room.

    A picture with sides that are no multiples is refined up to the last one.
    """
    parts = []
    for axis in (1, 0):
        places = np.flatnonzero(near.any(axis=axis))
        whole = near.shape[1 - axis] // _MULTIPLE * _MULTIPLE
        length = min(-(-(int(places[-1]) + 1 - int(places[0])) // _MULTIPLE) * _MULTIPLE, whole)
        start = min(int(places[0]), near.shape[1 - axis] - length)
        parts.append(slice(start, start + length))
    return parts[0], parts[1]
