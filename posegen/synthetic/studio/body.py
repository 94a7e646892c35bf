"""A person's body as a list of round cones and ellipsoids, each fixed to a bone.

One shape serves for all: a round cone (the convex hull of two spheres) on the y axis of its own frame, stretched
along the three axes. Without length it is an ellipsoid. Sizes are fractions of the person's height.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from posegen.synthetic.actions.take import SIDES
from posegen.synthetic.studio.people import StudioPerson
from posegen.synthetic.studio.skeleton import BONES

Vector = tuple[float, float, float]


class Material(IntEnum):
    """Materials of surfaces; 0 is kept for the background."""

    SKIN = 1
    FACE = 2
    HAIR = 3
    UPPER = 4
    LOWER = 5
    SHOE = 6


@dataclass(frozen=True)
class Part:
    """A shape on a bone, in the bone's axes and in fractions of the person's height."""

    bone: str
    material: Material
    start: Vector
    end: Vector
    radii: tuple[float, float]
    """At the start and at the end, before stretching."""
    stretch: Vector = (1.0, 1.0, 1.0)
    """Factors along the shape's own x, y (from start to end) and z."""
    cut: float = np.inf
    """Position of the flat cut of an open end, such as a sleeve's: distance from the start along its axis."""


@dataclass(frozen=True)
class Body:
    """All parts of a person as arrays, in metres."""

    bones: np.ndarray
    """(P,) int: index in BONES."""
    materials: np.ndarray
    """(P,) uint8."""
    starts: np.ndarray
    """(P, 3) in the bone's axes."""
    frames: np.ndarray
    """(P, 3, 3): columns are the part's stretched axes in the bone's axes, for coordinates in which it is round."""
    lengths: np.ndarray
    """(P,) along the round part's y."""
    radii: np.ndarray
    """(P, 2)."""
    cuts: np.ndarray
    """(P,) along the round part's y."""


def build_body(person: StudioPerson, *, fists: bool) -> Body:
    """Return the body of a person, with open or closed hands."""
    parts = [*_trunk(person), *_head(person)]
    for side in SIDES:
        parts += [*_arm(person, side), *_hand(side, fists), *_leg(person, side)]
    return _stack(parts, person.height)


def _stack(parts: list[Part], height: float) -> Body:
    starts = np.array([part.start for part in parts]) * height
    axes = np.array([part.end for part in parts]) * height - starts
    lengths = np.linalg.norm(axes, axis=1)
    stretch = np.array([part.stretch for part in parts])
    frames = np.stack([_frame(axis) for axis in axes]) * stretch[:, None, :]
    return Body(
        bones=np.array([BONES.index(part.bone) for part in parts]),
        materials=np.array([part.material for part in parts], np.uint8),
        starts=starts,
        frames=frames,
        lengths=lengths / stretch[:, 1],
        radii=np.array([part.radii for part in parts]) * height,
        cuts=np.array([part.cut for part in parts]) * height / stretch[:, 1],
    )


def _frame(axis: np.ndarray) -> np.ndarray:
    """The rotation whose y axis is the given one and whose x axis is the nearest to the bone's."""
    length = np.linalg.norm(axis)
    if length == 0:
        return np.eye(3)
    y = axis / length
    side = np.array([1.0, 0, 0]) if abs(y[0]) < 0.8 else np.array([0, -np.sign(y[0]), 0])
    x = side - (side @ y) * y
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _ball(bone: str, material: Material, centre: Vector, radii: Vector) -> Part:
    return Part(bone, material, centre, centre, (radii[1], radii[1]), (radii[0] / radii[1], 1.0, radii[2] / radii[1]))


