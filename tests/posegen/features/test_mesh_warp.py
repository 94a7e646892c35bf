"""Meshes that move a picture."""

from __future__ import annotations

import numpy as np

from posegen.features.mesh_warp import Mesh, grid_mesh, inverse_map, is_covered, target_positions, warp_texture

SIZE = (64, 48)


def square() -> np.ndarray:
    region = np.zeros(SIZE, bool)
    region[20:40, 10:30] = True
    return region


def texture() -> np.ndarray:
    colors = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    return np.dstack([colors, np.where(square(), 255, 0).astype(np.uint8)])


def onto_canvas(warped: tuple[np.ndarray, tuple[int, int]]) -> np.ndarray:
    part, (left, top) = warped
    canvas = np.zeros((*SIZE, 4), np.uint8)
    canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    return canvas


def test_a_mesh_covers_its_region_and_a_square_around_it():
    mesh = grid_mesh(square(), 4)
    assert (mesh.vertices.min(axis=0) <= [10 - 4, 20 - 4]).all() and (
        mesh.vertices.max(axis=0) >= [30 + 3, 40 + 3]
    ).all()
    assert len(mesh.triangles) == 2 * 49 or len(mesh.triangles) >= 2 * 49


def test_a_mesh_at_rest_shows_the_picture():
    mesh = grid_mesh(square(), 4)
    shown = onto_canvas(warp_texture(texture(), mesh, mesh.vertices, SIZE, 2))
    np.testing.assert_array_equal(shown[square()], texture()[square()])


def test_a_mesh_that_moves_takes_the_picture_along():
    mesh = grid_mesh(square(), 4)
    shown = onto_canvas(warp_texture(texture(), mesh, mesh.vertices + np.array([7, -5]), SIZE, 2))
    np.testing.assert_array_equal(np.roll(shown, (5, -7), axis=(0, 1))[square()], texture()[square()])


def test_out_of_view_nothing_is_shown():
    mesh = grid_mesh(square(), 4)
    assert warp_texture(texture(), mesh, mesh.vertices + 500, SIZE, 2) is None


def test_where_triangles_overlap_the_last_one_is_seen():
    vertices = np.array([(0.0, 0), (20, 0), (0, 20), (30.0, 30), (50, 30), (30, 50)])
    moved = np.array([(0.0, 0), (20, 0), (0, 20)] * 2)
    for triangles, expected in (([[0, 1, 2], [3, 4, 5]], 30), ([[3, 4, 5], [0, 1, 2]], 0)):
        samples, (left, top, _, _) = inverse_map(Mesh(vertices, np.array(triangles)), moved, SIZE, 2)
        assert samples[0 - top, 0 - left, 0] == expected


def test_of_triangles_that_overlap_those_that_are_transparent_hide_nothing():
    vertices = np.array([(0.0, 0), (20, 0), (0, 20), (20.0, 30), (40, 30), (20, 50)])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    moved = np.array([(0.0, 0), (20, 0), (0, 20)] * 2)
    opacity = np.full(SIZE, 255, np.uint8)
    opacity[30:, :30] = 0  # of the second triangle's left half
    samples, (left, top, _, _) = inverse_map(mesh, moved, SIZE, 1, opacity)
    assert samples[2 - top, 3 - left].tolist() == [3, 2]
    assert samples[2 - top, 14 - left].tolist() == [34, 32]


def test_the_edge_of_a_fold_is_exact():
    """A sheet is folded at column 21, beside which the map is known at columns 20 and 24 alone."""
    corners = np.array([(x, y) for x in (0, 21, 42) for y in (0, 40)], float)
    mesh = Mesh(corners, np.array([(2, 4, 3), (3, 4, 5), (0, 2, 1), (1, 2, 3)]))
    moved = corners.copy()
    moved[4:, 0] = 0
    found = target_positions(mesh, moved, SIZE, step=4)
    assert found is not None
    positions, (left, top) = found
    covered = is_covered(positions)[20 - top]
    assert np.flatnonzero(covered).max() + left == 21
    np.testing.assert_allclose(positions[20 - top, covered, 0], np.arange(22), atol=1e-3)


def test_nothing_is_drawn_between_two_folds_of_a_mesh():
    """One sheet shows columns 0 to 40 in their place, another over it columns 60 to 80 from 20 on."""
    sheets = [np.array([(x, y) for x in ends for y in (0, 40)], float) for ends in ((0, 40), (60, 80))]
    mesh = Mesh(np.concatenate(sheets), np.array([(0, 1, 2), (1, 3, 2), (4, 5, 6), (5, 7, 6)]))
    moved = np.concatenate([sheets[0], sheets[1] - (40, 0)])
    found = target_positions(mesh, moved, (41, 41), step=4)
    assert found is not None
    columns = found[0][..., 0][is_covered(found[0])]
    assert ((columns <= 20) | (columns >= 60 - 1e-3)).all()
    assert (columns >= 60 - 1e-3).any() and (columns < 20).any()
