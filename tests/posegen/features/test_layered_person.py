"""A person that is taken apart into layers and shown in other poses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.errors import ConfigError
from posegen.features.body_bones import swap_sides
from posegen.features.body_layers import LAYERS
from posegen.features.body_pose import BodyPoses
from posegen.features.layer_division import LayerDivision
from posegen.features.layer_drawing import order_by_depth
from posegen.features.layer_making import make_layers
from posegen.features.layered_person import LayeredPerson, hides_hand
from posegen.person_classes import PersonClass
from posegen.skeletons import joint_indices
from tests.support.drawn_person import COLORS, ROOM, SIZE, DrawnPerson, draw_person, make_pose, paint_person

ARM_UP = {"left_elbow": (92, 30), "left_wrist": (98, 12)}
SKIRT = LAYERS.index("skirt")


@pytest.fixture(scope="module")
def person():
    return draw_person()


def is_color(image: np.ndarray, color: tuple[int, int, int], tolerance: float = 8.0) -> np.ndarray:
    return delta_e_2000(rgb_to_lab(image), rgb_to_lab(np.array(color, np.uint8))) < tolerance


def test_in_its_own_pose_the_picture_is_as_it_was(person):
    shown = person.layered().frame(person.pose)
    inside = cv2.erode((person.labels > 0).astype(np.uint8), np.ones((5, 5))) > 0
    difference = delta_e_2000(rgb_to_lab(shown), rgb_to_lab(person.image))
    assert np.quantile(difference[inside], 0.97) < 1
    far = cv2.dilate((person.labels > 0).astype(np.uint8), np.ones((7, 7))) == 0
    np.testing.assert_array_equal(shown[far], person.background[far])


def test_outlines_are_whole_wherever_the_person_is():
    """Where a mesh ends within a sample of the coarse map, notches are cut into hair."""
    image, pose, labels, matte, background = draw_person()

    def larger(picture: np.ndarray) -> np.ndarray:
        return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)

    def moved(by: int) -> BodyPoses:
        keypoints, toes = (one * (2, 2, 1) + (by, 0, 0) for one in (pose.keypoints, pose.toes))
        return BodyPoses(keypoints, pose.depths, toes)

    person = LayeredPerson.take_apart(larger(image), moved(0), larger(labels), larger(matte), larger(background))
    own = person.frame(moved(0))[:80].astype(int)
    for by in (1, 2, 3):
        assert np.abs(np.roll(person.frame(moved(by))[:80], -by, axis=1) - own).max() < 30


def test_an_arm_that_is_raised_leaves_nothing_behind(person):
    shown = person.layered().frame(make_pose(ARM_UP))
    forearm = np.s_[62:86, 94:114]  # where it was
    assert is_color(shown[forearm], ROOM).all()
    assert is_color(shown[8:20, 92:104], COLORS[PersonClass.SKIN]).sum() > 15  # the hand is where it is asked for
    assert is_color(shown[30:44, 84:98], COLORS[PersonClass.UPPER]).mean() > 0.3


def test_arm_whose_hand_is_in_a_pocket_is_the_other_one_mirrored():
    person = draw_person()
    wrist = person.pose.keypoints[joint_indices(["left_wrist"])[0], :2].astype(int).tolist()
    labels = cv2.circle(person.labels.copy(), wrist, 20, int(PersonClass.LOWER), -1)
    assert hides_hand(person.pose, labels, "left") and not hides_hand(person.pose, labels, "right")
    pocketed = LayeredPerson.take_apart(person.image, person.pose, labels, person.matte, person.background)
    assert pocketed.borrowed == {LAYERS.index("left_arm")}
    assert not person.layered().borrowed


def test_each_limb_is_shown_along_its_whole_length(person):
    pose = make_pose(ARM_UP | {"right_knee": (40, 122), "right_ankle": (30, 152)})
    shown = person.layered().frame(pose)
    for near, far in (("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_hip", "right_knee"),
                      ("right_knee", "right_ankle")):  # fmt: skip
        ends = pose.keypoints[joint_indices([near, far]), :2]
        points = (ends[0] + np.linspace(0, 1, 30)[:, None] * (ends[1] - ends[0])).round().astype(int)
        assert (~is_color(shown[points[:, 1], points[:, 0]], ROOM)).mean() > 0.95, near


def test_sleeve_that_hangs_before_the_trunk_is_cut_at_its_edge():
    """Its bone lies near the inner edge of the sleeve, whose class is that of the trunk."""
    person = draw_person()
    image, labels = person.image.copy(), np.zeros_like(person.labels)
    labels[:36] = person.labels[:36]
    labels[86:] = person.labels[86:]
    labels[36:86, 36:98] = PersonClass.UPPER
    image[36:86, 36:90], image[36:86, 90:98] = (20, 20, 30), (210, 205, 200)
    labels[86:94, 90:98] = PersonClass.SKIN
    pose = make_pose({"left_shoulder": (91, 42), "left_elbow": (92, 64), "left_wrist": (92, 84)})
    matte = (labels > 0).astype(np.float32)
    arm = LayeredPerson.take_apart(image, pose, labels, matte, person.background).layers[LAYERS.index("left_arm")]
    rows = arm.opacity[58:76] > 127
    assert rows[:, 91:97].all()
    assert not rows[:, :86].any()


def test_an_arm_before_the_trunk_leaves_cloth_where_it_was():
    folded = draw_person()
    image, labels = folded.image.copy(), folded.labels.copy()
    cv2.line(labels, (77, 48), (92, 60), 0, 14)
    before = make_pose({"left_elbow": (82, 64), "left_wrist": (62, 72)})
    for canvas, color in ((image, COLORS[PersonClass.SKIN]), (labels, int(PersonClass.SKIN))):
        cv2.line(canvas, (82, 64), (62, 72), color, 8)
    taken = LayeredPerson.take_apart(image, before, labels, (labels > 0).astype(np.float32), folded.background)
    shown = taken.frame(make_pose(ARM_UP))
    assert is_color(shown[60:80, 58:72], COLORS[PersonClass.UPPER], 12).mean() > 0.9


def test_legs_that_touch_are_divided_in_the_middle():
    """Their outline is that of both, on either side of each."""
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    labels[96:] = PersonClass.BACKGROUND
    labels[96:166, 52:77] = PersonClass.LOWER
    close = {f"{side}_{joint}": (64 + sign * 4, y) for side, sign in (("right", -1), ("left", 1))
             for joint, y in (("hip", 92), ("knee", 126), ("ankle", 160))}  # fmt: skip
    parts = LayerDivision(image, make_pose(close), labels, (labels > 0).astype(np.float32)).parts
    assert (parts[102:150, 54:62] == LAYERS.index("right_leg")).all()
    assert (parts[102:150, 67:75] == LAYERS.index("left_leg")).all()


def test_cloth_at_the_armpit_folds_away():
    """Of the arm it would swing out as a wing when that is raised, and of the trunk hang down as a flap."""
    person, pose = draw_person(), make_pose({"left_elbow": (98, 52), "left_wrist": (118, 62)})
    labels = person.labels.copy()
    labels[:, 80:] = PersonClass.BACKGROUND
    for near, far in (((77, 44), (98, 52)), ((98, 52), (118, 62))):
        cv2.line(labels, near, far, int(PersonClass.UPPER), 10)
    cv2.fillConvexPoly(labels, np.array([(76, 46), (94, 54), (76, 76)], np.int32), int(PersonClass.UPPER))
    matte = (labels > 0).astype(np.float32)
    parts = LayerDivision(person.image, pose, labels, matte).parts
    assert (parts[58:60, 83:85] == -1).all()
    assert (parts[[47, 48, 49], [82, 83, 84]] != LAYERS.index("left_arm")).all()  # nearer to it, yet below its side
    assert (parts[50:53, 92:98] == LAYERS.index("left_arm")).all()
    assert (parts[50:88, 70:79] == LAYERS.index("torso")).all()
    raised = make_pose({"left_elbow": (90, 26), "left_wrist": (94, 6)})
    frame = paint_person(labels, pose).layered().frame(raised)
    assert np.abs(frame[56:84, 85:].astype(int) - ROOM).max() <= 2


def draw_sleeve() -> DrawnPerson:
    """A person whose wide left sleeve hangs from the arm: its underside is seen near the elbow alone."""
    labels, pose = draw_person().labels, make_pose({"left_elbow": (98, 52), "left_wrist": (118, 62)})
    labels[:, 80:] = PersonClass.BACKGROUND
    for near, far in (((77, 44), (98, 52)), ((98, 52), (118, 62))):
        cv2.line(labels, near, far, int(PersonClass.SKIN), 7)
    sleeve = np.array([(74, 40), (80, 40), (96, 47), (91, 58), (79, 64)], np.int32)
    cv2.fillConvexPoly(labels, sleeve, int(PersonClass.UPPER))
    return paint_person(labels, pose)


def test_a_sleeve_is_raised_with_its_arm_as_a_whole():
    """Of the part that hangs, a flap would stay at the trunk, and the upper arm would be thin."""
    person = draw_sleeve()
    parts = LayerDivision(*person[:4]).parts
    assert (parts[48:56, 84:91] == LAYERS.index("left_arm")).all()
    frame = person.layered().frame(make_pose({"left_elbow": (90, 26), "left_wrist": (94, 6)}))
    assert (is_color(frame[28:38], COLORS[PersonClass.UPPER], 40)[:, 79:].sum(axis=1) > 10).all()


def test_a_sleeve_folds_as_its_arm_is_lowered():
    """It would lie over the trunk, and hide what is printed there."""
    person = draw_sleeve()
    image = person.image.copy()
    image[50:64, 62:70] = COLORS[PersonClass.LOWER]
    frame = person._replace(image=image).layered().frame(make_pose({"left_elbow": (79, 66), "left_wrist": (80, 88)}))
    assert is_color(frame[52:62, 63:69], COLORS[PersonClass.LOWER], 40).all()


def test_what_lies_beyond_a_gap_is_not_the_arms():
    """A strip of the trunk would come along with the arm."""
    person, pose = draw_person(), make_pose({"right_elbow": (43, 66), "right_wrist": (43, 94)})
    labels = person.labels.copy()
    labels[50:, :48] = PersonClass.BACKGROUND
    labels[50:84, 47:60] = PersonClass.UPPER
    labels[44:94, 38:46] = PersonClass.UPPER
    parts = LayerDivision(person.image, pose, labels, (labels > 0).astype(np.float32)).parts
    assert (parts[64:82, 48:51] == LAYERS.index("torso")).all()
    assert (parts[64:82, 39:45] == LAYERS.index("right_arm")).all()


def test_a_collar_stays_with_the_trunk():
    """With the head it would stick out when that bends, and with an arm when that moves."""
    person = draw_person()
    labels = person.labels.copy()
    for x, towards in ((57, -1), (71, 1)):
        corners = [(x, 36), (x, 46), (x + 6 * towards, 43)]
        cv2.fillConvexPoly(labels, np.array(corners, np.int32), int(PersonClass.UPPER))
    collar = (labels == PersonClass.UPPER) & (person.labels != PersonClass.UPPER)
    parts = LayerDivision(person.image, person.pose, labels, (labels > 0).astype(np.float32)).parts
    assert collar.sum() > 10 and (parts[collar] == LAYERS.index("torso")).mean() > 0.9


def test_a_thigh_behind_a_hand_ends_where_it_does_below():
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    cv2.circle(labels, (82, 106), 8, int(PersonClass.SKIN), -1)
    image[labels == PersonClass.SKIN] = COLORS[PersonClass.SKIN]
    pose = make_pose({"left_elbow": (88, 74), "left_wrist": (84, 98)})
    taken = LayeredPerson.take_apart(image, pose, labels, (labels > 0).astype(np.float32), person.background)
    opacity = taken.layers[LAYERS.index("left_leg")].opacity > 127
    outer = [int(np.flatnonzero(opacity[row]).max()) for row in (104, 108, 118)]
    assert abs(outer[0] - outer[2]) <= 2 and abs(outer[1] - outer[2]) <= 2
    assert opacity[106, 76:80].all()  # it goes on behind the hand


def test_wall_between_a_hand_and_a_thigh_is_no_hip():
    """A mask closes the gap between both, and the parser takes it for trousers."""
    place = {"right_elbow": (41.0, 66.0), "right_wrist": (38.0, 98.0)}
    pose, person = make_pose(place), draw_person()
    labels = person.labels.copy()
    labels[:, :42] = 0
    cv2.line(labels, (41, 66), (38, 98), int(PersonClass.UPPER), 7)
    cv2.circle(labels, (38, 103), 5, int(PersonClass.SKIN), -1)
    gap = np.zeros_like(labels, bool)
    gap[90:108, 38:52] = labels[90:108, 38:52] == 0
    labels[gap] = PersonClass.LOWER
    image = np.full((*labels.shape, 3), ROOM, np.uint8)
    for kind, color in COLORS.items():
        image[(labels == kind) & ~gap] = color
    parts = LayerDivision(image, pose, labels, (labels > 0).astype(np.float32)).parts
    leg = parts == LAYERS.index("right_leg")
    lefts = [int(np.flatnonzero(leg[row]).min()) for row in range(96, 122)]
    below = np.polyfit(np.arange(112, 122), lefts[16:], 1)
    assert (np.array(lefts[:12]) >= np.polyval(below, np.arange(96, 108)) - 2).all()
    assert (parts[gap] == -1).mean() > 0.5


def test_a_hand_before_trousers_shows_none_of_them():
    """What the hand hides of itself would have their colour, and a new one more so."""
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    labels[84:93, 70:84] = PersonClass.UPPER
    labels[93:98, 70:84] = PersonClass.LOWER
    cv2.circle(labels, (82, 106), 9, int(PersonClass.SKIN), -1)
    labels[105:107, 83:85] = PersonClass.LOWER
    pose = make_pose({"left_elbow": (88, 74), "left_wrist": (84, 98)})
    taken = LayeredPerson.take_apart(image, pose, labels, (labels > 0).astype(np.float32), person.background)
    arm = taken.layers[LAYERS.index("left_arm")]
    assert (arm.classes[arm.opacity[arm.box] > 0] != PersonClass.LOWER).all()
    from_trousers = cv2.dilate((labels == PersonClass.LOWER).astype(np.uint8), np.ones((5, 5))) > 0
    cloth = arm.origins[(arm.opacity[arm.box] > 0) & (arm.classes == PersonClass.UPPER)]
    assert len(cloth) and not from_trousers.ravel()[cloth].any()


def test_a_pattern_goes_on_behind_an_arm_at_its_height():
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    stripes = (np.arange(SIZE[0]) // 3 % 2 == 0)[:, None] & (labels == PersonClass.UPPER)
    image[stripes] = (240, 240, 240)
    cv2.line(labels, (77, 48), (92, 60), 0, 14)
    before = make_pose({"left_elbow": (80, 64), "left_wrist": (76, 92)})
    for canvas, color in ((image, COLORS[PersonClass.SKIN]), (labels, int(PersonClass.SKIN))):
        cv2.line(canvas, (80, 56), (76, 92), color, 9)
    taken = LayeredPerson.take_apart(image, before, labels, (labels > 0).astype(np.float32), person.background)
    torso = taken.layers[LAYERS.index("torso")].texture
    seen, behind = torso[62:82, 64, :3], torso[62:82, 75, :3]
    assert (labels[62:82, 75] == PersonClass.SKIN).all()
    assert np.median(delta_e_2000(rgb_to_lab(seen), rgb_to_lab(behind))) < 4


def test_a_print_beside_a_shoulder_is_seen_once():
    person = draw_person()
    image, labels = person.image.copy(), person.labels.copy()
    image[48:54, 68:72] = (240, 240, 240)
    parts = LayerDivision(image, person.pose, labels, person.matte).parts
    labels[parts == LAYERS.index("left_arm")] = PersonClass.SKIN
    labels[46:58, 74:80] = PersonClass.SKIN
    division = LayerDivision(image, person.pose, labels, person.matte)
    division.parts[46:58, 74:80] = LAYERS.index("left_arm")
    torso = make_layers(division)[LAYERS.index("torso")]
    assert torso.opacity[50, 76] > 200 and not is_color(torso.texture[46:58, 74:80, :3], (240, 240, 240), 15).any()


def test_skin_beside_a_bare_arm_is_not_the_trunks():
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    labels[50:90, 82:92] = PersonClass.SKIN
    hanging = make_pose({"left_elbow": (87, 68), "left_wrist": (87, 88)})
    division = LayerDivision(image, hanging, labels, (labels > 0).astype(np.float32))
    division.parts[52:86, 82:84] = LAYERS.index("torso")
    division.parts[52:86, 84:92] = LAYERS.index("left_arm")
    torso = make_layers(division)[LAYERS.index("torso")]
    side = np.zeros(SIZE, bool)
    side[56:82, 76:92] = True
    shown = (torso.opacity > 0) & side
    assert shown[:, 82:84].any() and (torso.classes[shown[torso.box]] == PersonClass.UPPER).all()


def test_legs_go_on_behind_the_hem_of_a_trunk():
    """No wall is seen between both when a thigh is raised."""
    person = draw_person()
    labels = person.labels.copy()
    cv2.fillConvexPoly(labels, np.array([(47, 90), (81, 90), (64, 108)], np.int32), int(PersonClass.UPPER))
    taken = LayeredPerson.take_apart(
        person.image, person.pose, labels, (labels > 0).astype(np.float32), person.background
    )
    parts = LayerDivision(person.image, person.pose, labels, (labels > 0).astype(np.float32)).parts
    for leg, columns in (("right_leg", slice(54, 61)), ("left_leg", slice(68, 75))):
        assert (parts[92:96, columns] == LAYERS.index("torso")).any()
        assert (taken.layers[LAYERS.index(leg)].opacity[92:96, columns] > 127).all()


def test_a_leg_before_the_other_one_is_no_wider_for_it():
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    labels[96:] = PersonClass.BACKGROUND
    joints = {"right_hip": (57, 92), "left_hip": (71, 92), "right_knee": (54, 126), "left_knee": (74, 122),
              "right_ankle": (62, 166), "left_ankle": (46, 158)}  # fmt: skip
    for side, width in (("left", 9), ("right", 11)):
        for near, far in (("hip", "knee"), ("knee", "ankle")):
            cv2.line(labels, joints[f"{side}_{near}"], joints[f"{side}_{far}"], int(PersonClass.LOWER), width)
    pose = make_pose(joints)
    depths = pose.depths.copy()
    depths[joint_indices(["right_ankle"])] = 10
    crossed = BodyPoses(pose.keypoints, depths, pose.toes)
    taken = LayeredPerson.take_apart(image, crossed, labels, (labels > 0).astype(np.float32), person.background)
    assert taken.borrowed == {LAYERS.index("left_leg")}
    opacity = taken.layers[LAYERS.index("right_leg")].opacity > 127
    assert opacity[136:156].sum(axis=1).max() <= 15  # 11, and soft borders


def test_a_trunk_behind_arms_is_as_wide_as_the_hips():
    person = draw_person()
    labels, image = person.labels.copy(), person.image.copy()
    labels[44:92, 40:88] = PersonClass.UPPER
    image[labels == PersonClass.UPPER] = COLORS[PersonClass.UPPER]
    hanging = {f"{side}_{joint}": (64 + sign * x, y) for side, sign in (("right", -1), ("left", 1))
               for joint, x, y in (("shoulder", 17, 44), ("elbow", 20, 66), ("wrist", 20, 86))}  # fmt: skip
    taken = LayeredPerson.take_apart(
        image, make_pose(hanging), labels, (labels > 0).astype(np.float32), person.background
    )
    torso = taken.layers[LAYERS.index("torso")].opacity > 127
    assert torso[60].sum() >= 34 and torso[86].sum() >= 34


def test_new_colours_of_cloth_do_not_run_into_skin():
    """What is continued behind a hand that hangs at the hem of shorts is smooth, but not across the hem."""
    person = draw_person()
    labels = person.labels.copy()
    labels[(labels == PersonClass.LOWER) & (np.arange(SIZE[0])[:, None] > 110)] = PersonClass.SKIN
    cv2.circle(labels, (76, 110), 9, int(PersonClass.SKIN), -1)
    image = person.image.copy()
    for kind, color in COLORS.items():
        image[labels == kind] = color
    pose = make_pose({"left_elbow": (86, 76), "left_wrist": (78, 102)})
    taken = LayeredPerson.take_apart(image, pose, labels, (labels > 0).astype(np.float32), person.background)
    leg = taken.layers[LAYERS.index("left_leg")]
    other = image.copy()
    other[labels == PersonClass.LOWER] = (250, 250, 20)
    changed = (leg.showing(other).texture != leg.texture).any(axis=-1)[leg.box]
    np.testing.assert_array_equal(changed, leg.classes == PersonClass.LOWER)


def test_a_skirt_follows_both_legs_and_is_not_split():
    person = draw_person(skirt=True)
    layered = person.layered()
    assert SKIRT in layered.layers
    wide = make_pose(
        {"right_knee": (38, 122), "right_ankle": (30, 156), "left_knee": (90, 122), "left_ankle": (98, 156)}
    )
    shown = layered.frame(wide)
    middle = is_color(shown[98:112, 60:69], COLORS[PersonClass.LOWER], 12)
    assert middle.mean() > 0.95
    assert SKIRT not in draw_person().layered().layers  # trousers are no skirt


@pytest.mark.parametrize(("kind", "is_skirt"), [(PersonClass.ONE_PIECE, True), (PersonClass.LOWER, False)])
def test_a_dress_may_end_in_the_middle_of_the_thighs(kind, is_skirt):
    """What is as short and no one-piece may be shorts."""
    person, legs = draw_person(skirt=True), draw_person().labels == PersonClass.LOWER
    labels = person.labels.copy()
    labels[labels == PersonClass.LOWER] = kind
    if kind == PersonClass.ONE_PIECE:
        labels[labels == PersonClass.UPPER] = kind
    below = (labels == kind) & (np.arange(len(labels))[:, None] > 108)
    labels[below] = np.where(legs, PersonClass.SKIN, PersonClass.BACKGROUND)[below]
    matte = (labels > 0).astype(np.float32)
    layered = LayeredPerson.take_apart(person.image, person.pose, labels, matte, person.background)
    assert (SKIRT in layered.layers) == is_skirt


def test_from_behind_there_is_hair_where_the_face_was(person):
    keypoints = swap_sides(make_pose()).keypoints.copy()
    keypoints[joint_indices(["nose", "right_eye", "left_eye"])] = 0
    behind = BodyPoses(keypoints, np.zeros(18, np.float32), make_pose().toes)
    shown = person.layered().frame(behind)
    assert is_color(shown[20:32, 60:69], COLORS[PersonClass.HAIR], 12).mean() > 0.9
    assert is_color(shown[50:90, 55:74], COLORS[PersonClass.UPPER]).all()


def test_a_face_that_is_guessed_on_the_back_of_a_head_is_not_shown(person):
    """BlazePose finds nose and eyes there, too, behind the ears."""
    depths = np.zeros(18, np.float32)
    depths[joint_indices(["nose", "right_eye", "left_eye"])] = -20
    shown = person.layered().frame(BodyPoses(swap_sides(make_pose()).keypoints, depths, make_pose().toes))
    assert is_color(shown[20:32, 60:69], COLORS[PersonClass.HAIR], 12).mean() > 0.9


def test_a_forearm_that_is_not_seen_is_the_mirrored_one_of_the_other_side(person):
    keypoints, labels, image = person.pose.keypoints.copy(), person.labels.copy(), person.image.copy()
    keypoints[joint_indices(["left_wrist"])] = 0
    hidden = np.zeros(labels.shape, bool)
    hidden[63:, 94:115] = True
    hidden[90:] = False
    labels[hidden], image[hidden] = 0, ROOM
    pose = BodyPoses(keypoints, person.pose.depths, person.pose.toes)
    layered = LayeredPerson.take_apart(image, pose, labels, (labels > 0).astype(np.float32), person.background)
    assert LAYERS.index("left_arm") in layered.borrowed
    shown = layered.frame(make_pose(ARM_UP))
    assert is_color(shown[8:20, 92:104], COLORS[PersonClass.SKIN]).sum() > 15


def test_other_colours_move_as_the_picture_does(person):
    green = person.image.copy()
    green[person.labels == PersonClass.UPPER] = (30, 160, 60)
    shown = person.layered().recolored(green).frame(make_pose(ARM_UP))
    assert not is_color(shown, COLORS[PersonClass.UPPER]).any()
    assert is_color(shown[50:90, 57:72], (30, 160, 60)).all()


def test_depths_decide_what_is_in_front():
    pose = make_pose()
    behind = pose.depths.copy()
    behind[joint_indices(["left_elbow", "left_wrist"])] = -40
    order = order_by_depth(BodyPoses(pose.keypoints, behind, pose.toes))
    arm, torso = LAYERS.index("left_arm"), LAYERS.index("torso")
    assert order.index(arm) < order.index(torso)
    assert all(order.index(arm) < order.index(LAYERS.index(leg)) for leg in ("right_leg", "left_leg"))
    assert order_by_depth(pose).index(arm) > order_by_depth(pose).index(torso)


def test_an_arm_is_before_the_head_where_its_forearm_or_hand_is():
    """In a bow, and below a raised arm, shoulders come before the face in the picture alone."""
    arm, head = LAYERS.index("left_arm"), LAYERS.index("head")
    for elbow, wrist, depth, is_before in (
        ((92, 60), (106, 76), 0, False),
        ((88, 30), (92, 10), 0, False),
        ((92, 60), (68, 30), 20, True),
        ((92, 60), (68, 30), -20, False),
    ):
        pose = make_pose({"left_elbow": elbow, "left_wrist": wrist})
        depths = pose.depths.copy()
        depths[joint_indices(["left_wrist"])] = depth
        order = order_by_depth(BodyPoses(pose.keypoints, depths, pose.toes))
        assert (order.index(arm) > order.index(head)) == is_before, (elbow, wrist, depth)


def test_a_chin_before_the_chest_is_whole(person):
    """In a bow the face comes down before the chest."""
    names = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
    bowed = {name: tuple(person.pose.keypoints[joint_indices([name])[0], :2] + (0, 18)) for name in names}
    shown = person.layered().frame(make_pose(bowed))
    assert is_color(shown[46:53, 60:69], COLORS[PersonClass.SKIN]).all()


def test_a_forearm_raised_beside_its_upper_arm_hides_nothing_of_it(person):
    """The mesh around a forearm reaches over the upper arm, where it holds nothing."""
    pose = make_pose({"left_elbow": (92, 66), "left_wrist": (100, 45)})
    before, after = (person.layered().frame(one) for one in (make_pose({"left_elbow": (92, 66)}), pose))
    upper_arm = np.zeros(after.shape[:2], np.uint8)
    cv2.line(upper_arm, (80, 48), (89, 62), 1, 3)
    red = COLORS[PersonClass.UPPER]
    assert is_color(before[upper_arm > 0], red).all()
    assert is_color(after[upper_arm > 0], red).mean() > 0.95


def test_a_pose_without_a_trunk_shows_the_room(person):
    empty = BodyPoses.from_keypoints(np.zeros((18, 3), np.float32))
    np.testing.assert_array_equal(person.layered().frame(empty), person.background)
    with pytest.raises(ConfigError, match="shoulders and hips"):
        LayeredPerson.take_apart(person.image, empty, person.labels, person.matte, person.background)