def _trunk(person: StudioPerson) -> list[Part]:
    girth, shoulders, hips, waist = person.build, person.shoulders, person.hips, person.waist
    upper, lower = Material.UPPER, Material.LOWER
    belly = girth * waist
    hem = 0.051 * hips + 0.0515 * girth + 0.010  # wide enough for the thighs
    parts = [
        _ball("pelvis", lower, (0, 0.012, -0.003), (0.086 * hips * girth, 0.062, 0.064 * girth)),
        # The shirt's lower part, from the waist to its hem.
        Part(
            "abdomen", upper, (0, 0.065, 0), (0, -0.072, 0.001), (0.048 * belly**0.5, hem / 1.66),
            (1.66, 1.0, 1.20 * waist**0.5), 0.122,
        ),
        _ball("abdomen", upper, (0, 0.035, 0.010 * belly), (0.074 * belly, 0.075, 0.053 * belly)),
        Part(
            "chest", upper, (0, 0.0, 0.001), (0, 0.102, 0.0), (0.046 * girth, 0.051 * girth),
            (1.68 * shoulders / waist**0.3, 1.0, 1.16),
        ),
        Part("neck", Material.SKIN, (0, -0.03, -0.004), (0, 0.06, 0.004), (0.032 * girth**0.5, 0.0285 * girth**0.5)),
    ]  # fmt: skip
    for sign in (1, -1):
        shoulder = 0.094 * shoulders * sign
        parts.append(Part("chest", upper, (0.022 * sign, 0.147, -0.006), (shoulder, 0.128, 0), (0.026, 0.0325 * girth)))
        if person.bust:
            depth = 0.022 + 0.010 * person.bust
            parts.append(_ball("chest", upper, (0.038 * sign, 0.068, depth), (0.040, 0.040, 0.036)))
    return parts


def _head(person: StudioPerson) -> list[Part]:
    face = Material.FACE
    parts = [
        _ball("head", face, (0, 0.056, -0.002), (0.0435, 0.056, 0.053)),
        Part("head", face, (0, 0.036, 0.010), (0, 0.006, 0.028), (0.0375, 0.021), (0.97, 1.0, 0.95)),
        Part("head", face, (0, 0.053, 0.050), (0, 0.037, 0.057), (0.0045, 0.0075)),
    ]
    parts += [_ball("head", Material.SKIN, (0.0445 * sign, 0.046, -0.002), (0.006, 0.016, 0.010)) for sign in (1, -1)]
    return parts + _hair(person)


def _hair(person: StudioPerson) -> list[Part]:
    hair = Material.HAIR

    def cap(grow: float) -> Part:
        return _ball("head", hair, (0, 0.068, -0.013), (0.0465 + grow, 0.053 + grow, 0.054 + grow))

    def sides(radius: float, end: float) -> list[Part]:
        """Strands that frame the face."""
        return [
            Part(
                "head", hair, (0.036 * s, 0.072, -0.008), (0.041 * s, end, -0.01), (radius, 0.8 * radius), (0.7, 1, 1.5)
            )
            for s in (1, -1)
        ]

    match person.hair_style:
        case "bald":
            return []
        case "crop":
            return [cap(-0.001)]
        case "short":
            return [cap(0.003), _ball("head", hair, (0.006, 0.108, 0.012), (0.036, 0.017, 0.036))]
        case "bob":
            back = Part("head", hair, (0, 0.06, -0.022), (0, 0.0, -0.018), (0.046, 0.042), (1.08, 1, 0.85))
            return [cap(0.004), back, *sides(0.021, 0.008)]
        case "long":
            back = Part("head", hair, (0, 0.06, -0.025), (0, -0.085, -0.032), (0.045, 0.040), (1.15, 1, 0.65))
            return [cap(0.005), back, *sides(0.020, -0.055)]
        case "bun":
            return [cap(0.001), _ball("head", hair, (0, 0.124, -0.026), (0.026, 0.024, 0.026))]
        case "ponytail":
            tail = Part("head", hair, (0.012, 0.088, -0.066), (0.050, -0.02, -0.052), (0.020, 0.012), (1.2, 1, 1))
            return [cap(0.002), tail]
        case "curls":
            locks = [
                _ball("head", hair, (0.048 * np.sin(a), 0.082 + 0.040 * np.cos(a), -0.026), (0.030, 0.030, 0.040))
                for a in np.radians([-118, -80, -42, 0, 42, 80, 118])
            ]
            return [cap(0.004), *locks]


