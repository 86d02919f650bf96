"""VRM: expressions and bones of an avatar, of version 1.0 (VRMC_vrm) and of 0.x (VRM).

In: the extensions of a glTF document. Out: what an expression moves, the humanoid's bones. Expressions of 0.x
are found under their own names and under those that 1.0 gave them.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from facecap_batch.exporting.character.model import Target

V1, V0 = "VRMC_vrm", "VRM"
# Preset names of 0.x -> of 1.0: VRMC_vrm-1.0/expressions.md of github.com/vrm-c/vrm-specification.
NEWER_NAMES = {
    "a": "aa",
    "i": "ih",
    "u": "ou",
    "e": "ee",
    "o": "oh",
    "joy": "happy",
    "sorrow": "sad",
    "fun": "relaxed",
    "blink_l": "blinkLeft",
    "blink_r": "blinkRight",
    "lookup": "lookUp",
    "lookdown": "lookDown",
    "lookleft": "lookLeft",
    "lookright": "lookRight",
}
FULL_WEIGHT_V0 = 100.0

Index = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Bind(_Model):
    node: Index
    index: Index
    weight: Number = 1.0


class _Expression(_Model):
    morphTargetBinds: list[_Bind] | None = None


class _Expressions(_Model):
    preset: dict[str, _Expression | None] = Field(default_factory=dict)
    custom: dict[str, _Expression | None] = Field(default_factory=dict)


class _Bone(_Model):
    node: Index


class _Humanoid(_Model):
    humanBones: dict[str, _Bone | None] = Field(default_factory=dict)


class _Vrm1(_Model):
    expressions: _Expressions | None = None
    humanoid: _Humanoid | None = None


class _Bind0(_Model):
    mesh: Index
    index: Index
    weight: Number = FULL_WEIGHT_V0


class _Group0(_Model):
    name: str = ""
    presetName: str = ""
    binds: list[_Bind0] | None = None


class _Master0(_Model):
    blendShapeGroups: list[_Group0] = Field(default_factory=list)


class _Bone0(_Model):
    bone: str
    node: Annotated[int, Field(strict=True)]


class _Humanoid0(_Model):
    humanBones: list[_Bone0] = Field(default_factory=list)


class _Vrm0(_Model):
    blendShapeMaster: _Master0 | None = None
    humanoid: _Humanoid0 | None = None


def vrm_version(extensions: dict[str, Any]) -> str | None:
    """ "1.0", "0.x", or None for a file that is no VRM."""
    return "1.0" if V1 in extensions else "0.x" if V0 in extensions else None


def expressions_of(
    extensions: dict[str, Any], sizes: dict[int, int], holders: dict[int, list[int]]
) -> dict[str, tuple[Target, ...]]:
    """The expressions that move morph targets.

    Args:
        extensions: of the document.
        sizes: node -> number of its morph targets.
        holders: mesh -> nodes that show it.

    Raises:
        ValueError: the extension is not what VRM says (pydantic's ValidationError is one).
    """
    if V1 in extensions:
        expressions = _Vrm1.model_validate(extensions[V1]).expressions or _Expressions()
        found = {
            name: [Target(bind.node, bind.index, bind.weight) for bind in expression.morphTargetBinds or []]
            for name, expression in (*expressions.custom.items(), *expressions.preset.items())
            if expression is not None
        }
    elif V0 in extensions:
        master = _Vrm0.model_validate(extensions[V0]).blendShapeMaster or _Master0()
        found = {}
        for group in master.blendShapeGroups:
            targets = [
                Target(node, bind.index, bind.weight / FULL_WEIGHT_V0)
                for bind in group.binds or []
                for node in holders.get(bind.mesh, [])
            ]
            preset = group.presetName.lower()
            for name in {group.name, preset, NEWER_NAMES.get(preset, preset)} - {"", "unknown"}:
                found.setdefault(name, targets)
    else:
        return {}
    for name, targets in found.items():
        for target in targets:
            if target.morph >= sizes.get(target.node, 0):
                raise ValueError(f"expression {name!r} moves a morph target that is not there")
    return {name: tuple(targets) for name, targets in found.items() if targets}


def humanoid_of(extensions: dict[str, Any], nodes: int) -> dict[str, int]:
    """VRM's bones by name, of a document with `nodes` nodes. Raises ValueError as `expressions_of`."""
    if V1 in extensions:
        bones = (_Vrm1.model_validate(extensions[V1]).humanoid or _Humanoid()).humanBones
        found = {name: bone.node for name, bone in bones.items() if bone is not None}
    elif V0 in extensions:
        listed = (_Vrm0.model_validate(extensions[V0]).humanoid or _Humanoid0()).humanBones
        found = {bone.bone: bone.node for bone in listed if bone.node >= 0}
    else:
        return {}
    for name, node in found.items():
        if node >= nodes:
            raise ValueError(f"bone {name!r} is a node that is not there")
    return found
