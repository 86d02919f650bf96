"""What Blender shows of a character's file at some times; run by a Python that has `bpy`.

    python read_in_blender.py FILE TIMES.json OUT.json

Weights of the shape keys; rotations of the bones in the world, in Blender's axes (z up), as matrices. Blender
gives bones axes of its own, so rotations say how a bone turns, not how it lies.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import bpy

FPS = 30


def main() -> None:
    source, times_file, out = map(Path, sys.argv[1:4])
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "character.glb"  # Blender goes by the name; a VRM is a GLB
        shutil.copy(source, copy)
        bpy.ops.import_scene.gltf(filepath=str(copy))
    mesh = next(each for each in bpy.data.objects if each.type == "MESH" and each.data.shape_keys)
    armature = next(each for each in bpy.data.objects if each.type == "ARMATURE")
    keys = [key for key in mesh.data.shape_keys.key_blocks if key.name != "Basis"]
    weights: dict[str, list[float]] = {key.name: [] for key in keys}
    rotations: dict[str, list[list[list[float]]]] = {bone.name: [] for bone in armature.pose.bones}
    for time in json.loads(times_file.read_text()):
        frame = time * FPS
        scene.frame_set(int(frame), subframe=frame - int(frame))
        for key in keys:
            weights[key.name].append(key.value)
        for bone in armature.pose.bones:
            world = (armature.matrix_world @ bone.matrix).to_3x3().normalized()
            rotations[bone.name].append([list(row) for row in world])
    out.write_text(json.dumps({"weights": weights, "rotations": rotations}))


if __name__ == "__main__":
    main()
