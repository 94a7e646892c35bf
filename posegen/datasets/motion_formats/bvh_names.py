"""Match the joints of a BVH file to SMPL-24, by words in their names and by the hierarchy.

A name is taken apart to words: a namespace, a character's name and a number that all joints share go, and so does the
side. What is left is looked up among the words of programs and data sets for parts of the body. A word may stand for
several: ``LeftShoulder`` is the collar bone where ``LeftArm`` follows, and the shoulder where ``LeftElbow`` does. Then
the limb decides, in which joints follow each other from the trunk to the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from posegen.errors import MotionError
from posegen.motion.anatomy import REST, bone_lengths
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

LIMB_JOINTS: dict[str, tuple[str, ...]] = {
    "leg": ("hip", "knee", "ankle", "foot"),
    "arm": ("collar", "shoulder", "elbow", "wrist", "hand"),
}
"""Joints of SMPL-24 along a limb, without their side."""

OPTIONAL: frozenset[str] = frozenset(("foot", "collar", "hand"))
"""Joints of a limb that a file may lack."""

_PARTS: dict[str, str] = {
    "hip": "hip upleg upperleg thigh thighbend femur legupper",
    "knee": "knee leg lowerleg lowleg loleg shin calf tibia leglower shank",
    "ankle": "ankle foot",
    "foot": "foot toe toes toebase ball forefoot toeroot tiptoe",
    "collar": "collar clavicle collarbone clav shoulder scapula innershoulder",
    "shoulder": "shoulder arm upperarm uparm shldr humerus armupper bicep shldrbend uarm",
    "elbow": "elbow arm forearm lowerarm lowarm loarm radius armlower fore forearmbend farm",
    "wrist": "wrist hand",
    "hand": "hand handmiddle middle handend fingerbase finger fingers palm middlefinger middleproximal knuckle handtip",
}
_WORDS: dict[str, tuple[str, ...]] = {
    word: tuple(part for part, words in _PARTS.items() if word in words.split())
    for word in {word for words in _PARTS.values() for word in words.split()}
}
_WORDS["leg"] = ("hip", "knee")  # with a joint called knee below it is the thigh
_PELVIS = ("hips", "pelvis", "hip")
_HEAD = ("head",)
_SIDES = dict.fromkeys(("left", "l", "lf", "lt", "lft"), "left") | dict.fromkeys(("right", "r", "rt", "rgt"), "right")
_MIDDLE = {"c", "m", "center", "centre", "mid"}
_NOISE = {"joint", "bone", "jnt", "jt", "bind", "def", "org", "skin", "ctrl", "rig", "stretch"}
_TOKEN = re.compile(r"(?<![A-Za-z])[LR](?=[A-Z]{1,2}[a-z])|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LONGEST = 12  # joints of a limb that are looked at
_UPPER_ARMS = ("upperarm", "uparm", "armupper", "uarm", "humerus")
_TRUNK = ("spine1", "spine2", "spine3", "neck", "head")
_HEIGHTS = dict(zip(_TRUNK, np.cumsum(bone_lengths(REST)[[SMPL_24.index(name) - 1 for name in _TRUNK]]), strict=True))
_SPINE2 = (_HEIGHTS["spine2"] - _HEIGHTS["spine1"]) / (_HEIGHTS["spine3"] - _HEIGHTS["spine1"])
_LEAST_NECK = 0.2  # of the way from the chest to the head: where CMU's first neck is, the chest ends
_THIGHS = ("upleg", "upperleg", "thigh", "femur")


@dataclass(frozen=True)
class Naming:
    """Joint of the file for each joint of SMPL-24."""

    joints: dict[str, int]
    """Index in the file by SMPL-24 name; those that the file lacks are missing."""


@dataclass(frozen=True)
class _Word:
    """Meaning of a joint's name."""

    side: str
    """left, right or nothing."""
    part: str
    """All words but the side in one, without numbers."""


def understand(names: Sequence[str], parents: Sequence[int], offsets: np.ndarray, given: Mapping[str, str]) -> Naming:
    """Return which of a file's joints are those of SMPL-24.

    Args:
        names: Of the joints.
        parents: Of each joint, -1 for the root.
        offsets: (J, 3) from each joint's parent at rest.
        given: What the user says: names by those of SMPL-24.

    Raises:
        MotionError: Joints are missing that every body has. One line, with what was not understood.
    """
    words = _read_names(names)
    chains = [_ancestors(joint, parents) for joint in range(len(names))]
    found = _find_given(names, given)
    for side in ("left", "right"):
        for roles in LIMB_JOINTS.values():
            taken = {f"{side}_{role}": joint for role, joint in _find_limb(words, chains, side, roles).items()}
            found = taken | found
    limbs = [f"{side}_{role}" for side in ("left", "right") for roles in LIMB_JOINTS.values() for role in roles]
    missing = [name for name in limbs if name not in found and name.partition("_")[2] not in OPTIONAL]
    if missing:
        known = {names[joint] for joint in found.values()}
        strange = [name for name in dict.fromkeys(names) if name not in known and name != END_SITE]
        raise MotionError(
            f"its joints were not understood: {', '.join(missing)} missing among {', '.join(strange[:40]) or 'none'}: "
            "name them in a file (--joints map.json)"
        )
    return Naming(_find_trunk(found, words, chains, offsets) | found)


