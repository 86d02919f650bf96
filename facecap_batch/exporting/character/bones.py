"""The bones of a character that a take turns: its head and its eyes.

In: a `Character`, names that a rig gives them. Out: `Turned`, the nodes and how they lie at rest, or
`BadCharacter` where a name is not there. VRM says which bones they are; elsewhere they are found by what
Mixamo, Reallusion, VRoid, Ready Player Me, Rocketbox, Unreal and Rigify call them.
"""

from __future__ import annotations

import dataclasses
import difflib
import re

import numpy as np

from facecap_batch.exporting.character.file import BadCharacter
from facecap_batch.exporting.character.model import Character
from facecap_batch.exporting.character.rotations import IDENTITY, times
from facecap_batch.exporting.rigs.rig import Bones
from facecap_batch.text import printable

# Names without prefix ("mixamorig:", "CC_Base_"), separators and case.
HEAD_NAMES = ("head", "jbipchead", "bip01head", "defhead", "headjoint")
LEFT_EYE_NAMES = ("lefteye", "eyel", "leye", "eyeleft", "jadjlfaceeye", "bip01leye", "facialleye", "defeyel")
RIGHT_EYE_NAMES = (
    "righteye",
    "eyer",
    "reye",
    "eyeright",
    "jadjrfaceeye",
    "bip01reye",
    "facialreye",
    "defeyer",
)
_PREFIX = re.compile(r"^(.*[:|]|cc_base_|mixamorig\d*)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class Bone:
    """A node that is turned."""

    node: int
    name: str
    rest: np.ndarray  # float64 [4], x y z w, its rotation in its parent
    above: np.ndarray  # float64 [4], the rotation of its parent in the world, at rest


@dataclasses.dataclass(frozen=True)
class Turned:
    """The bones that a take turns; None for one that the character does not have or that is left alone."""

    head: Bone | None
    left_eye: Bone | None  # the subject's left
    right_eye: Bone | None
    backward: bool  # the character faces -Z

    def found(self) -> tuple[Bone, ...]:
        """Those that are there."""
        return tuple(bone for bone in (self.head, self.left_eye, self.right_eye) if bone is not None)


def bones_of(character: Character, named: Bones) -> Turned:
    """The bones that a take turns.

    Raises:
        BadCharacter: a bone that the rig names is not there.
    """
    faces = named.faces or ("-Z" if character.vrm == "0.x" else "+Z")
    return Turned(
        head=_bone(character, "head", named.head, "head", HEAD_NAMES),
        left_eye=_bone(character, "left_eye", named.left_eye, "leftEye", LEFT_EYE_NAMES),
        right_eye=_bone(character, "right_eye", named.right_eye, "rightEye", RIGHT_EYE_NAMES),
        backward=faces == "-Z",
    )


def _bone(
    character: Character, key: str, given: str | None, humanoid: str, usual: tuple[str, ...]
) -> Bone | None:
    if given == "":
        return None
    if given is not None:
        found = [number for number, node in enumerate(character.nodes) if node.name == given]
        if not found:
            names = [node.name for node in character.nodes if node.name]
            near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
            hint = f"; did you mean {printable(near[0])!r}?" if near else ""
            raise BadCharacter(f"{character.path}: bones.{key}: no node {printable(given)!r}{hint}")
        return _resting(character, found[0])
    if character.vrm is not None:
        if humanoid not in character.humanoid:
            return None
        return _resting(character, character.humanoid[humanoid])
    for name in usual:
        for number, node in enumerate(character.nodes):
            if number not in character.weights and _plain(node.name) == name:
                return _resting(character, number)
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _PREFIX.sub("", name).lower())


def _resting(character: Character, number: int) -> Bone:
    node = character.nodes[number]
    above, parent = IDENTITY, node.parent
    while parent is not None:
        above = times(np.array(character.nodes[parent].rotation), above)
        parent = character.nodes[parent].parent
    return Bone(number, node.name, np.array(node.rotation), above)
