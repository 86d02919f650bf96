"""A character: what a GLB or VRM file has that can be moved.

In: a path. Out: `Character`: morph targets by name, VRM's expressions by name, nodes with their rest, or
`BadCharacter`, which names the file and what to do. Everything in the file's document that is used is checked
here; the rest is carried through unread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facecap_batch.errors import FacecapError
from facecap_batch.exporting.character.model import Character, Node, Target
from facecap_batch.exporting.character.rotations import parts_of_matrix
from facecap_batch.exporting.character.vrm import expressions_of, humanoid_of, vrm_version
from facecap_batch.exporting.gltf.binary import glb_bytes, glb_parts
from facecap_batch.storage.publish import StoragePath
from facecap_batch.text import printable

MAX_BYTES = 1 << 30  # of a file, which is held in memory a few times
SUFFIXES = (".glb", ".vrm")

Index = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class BadCharacter(FacecapError):
    """A character's file that cannot be used. The message names the file, what is wrong and what to do."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Asset(_Model):
    version: str


class _Node(_Model):
    name: str = ""
    children: list[Index] = Field(default_factory=list)
    mesh: Index | None = None
    matrix: list[Number] | None = Field(default=None, min_length=16, max_length=16)
    translation: list[Number] = Field(default=[0.0, 0.0, 0.0], min_length=3, max_length=3)
    rotation: list[Number] = Field(default=[0.0, 0.0, 0.0, 1.0], min_length=4, max_length=4)
    scale: list[Number] = Field(default=[1.0, 1.0, 1.0], min_length=3, max_length=3)
    weights: list[Number] | None = None


class _Primitive(_Model):
    targets: list[dict[str, Index]] = Field(default_factory=list)
    extras: Any = None


class _Mesh(_Model):
    primitives: list[_Primitive] = Field(default_factory=list)
    weights: list[Number] | None = None
    extras: Any = None


class _Accessor(_Model):
    name: str = ""


class _Buffer(_Model):
    byteLength: Index
    uri: str | None = None


class _File(_Model):
    asset: _Asset
    nodes: list[_Node] = Field(default_factory=list)
    meshes: list[_Mesh] = Field(default_factory=list)
    accessors: list[_Accessor] = Field(default_factory=list)
    buffers: list[_Buffer] = Field(default_factory=list)
    bufferViews: list[dict[str, Any]] = Field(default_factory=list)
    animations: list[dict[str, Any]] = Field(default_factory=list)
    extensions: dict[str, Any] = Field(default_factory=dict)


def read_character(path: StoragePath) -> Character:
    """The character in a GLB or VRM file.

    Raises:
        BadCharacter: there is no such file, or it is no GLB that can be used.
    """
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():
            raise BadCharacter(f"{path} is no file; name a character's .glb or .vrm file")
        if isinstance(path, Path) and path.stat().st_size > MAX_BYTES:
            raise BadCharacter(
                f"{path} has more than {MAX_BYTES >> 20} MB; export the character without its scene"
            )
        data = path.read_bytes()
    except OSError as error:
        raise BadCharacter(
            f"character {path}: {error.strerror or error}; name a .glb or .vrm file"
        ) from error
    return parse_character(data, path)


def parse_character(data: bytes, path: StoragePath) -> Character:
    """As `read_character`, of bytes that were read; `path` is named in errors."""
    if path.suffix.lower() == ".gltf" or data[:1] == b"{":
        raise BadCharacter(f"{path} is a .gltf of several files; save it as one .glb (Blender: glTF Binary)")
    try:
        document, binary = glb_parts(data)
        glb_bytes(document, b"")  # it will be written again: NaN and half characters cannot be
    except ValueError as error:
        raise BadCharacter(
            f"{path} is no GLB or VRM file: {printable(str(error))}; export it again as glTF Binary"
        ) from error
    try:
        file = _File.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _damaged(path, f"{printable(place)}: {printable(problem['msg'])}") from error
    if not file.asset.version.startswith("2."):
        raise BadCharacter(f"{path} is glTF {printable(file.asset.version)}; export it as glTF 2.0")
    inside = all(buffer.uri is None and buffer.byteLength <= len(binary) for buffer in file.buffers)
    if len(file.buffers) > 1 or not inside:
        raise BadCharacter(
            f"{path}: its numbers lie in other files; save it as one .glb (Blender: glTF Binary)"
        )
    nodes, weights, morphs = _nodes(file, path), _weights(file, path), _morphs(file, path)
    version = vrm_version(file.extensions)
    try:
        sizes = {node: len(values) for node, values in weights.items()}
        holders: dict[int, list[int]] = {}
        for number, node in enumerate(file.nodes):
            if node.mesh is not None:
                holders.setdefault(node.mesh, []).append(number)
        expressions = expressions_of(file.extensions, sizes, holders)
        humanoid = humanoid_of(file.extensions, len(nodes))
    except (ValidationError, ValueError) as error:
        raise _damaged(path, printable(str(error).splitlines()[0])) from error
    return Character(path, document, binary, nodes, morphs, expressions, weights, humanoid, version)


