"""Render the head of an exported FBX, read by Blender, with some of its morph targets at 1.

    python docs/tools/render_head_shapes.py ANY_EXPORTED.fbx docs/images/head_shapes.png

Run it with a Python that has Blender as a module (``pip install bpy``). Everything in the picture comes out
of the FBX: mesh, materials, normals, morph targets. Rendered on the CPU with Cycles.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

SHAPES = (
    ("neutral", ()),
    ("jawOpen", ("jawOpen",)),
    ("eyeBlinkLeft", ("eyeBlinkLeft",)),
    ("mouthSmileLeft + mouthSmileRight", ("mouthSmileLeft", "mouthSmileRight")),
    ("browInnerUp", ("browInnerUp",)),
    ("mouthPucker", ("mouthPucker",)),
)
COLUMNS = 3
SPACING = (0.235, 0.29)  # metres between heads
SAMPLES = 16


def read_head(path: Path):
    """Import the FBX without its animation; return the mesh object that has the morph targets."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if hasattr(bpy.ops.wm, "fbx_import"):
        bpy.ops.wm.fbx_import(filepath=str(path))
    else:
        bpy.ops.import_scene.fbx(filepath=str(path))
    head = next(item for item in bpy.data.objects if item.type == "MESH" and item.data.shape_keys)
    head.data.shape_keys.animation_data_clear()
    head.modifiers.clear()
    world = head.matrix_world.copy()
    head.parent = None
    head.matrix_world = world
    for item in list(bpy.data.objects):
        if item is not head:
            bpy.data.objects.remove(item)
    for key in head.data.shape_keys.key_blocks:
        key.value = 0.0
    return head


def place(head, number: int, label: str, names: tuple[str, ...]) -> None:
    """A copy of `head` with its targets `names` at 1, in its cell of the picture, with a caption."""
    row, column = divmod(number, COLUMNS)
    copy = head.copy()
    copy.data = head.data.copy()
    bpy.context.collection.objects.link(copy)
    for name in names:
        copy.data.shape_keys.key_blocks[name].value = 1.0
    at = ((column - (COLUMNS - 1) / 2) * SPACING[0], 0.0, -(row - 0.5) * SPACING[1])
    copy.matrix_world.translation = at
    copy.rotation_mode = "XYZ"
    copy.rotation_euler.rotate_axis("Y", -0.16)  # a little from the side, so that depth shows
    text = bpy.data.curves.new(label, "FONT")
    text.body, text.size, text.align_x = label, 0.0125, "CENTER"
    caption = bpy.data.objects.new(label, text)
    ink = bpy.data.materials.new("ink")
    ink.use_nodes = True
    ink.node_tree.nodes.clear()
    emission = ink.node_tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Color"].default_value = (0.9, 0.9, 0.9, 1.0)
    output = ink.node_tree.nodes.new("ShaderNodeOutputMaterial")
    ink.node_tree.links.new(emission.outputs[0], output.inputs[0])
    text.materials.append(ink)
    caption.location = (at[0], -0.13, at[2] - 0.147)
    caption.rotation_euler = (1.5707963, 0.0, 0.0)
    bpy.context.collection.objects.link(caption)


def light(name: str, location, rotation, energy: float, size: float) -> None:
    lamp = bpy.data.lights.new(name, "AREA")
    lamp.energy, lamp.size = energy, size
    item = bpy.data.objects.new(name, lamp)
    item.location, item.rotation_euler = location, rotation
    bpy.context.collection.objects.link(item)


def main() -> None:
    source, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    head = read_head(source)
    for number, (label, names) in enumerate(SHAPES):
        place(head, number, label, names)
    bpy.data.objects.remove(head)
    light("key", (0.9, -1.6, 1.0), (1.05, 0.0, 0.5), 34.0, 0.9)
    light("fill", (-1.4, -1.3, 0.1), (1.5, 0.0, -0.8), 9.0, 1.2)
    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    background = scene.world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.10, 0.11, 0.13, 1.0)
    camera = bpy.data.cameras.new("camera")
    camera.type, camera.ortho_scale = "ORTHO", COLUMNS * SPACING[0]
    eye = bpy.data.objects.new("camera", camera)
    eye.location, eye.rotation_euler = (0.0, -2.0, -0.005), (1.5707963, 0.0, 0.0)
    scene.collection.objects.link(eye)
    scene.camera = eye
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", SAMPLES
    scene.cycles.use_denoising = True
    scene.cycles.seed = 0
    scene.render.threads_mode, scene.render.threads = "FIXED", 2
    scene.render.resolution_x = 1080
    scene.render.resolution_y = round(1080 * 2 * SPACING[1] / (COLUMNS * SPACING[0]))
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(target)
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main()