def _sleeve(bone: str, material: Material, length: float, radii: tuple[float, float], share: float) -> Part:
    """Cloth around a limb, cut off flat after a share of its length; a full one runs on into the next."""
    cut = share * length if share < 1 else np.inf
    return Part(bone, material, (0, 0, 0), (0, length, 0), radii, cut=cut)


def _arm(person: StudioPerson, side: str) -> list[Part]:
    girth, upper, fore = person.build, f"{side}_upper_arm", f"{side}_forearm"
    skin, cloth = Material.SKIN, Material.UPPER
    if person.sleeves == "long":
        return [
            _sleeve(upper, cloth, 0.166, (0.0330 * girth, 0.0275 * girth), 1.0),
            _sleeve(fore, cloth, 0.145, (0.0275 * girth, 0.0220), 0.96),
            Part(fore, skin, (0, 0.11, 0), (0, 0.148, 0), (0.0165, 0.0155)),
        ]
    return [
        _sleeve(upper, cloth, 0.166, (0.0335 * girth, 0.0330 * girth), 0.52),
        Part(upper, skin, (0, 0.01, 0), (0, 0.166, 0), (0.029 * girth, 0.0225 * girth)),
        Part(fore, skin, (0, 0, 0), (0, 0.05, 0.0), (0.0225 * girth, 0.0232 * girth)),
        Part(fore, skin, (0, 0.05, 0), (0, 0.148, 0), (0.0232 * girth, 0.0155)),
    ]


def _hand(side: str, fist: bool) -> list[Part]:
    bone, skin = f"{side}_hand", Material.SKIN
    if fist:
        return [
            _ball(bone, skin, (0, 0.028, 0.001), (0.0185, 0.027, 0.0225)),
            Part(bone, skin, (0, 0.010, 0.012), (0.008, 0.034, 0.018), (0.009, 0.008)),
        ]
    fingers = [
        Part(bone, skin, (0, 0.050, z), (0.002, 0.050 + length, 1.25 * z), (0.0070, 0.0055))
        for z, length in ((-0.0150, 0.033), (-0.0050, 0.043), (0.0055, 0.046), (0.0155, 0.040))
    ]
    return [
        _ball(bone, skin, (0, 0.032, 0), (0.0105, 0.033, 0.0225)),
        *fingers,
        Part(bone, skin, (0, 0.016, 0.014), (0.003, 0.052, 0.036), (0.0085, 0.0062)),
    ]


def _leg(person: StudioPerson, side: str) -> list[Part]:
    girth, length = person.build, 0.245 * person.legs
    thigh, shin, foot = f"{side}_thigh", f"{side}_shin", f"{side}_foot"
    skin, cloth, shoe = Material.SKIN, Material.LOWER, Material.SHOE
    if person.legwear == "trousers":
        legs = [
            _sleeve(thigh, cloth, length, (0.0515 * girth, 0.0390 * girth), 1.0),
            _sleeve(shin, cloth, length, (0.0390 * girth, 0.0315), 0.955),
            Part(shin, skin, (0, 0.8 * length, 0), (0, length, 0), (0.021, 0.020)),
        ]
    else:
        calf = 0.30 * length
        legs = [
            _sleeve(thigh, cloth, length, (0.0525 * girth, 0.0490 * girth), 0.80),
            Part(thigh, skin, (0, 0.02, 0), (0, length, 0), (0.046 * girth, 0.0325 * girth)),
            Part(shin, skin, (0, 0, 0), (0, calf, -0.006), (0.0325 * girth, 0.0340 * girth)),
            Part(shin, skin, (0, calf, -0.006), (0, length, 0), (0.0340 * girth, 0.020)),
        ]
    return [
        *legs,
        Part(foot, shoe, (0, -0.016, -0.017), (0, 0.012, -0.006), (0.0225, 0.0235), (0.98, 1, 1)),
        Part(foot, shoe, (0, -0.012, -0.019), (0, 0.092, -0.0235), (0.0215, 0.0165), (1.18, 1, 1)),
    ]
