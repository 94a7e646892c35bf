"""Converts frames of video to sRGB by what their tags say: primaries, transfer, matrix and range of ITU-T H.273.

Video that is tagged as BT.709, or as nothing, keeps its levels, as all programs show it; so does standard definition,
whose tags are of habit. All else is made linear, brought to sRGB's primaries, and encoded by sRGB's curve. HLG and PQ
are brought to 203 cd/m² at white (ITU-R BT.2408), and what is brighter is rolled off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace

from posegen.errors import VideoError

# Numbers of ITU-T H.273.
BT709 = 1  # in all three tables
_UNSPECIFIED = 2  # in all three tables
_BT2020 = 9  # primaries, and matrix of non-constant luminance
_RGB = 0  # a matrix: none
_PQ, _HLG = 16, 18
_PLAIN_PRIMARIES = {BT709, _UNSPECIFIED, 5, 6, 7, 22}  # also those of PAL, NTSC and EBU: like sRGB's
_PLAIN_CURVES = {BT709, _UNSPECIFIED, 6, 7, 11, 13, 14, 15}  # cameras' curves, and sRGB's own
_READ_MATRICES = {_RGB, BT709, _UNSPECIFIED, 4, 5, 6, 7, _BT2020}
_MATRIX_NAMES = {8: "YCgCo", 10: "BT.2020 with constant luminance", 14: "ICtCp", 15: "IPT-C2 (Dolby Vision 5)"}

_D65, _DCI, _C = (0.3127, 0.3290), (0.314, 0.351), (0.310, 0.316)
_SRGB_CORNERS = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_P3_CORNERS = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_CHROMATICITIES = {
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),  # NTSC of 1953
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C),  # film
    _BT2020: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: (_P3_CORNERS, _DCI),
    12: (_P3_CORNERS, _D65),  # Display P3
}
"""x and y of red, green, blue and of white, by the number of the primaries."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_MAX_SD_HEIGHT = 576  # untagged video up to this height is BT.601, above it BT.709, as players assume
_LEVELS = 2**16
_HDR_WHITE = 203.0  # cd/m² of white paper in HDR (BT.2408); in HLG it is a signal of 75 %
_SYSTEM_GAMMA = 1.2  # of HLG, on each channel: what a display of standard range shows of it
_KNEE = 0.9  # of white, from which brighter light is rolled off


@dataclass(frozen=True)
class ColorTags:
    """Colour tags of a video, with missing ones filled in: numbers of ITU-T H.273."""

    primaries: int
    transfer: int
    matrix: int

    @staticmethod
    def of(frame: av.VideoFrame) -> ColorTags:
        """Read a frame's tags. One that is missing follows from the others, and without any from the height."""
        primaries, transfer, matrix = int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)
        if primaries == _UNSPECIFIED and transfer in (_PQ, _HLG):
            primaries = _BT2020
        if matrix == _UNSPECIFIED and primaries == _BT2020:
            matrix = _BT2020
        elif matrix == _UNSPECIFIED and (frame.height > _MAX_SD_HEIGHT or primaries in _CHROMATICITIES):
            matrix = BT709
        return ColorTags(primaries, transfer, matrix)

    @property
    def is_plain(self) -> bool:
        """True if the levels are sRGB's, once the matrix is undone."""
        known = _is_known(self.primaries, _CHROMATICITIES) and _is_known(self.transfer, _CURVES)
        return not known or (self.primaries in _PLAIN_PRIMARIES and self.transfer in _PLAIN_CURVES)

    def describe(self) -> str:
        """Describe the conversion of the colours in one line; empty for sRGB."""
        if not _is_known(self.primaries, _CHROMATICITIES) and self.primaries not in _PLAIN_PRIMARIES:
            return f"primaries of kind {self.primaries} (H.273) are not known: colours are taken as sRGB's"
        if not _is_known(self.transfer, _CURVES):
            return f"a transfer curve of kind {self.transfer} (H.273) is not known: colours are taken as sRGB's"
        if self.transfer in (_PQ, _HLG):
            name = "PQ" if self.transfer == _PQ else "HLG"
            return f"high dynamic range ({name}) is brought to sRGB: what is brighter than white paper is rolled off"
        return ""


def _is_known(tag: int, table: Mapping[int, object]) -> bool:
    return tag in table or tag in _PLAIN_PRIMARIES & _PLAIN_CURVES


