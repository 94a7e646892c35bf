"""Closed-form ray casting of round cones: which part every pixel sees, where, and with which normal.

All shapes of several frames are cast in one go on flat arrays: each shape proposes the pixels of its outline's row
spans, every proposed (shape, pixel) pair is one ray intersection, and a depth buffer keeps the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.motion.cameras import PinholeCamera
from posegen.synthetic.studio.body import Body
from posegen.synthetic.studio.skeleton import Skeleton

_FLIP = np.array([1.0, -1.0, -1.0])  # world axes to camera axes


@dataclass(frozen=True)
class Shapes:
    """Round cones in camera space, for all frames (K = T × P, frame by frame)."""

    to_camera: np.ndarray
    """(K, 3, 3) from the round cone's own axes to the camera's."""
    to_local: np.ndarray
    """(K, 3, 3), the inverse."""
    starts: np.ndarray
    """(K, 3) in camera space."""
    lengths: np.ndarray
    """(K,)"""
    radii: np.ndarray
    """(K, 2)"""
    cuts: np.ndarray
    """(K,)"""

    def __getitem__(self, index: slice) -> Shapes:
        return Shapes(
            self.to_camera[index], self.to_local[index], self.starts[index], self.lengths[index],
            self.radii[index], self.cuts[index],
        )  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """The visible points of the body, one per pixel that shows it."""

    pixels: np.ndarray
    """(S,) int: (frame × H + y) × W + x."""
    shapes: np.ndarray
    """(S,) int: which of the K shapes is seen."""
    depths: np.ndarray
    """(S,) metres from the camera's plane."""
    points: np.ndarray
    """(3, S) in the shape's own axes, where it is round."""
    normals: np.ndarray
    """(3, S) unit normals in the world."""


def place_shapes(body: Body, skeleton: Skeleton, camera: PinholeCamera) -> Shapes:
    """Put a body's parts where the skeleton has its bones, before a level camera: T frames × P parts."""
    rotations = skeleton.rotations[:, body.bones]  # (T, P, 3, 3)
    num_frames = len(rotations)
    starts = skeleton.origins[:, body.bones] + np.einsum("tpij,pj->tpi", rotations, body.starts)
    starts = _FLIP * starts + camera.translation
    forward = _FLIP[:, None] * (rotations @ body.frames)
    inverse = np.linalg.inv(body.frames) @ (np.swapaxes(rotations, -1, -2) * _FLIP)
    return Shapes(
        to_camera=forward.reshape(-1, 3, 3),
        to_local=inverse.reshape(-1, 3, 3),
        starts=starts.reshape(-1, 3),
        lengths=np.tile(body.lengths, num_frames),
        radii=np.tile(body.radii, (num_frames, 1)),
        cuts=np.tile(body.cuts, num_frames),
    )


