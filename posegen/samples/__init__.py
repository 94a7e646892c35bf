"""Samples of training steps: one file per kind of sample, and the plans and loaders that all kinds share."""

from posegen.samples.behavior_windows import BehaviorWindows, WindowSettings
from posegen.samples.epoch_plan import Arrays, Batch, EpochLoader, EpochSettings, Samples, fixed_batch, share_batch
from posegen.samples.frame_pairs import FramePairs, FramePairSettings
from posegen.samples.frame_plan import Sample
from posegen.samples.hinted_frames import HintedFrames
from posegen.samples.motion_windows import MotionCrops, PosedCrops, Window, WorldCrops
from posegen.samples.parsed_photos import ParsedPhotos, ParsedPhotoSettings
from posegen.samples.pose_pairs import PosePairs, transfer_inputs
from posegen.samples.recolored_frames import ColoredFrames, ColoredFrameSettings
from posegen.samples.refinement_pairs import RefinementPairs, RefinementSettings, composition_arrays
from posegen.samples.shape_pairs import ShapePairs, ShapePairSettings, View, appearance_of, posture_of
from posegen.samples.tensors import REGIONS, content_features, to_image, to_network, to_unit, usable_rows
from posegen.samples.warped_maps import WarpedMaps, WarpedMapSettings

__all__ = [
    "REGIONS",
    "Arrays",
    "Batch",
    "BehaviorWindows",
    "ColoredFrameSettings",
    "ColoredFrames",
    "EpochLoader",
    "EpochSettings",
    "FramePairSettings",
    "FramePairs",
    "HintedFrames",
    "MotionCrops",
    "ParsedPhotoSettings",
    "ParsedPhotos",
    "PosePairs",
    "PosedCrops",
    "RefinementPairs",
    "RefinementSettings",
    "Sample",
    "Samples",
    "ShapePairSettings",
    "ShapePairs",
    "View",
    "WarpedMapSettings",
    "WarpedMaps",
    "Window",
    "WindowSettings",
    "WorldCrops",
    "appearance_of",
    "composition_arrays",
    "content_features",
    "fixed_batch",
    "posture_of",
    "share_batch",
    "to_image",
    "to_network",
    "to_unit",
    "transfer_inputs",
    "usable_rows",
]
