"""The photo pipeline as it is measured: whole, and without single parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from posegen.evaluation.parsing import PhotoParser, classes_of_garments, parse_by_heuristic
from posegen.features.layered_person import LayeredPerson
from posegen.inference.photo import Photo, perceive_photo
from posegen.inference.refined_person import RefinedPerson
from posegen.perception.garment_guess import guess_garments
from posegen.perception.person_parser import PictureParser
from posegen.perception.selfie import clean_mask
from posegen.stages import Refiner

PipelinePart = Literal["parser", "refiner"]
"""Parts that the pipeline can do without: garments are then found by the heuristic, or frames stay as composed."""


@dataclass(frozen=True)
class PhotoPipeline:
    """Parts of the pipeline that parses and renders a photo."""

    parser: bool = True
    """Find classes of pixels by the person parser; otherwise garments by the heuristic, and all else is skin."""
    refiner: Refiner | None = None
    """Refiner that corrects each frame, if any."""

    def without(self, part: PipelinePart) -> PhotoPipeline:
        """Return the pipeline without one of its parts."""
        return replace(self, parser=False) if part == "parser" else replace(self, refiner=None)

    def perceive(self, image: np.ndarray, known: np.ndarray | None = None) -> Photo:
        """Perceive a picture, see `perceive_photo`."""
        if self.parser:
            return perceive_photo(image, known=known)
        return perceive_photo(image, known=known, parse=_guess_classes)

    def refine(self, person: LayeredPerson) -> LayeredPerson | RefinedPerson:
        """Return a person whose frames are corrected, or as they are without a refiner."""
        return person if self.refiner is None else RefinedPerson(person, self.refiner)

    def labelled_parser(self) -> PhotoParser:
        """Return what labels the pixels of a labelled photo, to compare with its labels."""
        if not self.parser:
            return parse_by_heuristic
        parser = PictureParser()
        return lambda photo: parser(photo.image, photo.keypoints)


WHOLE_PIPELINE = PhotoPipeline()
"""Pipeline of `posegen animate PHOTO` without a refiner."""


def _guess_classes(image: np.ndarray, keypoints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Label pixels as `parse_person` does, by the heuristic."""
    return classes_of_garments(guess_garments(image, keypoints, mask), clean_mask(mask))
