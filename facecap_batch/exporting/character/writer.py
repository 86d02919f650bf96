"""A take in a character's own file: one animation more, and nothing else of the file changed.

In: a `Character`, a `Rig`, a `CoefficientTable`. Out: the bytes of a GLB or VRM, loaded again and compared
with what was meant before anybody sees them. Keys are linear, one for each frame, at the frame's exact time;
gaps are bridged as in every format without nulls. The animation comes first in the file and bears the take's
name; an earlier one of that name is replaced.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from facecap_batch.coefficients import CoefficientTable
from facecap_batch.exporting.character.bones import Turned, bones_of
from facecap_batch.exporting.character.file import BadCharacter, parse_character
from facecap_batch.exporting.character.mapping import Mapping, mapping_of
from facecap_batch.exporting.character.model import Character
from facecap_batch.exporting.character.rotations import continuous, half_turned, inverse, of_eye, times
from facecap_batch.exporting.gltf.binary import SHAPES, Buffer, Json, glb_bytes
from facecap_batch.exporting.gltf.writer import key_times
from facecap_batch.exporting.rigs.rig import Rig, in_channels
from facecap_batch.exporting.take import Take, filled, take_of
from facecap_batch.storage.publish import StoragePath, publish_bytes

NOTES = "facecap-batch"  # of the animation's extras: rate, timecode, source


@dataclasses.dataclass(frozen=True, eq=False)
class Animated:
    """What a take makes of a character's nodes."""

    seconds: np.ndarray  # float32 [N], since the first frame
    weights: dict[int, np.ndarray]  # node -> float32 [N, its morph targets]
    rotations: dict[int, np.ndarray]  # node -> float32 [N, 4], x y z w, in its parent


def fitting(character: Character, rig: Rig) -> tuple[Mapping, Turned]:
    """What of `rig` is on `character`, and the bones that turn.

    Raises:
        BadCharacter: it has none of the rig's names, or not a bone that the rig names.
    """
    mapping, turned = mapping_of(character, rig), bones_of(character, rig.bones)
    if not mapping.exact:
        raise BadCharacter(
            f"{character.path} has no shape that is called as a channel of the rig {rig.name} is; "
            f"{len(mapping.alike)} are alike: `facecap-batch rigs check {character.path}` shows them, with "
            "--map writes a file to confirm them in"
        )
    return mapping, turned


def write_on_character(table: CoefficientTable, path: StoragePath, character: Character, rig: Rig) -> None:
    """Publish `character`'s file with the animation of `table` at `path`, atomically.

    Args:
        table: the clip.
        path: where the file goes.
        character: the file that is animated.
        rig: the channels that its shapes are moved by.

    Raises:
        BadCharacter: the character has none of the rig's names, or what was written is not what was meant.
        OSError: `path` cannot be written.
    """
    take, animated = animate(character, rig, table)
    data = with_animation(character, animated, take)
    _load_again(data, path, animated)
    publish_bytes(path, data)


def animate(character: Character, rig: Rig, table: CoefficientTable) -> tuple[Take, Animated]:
    """The take of `table` in the channels that the character has, and what it does to its nodes.

    Raises:
        BadCharacter: the character has none of the rig's names.
    """
    mapping, turned = fitting(character, rig)
    channels = in_channels(table, rig, frozenset(channel.name for channel in mapping.exact))
    take = filled(take_of(table, channels))
    weights: dict[int, np.ndarray] = {}
    driven: set[tuple[int, int]] = set()
    for name, values in zip(take.channels, take.weights.T, strict=True):
        for target in character.targets(name):
            if target.node not in weights:
                rest = np.array(character.weights[target.node])
                weights[target.node] = np.tile(rest, (len(take), 1))
            column = weights[target.node][:, target.morph]
            if (target.node, target.morph) not in driven:
                driven.add((target.node, target.morph))
                column[:] = 0.0
            column += target.weight * values
    return take, Animated(
        seconds=key_times(take.times.seconds()),
        weights={node: values.astype(np.float32) for node, values in weights.items()},
        rotations={
            node: continuous(values).astype(np.float32) for node, values in _rotations(turned, take).items()
        },
    )


