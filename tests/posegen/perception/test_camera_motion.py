"""Cameras that pan and zoom behind a person who goes elsewhere."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.perception.camera_motion import follow_camera, undo_camera

SIZE = (96, 96)


def clip(maps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a textured wall, seen by cameras (2, 3), with a person who walks to the left; and the masks."""
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
    wall = cv2.GaussianBlur(noise, (0, 0), 4)
    wall = cv2.normalize(wall, None, 0, 255, cv2.NORM_MINMAX)
    images, masks = [], []
    for number, one in enumerate(maps):
        image = cv2.warpAffine(wall, one, SIZE[::-1], borderMode=cv2.BORDER_REFLECT)
        mask = np.zeros(SIZE, np.uint8)
        mask[30:90, 50 - 3 * number : 65 - 3 * number] = 255
        image[mask > 0] = (255, 255, 255)
        images.append(image)
        masks.append(mask)
    return np.stack(images), np.stack(masks)


def test_pan_and_zoom_are_found_and_undone():
    true = [np.array([[1 + 0.01 * t, 0, 1.0 * t], [0, 1 + 0.01 * t, -0.5 * t]]) for t in range(6)]
    images, masks = clip(true)
    rows = np.array([3, 5])
    found = follow_camera(images, masks, 0, rows)
    corners = np.array([[0, 0, 1], [95, 0, 1], [0, 95, 1], [95, 95, 1]]).T
    assert np.abs((found - np.stack([true[3], true[5]])) @ corners).max() < 0.5
    still, reach = undo_camera(images[rows], found)
    moved, _ = undo_camera(masks[rows], found)
    behind = reach[1] & (moved[1] == 0) & (masks[0] == 0)
    assert np.abs(still[1].astype(int) - images[0])[behind].mean() < 4
    assert 0.7 < reach[1].mean() < 1


def test_before_a_plain_wall_the_camera_stays():
    images = np.full((4, *SIZE, 3), 240, np.uint8)
    masks = np.zeros((4, *SIZE), np.uint8)
    masks[:, 20:80, 40:60] = 255
    images[masks > 0] = 30
    found = follow_camera(images, masks, 0, np.array([2, 3]))
    assert np.allclose(found, np.eye(2, 3), atol=1e-3)