def _damaged(path: StoragePath, what: str) -> BadCharacter:
    return BadCharacter(f"{path} is damaged: {what}; export the character again")


def _nodes(file: _File, path: StoragePath) -> tuple[Node, ...]:
    parents: dict[int, int] = {}
    for number, node in enumerate(file.nodes):
        for child in node.children:
            if child >= len(file.nodes) or child in parents or child == number:
                raise _damaged(path, f"nodes.{number}.children: {child} is no node, or has two parents")
            parents[child] = number
    for number in parents:  # who has a parent hangs under a root, and not in a circle
        seen, above = 0, number
        while above in parents:
            above, seen = parents[above], seen + 1
            if seen > len(file.nodes):
                raise _damaged(path, f"nodes.{number}: is its own parent")
    made = []
    for number, node in enumerate(file.nodes):
        translation, rotation, scale = node.translation, node.rotation, node.scale
        if node.matrix is not None:
            translation, rotation, scale = parts_of_matrix(node.matrix)
        length = sum(value * value for value in rotation) ** 0.5
        if not 0.5 < length < 2.0:
            raise _damaged(path, f"nodes.{number}.rotation: {rotation} is no rotation")
        unit = [value / length for value in rotation]
        made.append(
            Node(
                name=node.name,
                parent=parents.get(number),
                translation=(translation[0], translation[1], translation[2]),
                rotation=(unit[0], unit[1], unit[2], unit[3]),
                scale=(scale[0], scale[1], scale[2]),
                has_matrix=node.matrix is not None,
            )
        )
    return tuple(made)


def _weights(file: _File, path: StoragePath) -> dict[int, tuple[float, ...]]:
    found: dict[int, tuple[float, ...]] = {}
    for number, node in enumerate(file.nodes):
        if node.mesh is None:
            continue
        if node.mesh >= len(file.meshes):
            raise _damaged(path, f"nodes.{number}.mesh: there is no mesh {node.mesh}")
        mesh = file.meshes[node.mesh]
        count = max((len(primitive.targets) for primitive in mesh.primitives), default=0)
        if any(len(primitive.targets) != count for primitive in mesh.primitives):
            raise _damaged(
                path, f"meshes.{node.mesh}: its primitives have different numbers of morph targets"
            )
        given = node.weights or mesh.weights or []
        if given and len(given) != count:
            raise _damaged(path, f"meshes.{node.mesh}: has {count} morph targets and {len(given)} weights")
        if count:
            found[number] = tuple(given) if given else (0.0,) * count
    return found


def _morphs(file: _File, path: StoragePath) -> dict[str, tuple[Target, ...]]:
    found: dict[str, list[Target]] = {}
    for number, node in enumerate(file.nodes):
        if node.mesh is None:
            continue
        for morph, name in enumerate(_target_names(file.meshes[node.mesh], file)):
            if name:
                found.setdefault(name, []).append(Target(number, morph))
    return {name: tuple(targets) for name, targets in found.items()}


def _target_names(mesh: _Mesh, file: _File) -> list[str]:
    """Names of a mesh's morph targets, "" for one without: of the mesh, its primitives, or the accessors."""
    count = max((len(primitive.targets) for primitive in mesh.primitives), default=0)
    for extras in (mesh.extras, *(primitive.extras for primitive in mesh.primitives)):
        names = extras.get("targetNames") if isinstance(extras, dict) else None
        if isinstance(names, list) and len(names) == count and all(isinstance(name, str) for name in names):
            return names
    named = [""] * count
    for primitive in mesh.primitives[:1]:
        for morph, target in enumerate(primitive.targets):
            accessor = target.get("POSITION", len(file.accessors))
            named[morph] = file.accessors[accessor].name if accessor < len(file.accessors) else ""
    return named
