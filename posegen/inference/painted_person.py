"""A person of one or several pictures, whose garments are given colours frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from posegen.color.garment_recoloring import GarmentPaint
from posegen.color.garment_regions import Garment
from posegen.color.lab import Lab
from posegen.features.body_pose import BodyPoses
from posegen.inference.clip_person import ClipPerson

_KEPT = 4  # sets of colours that the person is kept in


class Moment(NamedTuple):
    """Content of one frame."""

    pose: BodyPoses
    views: Sequence[int]
    """The view of each layer, see `ClipPerson.choose_views`."""
    colors: dict[Garment, Lab]
    """Of the garments that do not keep their own."""


class PaintedPerson:
    """A person in any colours. Needs no PyTorch, so that a process which draws it starts at once.

    Args:
        person: The person, in their own colours.
        paints: The garments that are given colours, in each view.
    """

    def __init__(self, person: ClipPerson, paints: Mapping[Garment, Sequence[GarmentPaint]]):
        self.person, self.paints = person, dict(paints)
        self._dressed: dict[tuple[tuple[Garment, Lab], ...], ClipPerson] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_dressed": {}}

    def frame(self, moment: Moment) -> np.ndarray:
        """Show the person as they are at a moment: (H, W, 3) uint8."""
        return self.dressed(moment.colors).frame(moment.pose, moment.views)

    def dressed(self, colors: Mapping[Garment, Lab]) -> ClipPerson:
        """Return the person with garments in colours."""
        if not colors:
            return self.person
        worn = tuple(colors.items())
        if worn not in self._dressed:
            while len(self._dressed) >= _KEPT:
                del self._dressed[next(iter(self._dressed))]
            views = [view.recolored(self.picture(colors, number)) for number, view in enumerate(self.person.views)]
            self._dressed[worn] = self.person.with_views(views)
        return self._dressed[worn]

    def picture(self, colors: Mapping[Garment, Lab], number: int = 0) -> np.ndarray:
        """Return a view's picture (H, W, 3) uint8 as it is, with garments in colours."""
        image = self.person.views[number].image
        for garment, lab in colors.items():
            image = self.paints[garment][number].apply(lab, image)
        return image