def cast(shapes: Shapes, num_parts: int, camera: PinholeCamera) -> Surface:
    """Return what the camera sees of the shapes, `num_parts` of them in every frame."""
    height, width = camera.canvas
    shape, row, column = _candidates(shapes, camera)
    x = (column.astype(np.float32) - np.float32(camera.cx)) / np.float32(camera.fx)
    y = (row.astype(np.float32) - np.float32(camera.cy)) / np.float32(camera.fy)
    depth, near, ray = _intersect(shapes, shape, x, y)
    hit = np.flatnonzero(depth < np.inf)
    pixel = ((shape[hit] // num_parts) * height + row[hit]) * width + column[hit]
    num_frames = len(shapes.lengths) // num_parts
    buffer = np.full(num_frames * height * width, np.inf, np.float32)
    np.minimum.at(buffer, pixel, depth[hit])
    seen = depth[hit] == buffer[pixel]
    hit, pixel = hit[seen], pixel[seen]
    points = near[:, hit] + (depth[hit] - _plane(shapes, shape[hit])) * ray[:, hit]
    return Surface(pixel, shape[hit], depth[hit], points, _normals(shapes, shape[hit], points))


def _plane(shapes: Shapes, shape: np.ndarray) -> np.ndarray:
    """The depth from which a shape's rays are measured: close to it, which saves float32 from cancellation."""
    return shapes.starts[:, 2].astype(np.float32)[shape]


def _candidates(shapes: Shapes, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every (shape, row, column) where the shape may be seen: the spans of the hull of two discs around its ends."""
    first, last, radius = _discs(shapes, camera)
    height, width = camera.canvas
    top = np.clip(np.ceil(np.minimum(first[:, 1] - radius[:, 0], last[:, 1] - radius[:, 1])), 0, height)
    bottom = np.clip(np.floor(np.maximum(first[:, 1] + radius[:, 0], last[:, 1] + radius[:, 1])), -1, height - 1)
    owner, row = _ragged(top.astype(np.int32), (bottom - top + 1).astype(np.int32))
    left = np.minimum(first[:, 0] - radius[:, 0], last[:, 0] - radius[:, 1])[owner]
    right = np.maximum(first[:, 0] + radius[:, 0], last[:, 0] + radius[:, 1])[owner]
    for normal, offset in _tangents(first, last, radius):  # the points inside have normal · point <= offset
        n_x, n_y = normal[owner].T
        bound = (offset[owner] - n_y * row) / np.where(np.abs(n_x) < 0.05, 1, n_x)
        right = np.where(n_x >= 0.05, np.minimum(right, bound), right)
        left = np.where(n_x <= -0.05, np.maximum(left, bound), left)
    begin = np.clip(np.ceil(left), 0, width).astype(np.int32)
    end = np.clip(np.floor(right), -1, width - 1).astype(np.int32)
    line, column = _ragged(begin, end - begin + 1)
    return owner[line], row[line], column


def _discs(shapes: Shapes, camera: PinholeCamera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image positions (K, 2) of both ends and the radii (K, 2) of discs that cover them, in pixels."""
    ends = shapes.starts + shapes.to_camera[:, :, 1] * shapes.lengths[:, None]
    extent = np.linalg.norm(shapes.to_camera[:, :2], axis=2).max(axis=1)  # across the line of sight
    depth_extent = np.linalg.norm(shapes.to_camera[:, 2], axis=1)
    positions, radii = [], []
    for points, radius in ((shapes.starts, shapes.radii[:, 0]), (ends, shapes.radii[:, 1])):
        scale = camera.fx / points[:, 2]
        positions.append(points[:, :2] * scale[:, None] + (camera.cx, camera.cy))
        magnified = points[:, 2] / (points[:, 2] - radius * depth_extent)
        radii.append(radius * extent * scale * magnified * 1.02 + 0.5)
    return positions[0], positions[1], np.stack(radii, axis=1)


def _tangents(first: np.ndarray, last: np.ndarray, radius: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two outer tangents of every pair of discs: unit normals (K, 2), or 0 if there is none, and offsets (K,)."""
    axis = last - first
    distance = np.linalg.norm(axis, axis=1)
    slope = (radius[:, 0] - radius[:, 1]) / np.maximum(distance, 1e-9)
    exists = np.abs(slope) < 1
    along = np.where(exists, slope, 0)
    axis = axis / np.maximum(distance, 1e-9)[:, None]
    across = np.sqrt(1 - along * along)
    tangents = []
    for sign in (1, -1):
        normal = along[:, None] * axis + (sign * across)[:, None] * axis[:, ::-1] * (-1, 1)
        offset = (normal * first).sum(axis=1) + radius[:, 0]
        tangents.append((np.where(exists[:, None], normal, 0), offset))
    return tangents


def _ragged(begin: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ranges begin[i] .. begin[i] + counts[i] - 1: the index i and the number, for all ranges in a row."""
    counts = np.maximum(counts, 0)
    index = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    offset = begin - (np.cumsum(counts) - counts)
    return index, np.arange(len(index), dtype=np.int32) + offset.astype(np.int32)[index]


def _intersect(
    shapes: Shapes, shape: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersect rays (x, y, 1) × depth from the camera with their shapes.

    Returns the depths (N,), infinite where the ray misses, and the rays in the shapes' axes: the points (3, N) at the
    depth of the shape's start, and the directions (3, N) per metre of depth.
    """
    matrix, starts = shapes.to_local, shapes.starts
    plane = starts[:, 2]
    center = starts[:, :2] / plane[:, None]
    axis = (matrix @ np.concatenate([center, np.ones_like(center[:, :1])], axis=1)[..., None])[..., 0]
    table = np.concatenate([center.T, matrix[:, :, 0].T, matrix[:, :, 1].T, axis.T, plane[None]]).astype(np.float32)
    values = np.take(table, shape, axis=1)
    x, y, plane = x - values[0], y - values[1], values[11]
    across = values[2:5] * x + values[5:8] * y  # (3, N)
    near, ray = across * plane, across + values[8:11]
    step = _enter_round_cone(near, ray, _cone_table(shapes)[:, shape])
    return plane + step, near, ray


def _cone_table(shapes: Shapes) -> np.ndarray:
    """(6, K) float32: length, both radii, slope s / c, 1 / c and the cut.

    s is the sine of the half opening angle and c its cosine: in the plane of the axis the flank is the line
    c ρ + s y = r_start that touches both spheres.
    """
    sine = np.where(shapes.lengths > 0, (shapes.radii[:, 0] - shapes.radii[:, 1]) / np.maximum(shapes.lengths, 1e-9), 0)
    sine = np.clip(sine, -0.99, 0.99)
    cosine = np.sqrt(1 - sine * sine)
    rows = (shapes.lengths, *shapes.radii.T, sine / cosine, 1 / cosine, shapes.cuts)
    return np.stack(rows).astype(np.float32)


def _enter_round_cone(near: np.ndarray, ray: np.ndarray, cone: np.ndarray) -> np.ndarray:
    """Return the ray parameters (N,) where near + t × ray first meets its round cone, infinite for a miss."""
    length, start_radius, end_radius, slope, secant, cut = cone
    (o_x, o_y, o_z), (d_x, d_y, d_z) = near, ray
    round_o, round_d, round_od = o_x * o_x + o_z * o_z, d_x * d_x + d_z * d_z, o_x * d_x + o_z * d_z
    # Flank: x² + z² = w², where w = (r_start - s y) / c is the cone's width at y.
    width, narrowing = start_radius * secant - slope * o_y, slope * d_y
    a, b = round_d - narrowing * narrowing, round_od + narrowing * width
    step, missed = _root(a, b, round_o - width * width)
    sine = slope / secant
    y = o_y + step * d_y
    missed |= (y < start_radius * sine) | (y > length + end_radius * sine) | (y > cut)
    best = np.where(missed, np.float32(np.inf), step)
    # The spheres at both ends.
    a, b, c = round_d + d_y * d_y, round_od + o_y * d_y, round_o + o_y * o_y
    for center, radius in ((np.float32(0), start_radius), (length, end_radius)):
        step, missed = _root(a, b - center * d_y, c - center * (2 * o_y - center) - radius * radius)
        missed |= o_y + step * d_y > cut
        best = np.minimum(best, np.where(missed, np.float32(np.inf), step))
    return best


def _root(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where a t² + 2 b t + c falls below zero, and where it never does."""
    discriminant = b * b - a * c
    missed = discriminant <= 0
    return (-b - np.sqrt(np.maximum(discriminant, 0))) / a, missed


def _normals(shapes: Shapes, shape: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World normals (3, S): away from the nearest point of the axis across the flank, through the inverse transpose."""
    length, _, _, slope, _, _ = _cone_table(shapes)[:, shape]
    x, y, z = points
    foot = np.clip(y - np.sqrt(x * x + z * z) * slope, 0, length)
    local = np.stack([x, y - foot, z])
    matrix = shapes.to_local.astype(np.float32).transpose(1, 2, 0)[:, :, shape]  # (3, 3, S)
    normals = (matrix * local[:, None]).sum(axis=0)
    normals[1:] *= -1
    return normals / np.sqrt((normals * normals).sum(axis=0))
