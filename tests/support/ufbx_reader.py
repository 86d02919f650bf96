"""Reads an FBX with ufbx in a process of its own and writes what it saw to an npz; run as a script.

    python ufbx_reader.py FILE.fbx TIMES.npy OUT.npz

ufbx 0.0.5 over-releases objects taken out of its lists: every object is kept alive and the process leaves
without tearing down.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import ufbx

_kept: list[object] = []


def keep(thing):
    _kept.append(thing)
    return thing


def items(sequence):
    sequence = keep(sequence)
    return [keep(sequence[k]) for k in range(len(sequence))]


def main() -> None:
    path, times_path, out = sys.argv[1:4]
    times = np.load(times_path)
    scene = keep(ufbx.load_file(path))
    stacks = items(scene.anim_stacks)
    animation = keep(stacks[0].anim)
    mesh = max(items(scene.meshes), key=lambda m: len(items(m.blend_deformers)))
    channels = [channel for deformer in items(mesh.blend_deformers) for channel in items(deformer.channels)]
    weights = np.array(
        [[ufbx.evaluate_blend_weight(animation, channel, float(t)) for t in times] for channel in channels]
    )
    joint = keep(items(items(mesh.skin_deformers)[0].clusters)[0].bone_node)
    rotation, translation = [], []
    for t in times:
        transform = keep(joint.evaluate_transform(animation, float(t)))
        q, p = transform.rotation, transform.translation
        rotation.append([q.x, q.y, q.z, q.w])
        translation.append([p.x, p.y, p.z])
    eyes = {keep(node).name: node for node in items(joint.children)}
    eye_rotation, eye_place = [], []
    for name in ("LeftEye", "RightEye"):
        turns = [keep(keep(eyes[name].evaluate_transform(animation, float(t))).rotation) for t in times]
        eye_rotation.append([[q.x, q.y, q.z, q.w] for q in turns])
        place = keep(keep(eyes[name].local_transform).translation)
        eye_place.append([place.x, place.y, place.z])
    layer = keep(items(scene.anim_layers)[0])
    own = {
        animated.prop_name: [
            ufbx.evaluate_anim_value_real(keep(animated.anim_value), float(t)) for t in times
        ]
        for animated in items(layer.anim_props)
        if keep(animated.element).name == joint.name and not animated.prop_name.startswith("Lcl ")
    }
    settings = keep(scene.settings)
    np.savez(
        out,
        names=np.array([channel.name for channel in channels]),
        shapes=np.array([keep(channel.target_shape).name for channel in channels]),
        weights=weights,
        rotation=np.array(rotation),
        translation=np.array(translation),
        eye_rotation=np.array(eye_rotation),
        eye_place=np.array(eye_place),
        fps=settings.frames_per_second,
        stacks=np.array([stack.name for stack in stacks]),
        span=np.array([stacks[0].time_begin, stacks[0].time_end]),
        vertices=mesh.num_vertices,
        joint=joint.name,
        own_names=np.array(list(own)),
        own=np.array(list(own.values())),
        warnings=len(items(keep(scene.metadata).warnings)),
    )
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