def convert_frame(frame: av.VideoFrame, tags: ColorTags, name: str) -> np.ndarray:
    """Return a frame as (H, W, 3) uint8 sRGB.

    Raises:
        VideoError: Its matrix is one that is not undone.
    """
    if tags.matrix not in _READ_MATRICES:
        kind = _MATRIX_NAMES.get(tags.matrix, f"kind {tags.matrix} of H.273")
        raise VideoError(f"{name}: its colours are coded as {kind}, which is not read: export it as H.264 in SDR first")
    matrix = None if tags.matrix in (_RGB, _UNSPECIFIED) else Colorspace(_SWSCALE_MATRIX.get(tags.matrix, tags.matrix))
    if tags.is_plain:
        plain: np.ndarray = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
        return plain
    levels = frame.to_ndarray(format="rgb48le", src_colorspace=matrix)  # 8 bits of HLG or PQ would show steps
    light = cv2.transform(_decoding(tags.transfer)[levels], _matrix_to_srgb(tags.primaries))
    if tags.transfer in (_PQ, _HLG):
        light = _roll_off(light)
    return _encoding()[(light.clip(0, 1) * (_LEVELS - 1) + 0.5).astype(np.uint16)]


_SWSCALE_MATRIX = {4: 4, 5: 5, 6: 5, 7: 7, BT709: 1, _BT2020: 9}
"""Matrix numbers of swscale, by the numbers of H.273."""


def _roll_off(light: np.ndarray) -> np.ndarray:
    """Bring light (H, W, 3) beyond white into [0, 1]; all channels by the same factor, so that the hue stays."""
    brightest = light.max(axis=-1)
    high = brightest > _KNEE
    if not high.any():
        return light
    rolled = light.copy()
    room = 1 - _KNEE
    rolled[high] *= ((1 - room * np.exp(-(brightest[high] - _KNEE) / room)) / brightest[high])[:, None]
    return rolled


# ---- Curves: from a signal in [0, 1] to light, 1 at white


def _camera(signal: np.ndarray) -> np.ndarray:
    return np.where(signal < 0.081, signal / 4.5, ((signal + 0.099) / 1.099) ** (1 / 0.45))


def _srgb(signal: np.ndarray) -> np.ndarray:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _smpte240(signal: np.ndarray) -> np.ndarray:
    return np.where(signal < 0.0913, signal / 4, ((signal + 0.1115) / 1.1115) ** (1 / 0.45))


def _pq(signal: np.ndarray) -> np.ndarray:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10000 / _HDR_WHITE


def _hlg_scene(signal: np.ndarray) -> np.ndarray:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _hlg(signal: np.ndarray) -> np.ndarray:
    return (_hlg_scene(signal) / _hlg_scene(np.array(0.75))) ** _SYSTEM_GAMMA


def _power(exponent: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda signal: signal**exponent


_CURVES: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    BT709: _camera,
    _UNSPECIFIED: _camera,
    4: _power(2.2),
    5: _power(2.8),
    6: _camera,
    7: _smpte240,
    8: _power(1.0),
    11: _camera,
    13: _srgb,
    14: _camera,
    15: _camera,
    _PQ: _pq,
    17: _power(2.6),
    _HLG: _hlg,
}
"""Transfer curves, by their numbers in H.273."""


@cache
def _decoding(transfer: int) -> np.ndarray:
    """Light (65536,) float32 by level."""
    return _CURVES[transfer](np.linspace(0, 1, _LEVELS)).astype(np.float32)


@cache
def _encoding() -> np.ndarray:
    """Levels of sRGB (65536,) uint8 by light."""
    light = np.linspace(0, 1, _LEVELS)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * signal).round().astype(np.uint8)


# ---- Primaries


@cache
def _matrix_to_srgb(primaries: int) -> np.ndarray:
    """(3, 3) float32: from linear light of some primaries to that of sRGB's, adapted to its white (Bradford)."""
    if primaries not in _CHROMATICITIES:
        return np.eye(3, dtype=np.float32)
    corners, white = _CHROMATICITIES[primaries]
    cones = (_BRADFORD @ _xyz(_D65)) / (_BRADFORD @ _xyz(white))
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return np.asarray(np.linalg.inv(_to_xyz(_SRGB_CORNERS, _D65)) @ adapt @ _to_xyz(corners, white), np.float32)


def _to_xyz(corners: tuple[tuple[float, float], ...], white: tuple[float, float]) -> np.ndarray:
    columns = np.column_stack([_xyz(corner) for corner in corners])
    return np.asarray(columns * np.linalg.solve(columns, _xyz(white)))


def _xyz(point: tuple[float, float]) -> np.ndarray:
    x, y = point
    return np.array([x / y, 1, (1 - x - y) / y])