END_SITE = "End Site"
"""Name of the end of a bone, which is no joint."""


def _find_given(names: Sequence[str], given: Mapping[str, str]) -> dict[str, int]:
    """Indices of what the user names, SMPL-24's names first or last. Raises MotionError for other joints."""
    found = {}
    for first, second in given.items():
        smpl, own = (first, second) if first in SMPL_24 else (second, first)
        if smpl not in SMPL_24:
            raise MotionError(f"--joints names {first!r} and {second!r}, expected one of {', '.join(SMPL_24)}")
        if own not in names:
            raise MotionError(
                f"--joints names {own!r}, expected a joint of the file: {', '.join(dict.fromkeys(names))}"
            )
        found[smpl] = list(names).index(own)
    return found


# ---- Names


def _read_names(names: Sequence[str]) -> list[_Word]:
    tokens = [_tokens(name) for name in names]
    prefix = _shared_prefix([words for words, name in zip(tokens, names, strict=True) if name != END_SITE])
    return [_read_name(words[len(prefix) :] if words[: len(prefix)] == prefix else words) for words in tokens]


def _tokens(name: str) -> list[str]:
    """The words of a name, without its namespace and the number that Blender gives copies."""
    if name == END_SITE:
        return []
    plain = re.sub(r"\.\d{3}$", "", name.rpartition(":")[2])
    found = []
    for word in _TOKEN.findall(plain.lower() if plain.isupper() else plain):
        lower = word.lower()
        side = next((side for side in ("left", "right") if lower.startswith(side) and lower != side), "")
        found += [side, lower.removeprefix(side)] if side else [lower]
    return found


def _shared_prefix(tokens: Sequence[Sequence[str]]) -> list[str]:
    """Words that more than half of all names begin with: a character's name, ``Bip 01``, ``mixamorig 9``."""
    prefix: list[str] = []
    while True:
        rest = [
            words[len(prefix)] for words in tokens if list(words[: len(prefix)]) == prefix and len(words) > len(prefix)
        ]
        if not rest:
            return prefix
        word, count = Counter(rest).most_common(1)[0]
        if 2 * count <= len(tokens) or word in _SIDES or word in _WORDS:
            return prefix
        prefix = [*prefix, word]


def _read_name(words: Sequence[str]) -> _Word:
    """The side and the part; a single letter tells the side at either end only."""
    side, rest = "", []
    for index, word in enumerate(words):
        at_end = index in (0, len(words) - 1) or words[index + 1].isdigit()
        if word in _SIDES and not side and (len(word) > 1 or at_end):
            side = _SIDES[word]
        elif not (word.isdigit() or word in _NOISE or (word in _MIDDLE and len(word) == 1)):
            rest.append(word)
    part = "".join(rest)
    if not side and part not in _WORDS and part[:1] in "lr" and part[1:] in _WORDS:  # CMU's lfemur
        side, part = _SIDES[part[0]], part[1:]
    return _Word(side, part)


# ---- Limbs and trunk


def _ancestors(joint: int, parents: Sequence[int]) -> list[int]:
    """A joint and all that it hangs on, the root first."""
    chain = [joint]
    while parents[chain[-1]] >= 0:
        chain.append(parents[chain[-1]])
    return chain[::-1]


def _find_limb(
    words: Sequence[_Word], chains: Sequence[list[int]], side: str, roles: tuple[str, ...]
) -> dict[str, int]:
    """The joints of a limb: the path through the tree on which most of them are, in order."""
    known = {
        joint: tuple(roles.index(role) for role in _WORDS[word.part] if role in roles)
        for joint, word in enumerate(words)
        if word.side == side and not set(roles).isdisjoint(_WORDS.get(word.part, ()))
    }
    needed = tuple(role not in OPTIONAL for role in roles)
    best: tuple[tuple[int, int, int], dict[str, int]] = ((0, 0, 0), {})
    for joint in known:
        path = [above for above in chains[joint] if above in known]
        if any(words[above].part in _THIGHS for above in path):  # CMU has a joint of the hip above that of the thigh
            path = [above for above in path if words[above].part != "hip"]
        path = path[:_LONGEST]
        meanings = [known[above] for above in path]
        if any(words[above].part in _UPPER_ARMS for above in path):  # what is called a shoulder then is above it
            meanings = [meant[:1] if words[above].part == "shoulder" else meant
                        for above, meant in zip(path, meanings, strict=True)]  # fmt: skip
        chosen = _assign(tuple(meanings), needed)
        score = (sum(needed[role] for _, role in chosen), len(chosen), -len(path))
        if score > best[0]:
            best = (score, {roles[role]: path[place] for place, role in chosen})
    return best[1]


