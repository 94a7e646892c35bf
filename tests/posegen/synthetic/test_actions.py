"""The one list of actions: what the studio renders, the corpus holds and commands know."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.data.motion_conversion import SplitSettings, synthesize
from orchestration.data.studio import StudioSettings
from posegen.datasets.motions import MotionDataset
from posegen.motion.anatomy import REST
from posegen.skeletons import SMPL_24, swap_left_right
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.actions.body_angles import rest_axes
from posegen.synthetic.actions.take import ActionTake
from posegen.synthetic.motions import generate_corpus, make_subject, perform, perform_in_step


def test_studio_corpus_and_commands_share_one_list_of_actions(tmp_path):
    names = list(ACTIONS)
    assert [motion.label_name for motion in generate_corpus(subjects=1)] == names
    assert StudioSettings(actions=len(names)).action_names == names
    synthesize(tmp_path / "corpus", SplitSettings(train_fraction=1.0), subjects=1)
    assert MotionDataset(tmp_path / "corpus").info.actions == names
    for action in names:
        assert perform(action, make_subject(0), frames=2).label == perform_in_step(action, REST, 2).label


def test_the_paper_is_rendered_by_default():
    assert StudioSettings().people * len(StudioSettings().action_names) == 208
    assert StudioSettings(motion=("walk.npz",)).action_names == []


@pytest.mark.parametrize("action", ACTIONS)
def test_either_side_does_what_one_side_does(action):
    """With the left as lead, joints are where those of the right are in a mirror."""
    time = np.arange(0, 4, 0.2)
    right, left = (ACTIONS[action].perform(ActionTake(time, side=side)).rotations.numpy() for side in ("right", "left"))
    if action in ("walk", "run", "punch", "turn", "idle"):  # both sides do the same by turns
        return
    mirror = np.diag([-1.0, 1.0, 1.0])
    swapped = [SMPL_24.index(swap_left_right(name)) for name in SMPL_24]
    np.testing.assert_allclose(left, mirror @ right[:, swapped] @ mirror, atol=1e-9)


def test_axes_at_rest_lie_along_the_bones_of_a_t_pose():
    for near, far in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "foot")):
        for side in ("left", "right"):
            bone = REST[SMPL_24.index(f"{side}_{far}")] - REST[SMPL_24.index(f"{side}_{near}")]
            axes = rest_axes(f"{side}_{near}")
            assert np.linalg.det(axes) == pytest.approx(1)
            assert bone @ axes[:, 1] / np.linalg.norm(bone) > 0.9
