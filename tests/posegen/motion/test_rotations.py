"""Rotations: parity with the published code, round trips, and the corner cases of each formula."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.testing import assert_close

from posegen.motion import rotations


@pytest.fixture(scope="module")
def known(fixtures):
    content = json.loads((fixtures / "motion" / "kinematics.json").read_text())["rotations"]
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in content.items()}


def random_matrices(count=50):
    axis_angle = torch.randn(count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return rotations.axis_angle_to_matrix(axis_angle)


@pytest.mark.parametrize(
    ("convert", "source", "target"),
    [
        (rotations.axis_angle_to_matrix, "axis_angle", "matrix"),
        (rotations.matrix_to_axis_angle, "matrix", "back_to_axis_angle"),
        (rotations.matrix_to_rot6d_rows, "matrix", "rot6d_first_two_ROWS"),
        (rotations.rot6d_rows_to_matrix, "rot6d_first_two_ROWS", "matrix"),
        (rotations.rot6d_rows_to_matrix, "raw6d", "raw6d_to_matrix"),
        (rotations.quaternion_to_matrix, "quaternion_wxyz", "matrix"),
    ],
)
def test_conversions_agree_with_the_published_code(known, convert, source, target):
    assert_close(convert(known[source]), known[target], rtol=0, atol=1e-9)


def test_conversions_have_gradients_where_nothing_turns():
    axis_angle = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    rotations.matrix_to_rot6d_rows(rotations.axis_angle_to_matrix(axis_angle)).sum().backward()
    assert axis_angle.grad.isfinite().all()
    assert axis_angle.grad.abs().sum() > 0


def test_slerp_goes_from_start_to_end_at_constant_speed():
    start, end = random_matrices(2)
    path = rotations.slerp(start, end, torch.linspace(0, 1, 5, dtype=torch.float64))
    assert_close(path[0], start)
    assert_close(path[-1], end)
    steps = rotations.matrix_to_axis_angle(path[:-1].mT @ path[1:])
    assert_close(steps, steps[:1].expand(4, 3))


def test_swing_turns_one_direction_to_the_other_without_twist():
    source, target = torch.randn(2, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turn = rotations.swing(source, target)
    turned = (turn @ source[..., None])[..., 0]
    assert_close(torch.cosine_similarity(turned, target, dim=-1), torch.ones(50, dtype=torch.float64))
    axis = rotations.matrix_to_axis_angle(turn)
    assert_close((axis * source).sum(-1), torch.zeros(50, dtype=torch.float64), rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", [(1.0, 0, 0), (0, 1.0, 0), (0, 0, -1.0), (0.6, 0, 0.8)])
def test_swing_to_the_opposite_is_half_a_turn(direction):
    source = torch.tensor(direction, dtype=torch.float64)
    turn = rotations.swing(source, -source)
    assert_close(turn @ source, -source)
    assert_close(torch.det(turn), torch.ones((), dtype=torch.float64))


def test_twist_turns_about_its_axis():
    turn = rotations.twist(torch.tensor([0.0, 2.0, 0.0]), torch.tensor(math.pi / 2))
    assert_close(turn @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]))


def test_registration_finds_the_rotation_of_vectors():
    matrices = random_matrices()
    vectors = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert_close(rotations.registration(vectors.expand(50, 3, 3), vectors @ matrices.mT), matrices)