@lru_cache(maxsize=4096)
def _assign(
    meanings: tuple[tuple[int, ...], ...], needed: tuple[bool, ...], above: int = -1
) -> tuple[tuple[int, int], ...]:
    """Pairs (place on the path, role) with roles that increase: as many needed ones as can be, then as many, then as
    near to the trunk."""
    if not meanings:
        return ()
    options = []
    for role in (None, *(role for role in meanings[0] if role > above)):
        rest = _assign(meanings[1:], needed, above if role is None else role)
        later = tuple((place + 1, other) for place, other in rest)
        options.append(later if role is None else ((0, role), *later))
    return max(
        options,
        key=lambda pairs: (sum(needed[role] for _, role in pairs), len(pairs), -sum(place for place, _ in pairs)),
    )


def _find_trunk(
    limbs: Mapping[str, int], words: Sequence[_Word], chains: Sequence[list[int]], offsets: np.ndarray
) -> dict[str, int]:
    """Pelvis, spine, neck and head, by where legs and arms hang on the tree."""
    both = [(chains[limbs[f"left_{role}"]], chains[limbs[f"right_{role}"]]) for role in ("hip", "shoulder")]
    hips, chest = (_last_common(left[:-1], right[:-1]) for left, right in both)

    def way(start: int, end: int) -> float:
        """Length of the bones between two joints, of which one hangs on the other."""
        return float(
            np.linalg.norm(offsets[[joint for joint in chains[end] if joint not in chains[start]]], axis=1).sum()
        )

    pelvis = next(
        (joint for joint in reversed(chains[hips]) if not words[joint].side and words[joint].part in _PELVIS), hips
    )
    spine = [joint for joint in chains[chest] if joint not in chains[_last_common(chains[pelvis], chains[chest])]]
    neck = next((joint for joint in spine if "neck" in words[joint].part), None)
    if neck is not None:  # collar bones may hang on it
        spine = spine[: spine.index(neck)]
    arms = {limbs[name] for name in limbs if name.partition("_")[2] in ("collar", "shoulder")}
    above = [joint for joint in _below(chest, chains) if words[joint].part and not arms.intersection(chains[joint])]
    head = next((joint for joint in above if words[joint].part in _HEAD), None)
    if head is None:  # whatever else is above the arms: Rigify's spine goes on
        middle = [joint for joint in above if not words[joint].side and "neck" not in words[joint].part]
        head = next((joint for joint in reversed(middle) if set(chains[joint]).intersection(above) - {joint}), None)
    necks = [joint for joint in above if "neck" in words[joint].part]
    if head is not None:
        necks = [joint for joint in chains[head][:-1] if joint in above]
    if neck is None and necks:
        necks = [joint for joint in necks if "neck" in words[joint].part] or necks  # the trunk may go on above the arms
        least = _LEAST_NECK * way(chest, necks[-1] if head is None else head)
        neck = next((joint for joint in necks if way(chest, joint) >= least), necks[-1])
    top = ("neck", neck) if neck is not None else ("head", head)
    base = _last_common(chains[pelvis], chains[chest])
    lengths = {joint: way(base, joint) for joint in (*spine, top[1]) if joint is not None}
    found = {"pelvis": pelvis} | _spread_spine(spine, lengths, top)
    return found | {name: joint for name, joint in (("neck", neck), ("head", head)) if joint is not None}


def _last_common(first: Sequence[int], second: Sequence[int]) -> int:
    return [a for a, b in zip(first, second, strict=False) if a == b][-1]


def _below(joint: int, chains: Sequence[list[int]]) -> Iterator[int]:
    """All joints that hang on one, nearest first."""
    found = [index for index, chain in enumerate(chains) if joint in chain and index != joint]
    yield from sorted(found, key=lambda index: len(chains[index]))


def _spread_spine(spine: Sequence[int], lengths: Mapping[int, float], top: tuple[str, int | None]) -> dict[str, int]:
    """The joints of a spine of any number as SMPL's three, by where they are.

    Args:
        spine: The joints, from below.
        lengths: Of the trunk from the pelvis to joints.
        top: Name and joint of what the trunk ends in: neck or head, or None where there is neither.
    """
    if len(spine) > 2:
        first, last = (lengths[joint] for joint in (spine[0], spine[-1]))
        middle = min(spine[1:-1], key=lambda joint: abs(lengths[joint] - first - _SPINE2 * (last - first)))
        return {"spine1": spine[0], "spine2": middle, "spine3": spine[-1]}
    name, end = top
    if end is None:
        return dict(zip(_TRUNK[3 - len(spine) : 3], spine, strict=True))
    unit = _HEIGHTS[name] / max(lengths[end], 1e-9)

    def misfit(names: Iterable[str]) -> float:
        return sum(abs(lengths[joint] * unit - _HEIGHTS[each]) for each, joint in zip(names, spine, strict=True))

    return dict(zip(min(combinations(_TRUNK[:3], len(spine)), key=misfit), spine, strict=True))


def is_smpl_tree(naming: Naming, parents: Sequence[int]) -> bool:
    """Return whether a file's joints hang on each other as SMPL-24's do."""
    if len(naming.joints) < len(SMPL_24):
        return False
    order = [naming.joints[name] for name in SMPL_24]
    return all(
        parents[order[joint]] == (order[parent] if parent >= 0 else -1) for joint, parent in enumerate(SMPL_24_PARENTS)
    )