def _rotations(turned: Turned, take: Take) -> dict[int, np.ndarray]:
    """Rotations of the bones: the head's in the world, an eye's in the head, each in its parent at rest."""
    turns = [(turned.head, take.rotation)]
    for bone, eye in ((turned.left_eye, 0), (turned.right_eye, 1)):
        turns.append((bone, of_eye(take.eyes[:, eye, 0], take.eyes[:, eye, 1])))
    made = {}
    for bone, turn in turns:
        if bone is not None:
            world = half_turned(turn) if turned.backward else turn
            made[bone.node] = times(times(inverse(bone.above), world), times(bone.above, bone.rest))
    return made


def with_animation(character: Character, animated: Animated, take: Take) -> bytes:
    """The character's file with one animation more."""
    document: Json = dict(character.document)
    buffer = Buffer(document.get("bufferViews"), document.get("accessors"), character.binary)
    times_at = buffer.floats(animated.seconds, bounds=True)
    samplers: list[Json] = []
    channels: list[Json] = []

    def track(node: int, path: str, values: np.ndarray) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": times_at, "output": buffer.floats(values), "interpolation": "LINEAR"})

    for node, values in animated.weights.items():
        track(node, "weights", values.reshape(-1))
    for node, values in animated.rotations.items():
        track(node, "rotation", values)
    animation = {
        "name": take.name,
        "channels": channels,
        "samplers": samplers,
        "extras": {NOTES: {"rate": str(take.rate), **take.notes}},
    }
    others = [other for other in document.get("animations", []) if other.get("name") != take.name]
    document |= {"animations": [animation, *others], "nodes": _without_matrices(character, animated)}
    document |= {"bufferViews": buffer.views, "accessors": buffer.accessors}
    return glb_bytes(document, buffer.content())


def _without_matrices(character: Character, animated: Animated) -> list[Json]:
    """The document's nodes; one that is turned gets its matrix taken apart, as glTF demands."""
    nodes = [dict(node) for node in character.document.get("nodes", [])]
    for number in animated.rotations:
        node = character.nodes[number]
        if node.has_matrix:
            nodes[number].pop("matrix")
            nodes[number] |= {
                "translation": list(node.translation),
                "rotation": list(node.rotation),
                "scale": list(node.scale),
            }
    return nodes


def _load_again(data: bytes, path: StoragePath, animated: Animated) -> None:
    """Read what was written and compare every key. Raises BadCharacter."""
    written = parse_character(data, path)
    animation = written.document["animations"][0]
    expected = {(node, "weights"): values.reshape(-1) for node, values in animated.weights.items()}
    expected |= {(node, "rotation"): values.reshape(-1) for node, values in animated.rotations.items()}
    found = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        target = channel["target"]
        found[target["node"], target["path"]] = _floats(written, sampler["output"])
        if not np.array_equal(_floats(written, sampler["input"]), animated.seconds):
            raise BadCharacter(
                f"{path}: the times that were written are not those of the take; nothing was kept"
            )
    if found.keys() != expected.keys() or any(
        not np.array_equal(found[key], expected[key]) for key in expected
    ):
        raise BadCharacter(f"{path}: the keys that were written are not those of the take; nothing was kept")


def _floats(character: Character, number: int) -> np.ndarray:
    accessor = character.document["accessors"][number]
    view = character.document["bufferViews"][accessor["bufferView"]]
    count = accessor["count"] * SHAPES[accessor["type"]]
    return np.frombuffer(character.binary, "<f4", count, view["byteOffset"])


def character_exporter(
    character: Character, rig: Rig
) -> tuple[Callable[[CoefficientTable, StoragePath], None], str]:
    """How a clip is written onto a character, and the suffix of its files. Raises BadCharacter."""
    fitting(character, rig)

    def write(table: CoefficientTable, path: StoragePath) -> None:
        write_on_character(table, path, character, rig)

    return write, character.path.suffix.lower() or ".glb"
