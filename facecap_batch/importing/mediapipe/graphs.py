"""MediaPipe's face networks put together as a detector and a regressor of our contract.

In: a `FaceLandmarkerTask`. Out: ONNX files. The detector is the short-range face detector with its anchors
decoded. The regressor is everything MediaPipe does to one face: the same detector finds the face and its eyes
in the crop, an upright square around it is resampled, 478 landmarks are found there and mapped back, and
from them come the blendshapes and the head's pose.

Constants of MediaPipe are those of its graphs (google-ai-edge/mediapipe, mediapipe/tasks/cc/vision:
face_detector/face_detector_graph.cc, face_landmarker/face_blendshapes_graph.cc,
face_landmarker/face_landmarks_detector_graph.cc). Those marked "fitted" are ours: means over the faces of
twelve clips of how the detector's box lies to the bounds of the landmarks.
"""

from __future__ import annotations

import numpy as np

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.cards import BATCH
from facecap_batch.importing.mediapipe.head_fit import fit_head
from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph
from facecap_batch.importing.mediapipe.resampling import resampled
from facecap_batch.importing.mediapipe.task_bundle import BLENDSHAPES, DETECTOR, LANDMARKS, FaceLandmarkerTask
from facecap_batch.importing.mediapipe.tflite_layout import CHANNELS_FIRST, LaidOut, natural
from facecap_batch.importing.mediapipe.tflite_operators import convert

DETECTOR_SIZE, LANDMARKS_SIZE = 128, 256  # pixels, sides of the networks' inputs
CROP_SIZE = 2 * DETECTOR_SIZE
# Cells along each side of the detector's two levels, and anchors per cell; all anchors are as large as the
# image, so that only their centres matter.
LEVELS = ((16, 2), (8, 6))
ANCHORS = sum(cells**2 * each for cells, each in LEVELS)
# Columns of the detector's 16 numbers per anchor: box centre and size, then six keypoints, eyes first.
SIZE, RIGHT_EYE, LEFT_EYE = 2, 4, 6
BOX_SHIFT = -0.056  # fitted: from the box's centre to that of the landmarks' bounds, down, in box sides
BOX_GROWTH = 1.12  # fitted: longer side of the landmarks' bounds over the box's side
BOX_WIDTH = 0.92  # fitted: their width over it
RECTANGLE = 1.5  # side of the square that the landmark network sees over the longer side of the bounds
POSITION_GRID, STEP_GRID = 16, 1024  # of the square's middle and of its steps, per pixel of the crop
POINTS = 478
CORNERS = (33, 133, 263, 362)  # landmarks: corners of the right and the left eye
CENTRE_PULL = 32.0  # logits per squared half crop: what an anchor loses for lying off the middle

# What the blendshape network is fed: landmarks by number, in its order.
SHAPE_POINTS = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70,
    78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149,
    150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195,
    197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300,
    308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375,
    377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454,
    466, 468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
)  # fmt: skip
# Its outputs: the ARKit names in alphabetical order behind one more (which is not used), no tongue.
SHAPE_NAMES = ("_neutral", *sorted(ARKIT_NAMES))


def anchor_centres() -> np.ndarray:
    """float32 [896, 2]: x and y of every anchor's centre, 0..1, in the order of the detector's outputs."""
    levels = []
    for cells, each in LEVELS:
        y, x = (np.mgrid[:cells, :cells] + 0.5) / cells
        levels.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), each, axis=0))
    return np.concatenate(levels).astype(np.float32)


def detector_model(task: FaceLandmarkerTask) -> bytes:
    """The detector: image uint8 [N, 128, 128, 3] RGB to boxes [N, 896, 4] (x0 y0 x1 y1, pixels of the input)
    and scores [N, 896] (0..1)."""
    graph = OnnxGraph("mediapipe-detector")
    image = graph.input("image", "uint8", (BATCH, DETECTOR_SIZE, DETECTOR_SIZE, 3))
    pixels = graph.node("Cast", graph.node("Transpose", image, perm=[0, 3, 1, 2]), to=1)
    pixels = graph.node("Sub", graph.node("Mul", pixels, graph.floats(1 / 127.5)), graph.floats(1.0))
    found, logits = _detections(graph, task, pixels)
    centre, size = graph.slice(found, 2, 0, 2), graph.slice(found, 2, SIZE, SIZE + 1)
    down = graph.floats(0.0, BOX_SHIFT)
    centre = graph.node("Add", centre, graph.node("Mul", size, down))
    half = graph.node("Mul", size, graph.floats(BOX_WIDTH / 2, BOX_GROWTH / 2))
    corners = [graph.node(operator, centre, half) for operator in ("Sub", "Add")]
    graph.output(graph.concat(corners, 2), "boxes", (BATCH, ANCHORS, 4))
    scores = graph.node("Sigmoid", graph.reshape(logits, 0, ANCHORS))
    graph.output(scores, "scores", (BATCH, ANCHORS))
    return graph.model()


def regressor_model(task: FaceLandmarkerTask) -> bytes:
    """The regressor: crop uint8 [N, 256, 256, 3] RGB to outputs [N, 57] (`coefficients.OUTPUT_NAMES`),
    landmarks [N, 478, 2] (crop units -1..1, v down) and presence [N] (0..1)."""
    graph = OnnxGraph("mediapipe-regressor")
    crop = graph.input("crop", "uint8", (BATCH, CROP_SIZE, CROP_SIZE, 3))
    affine = _upright_square(graph, task, crop)
    pixels = graph.node(
        "Mul", resampled(graph, crop, CROP_SIZE, affine, LANDMARKS_SIZE), graph.floats(1 / 255)
    )
    inputs = [LaidOut(pixels, CHANNELS_FIRST)]
    points, presence, _ = convert(task.landmarks, graph, inputs, LANDMARKS)
    landmarks = _in_crop(graph, graph.reshape(points, 0, POINTS, 3), affine)

    flat = graph.slice(landmarks, 2, 0, 2)
    chosen = graph.node("Gather", flat, graph.integers(*SHAPE_POINTS), axis=1)
    (shapes,) = convert(task.blendshapes, graph, [LaidOut(chosen, natural(3))], BLENDSHAPES)
    order = graph.integers(*(SHAPE_NAMES.index(name) for name in ARKIT_NAMES))
    coefficients = graph.node("Gather", shapes, order, axis=1)
    head = _head(graph, task, landmarks)
    graph.output(graph.concat([coefficients, head], 1), "outputs", (BATCH, len(ARKIT_NAMES) + 6))
    graph.output(flat, "landmarks", (BATCH, POINTS, 2))
    graph.output(graph.node("Sigmoid", graph.reshape(presence, -1)), "presence", (BATCH,))
    return graph.model()


def _detections(graph: OnnxGraph, task: FaceLandmarkerTask, pixels: str) -> tuple[str, str]:
    """The detector's outputs for pixels [N, 3, 128, 128] in -1..1: per anchor 16 numbers [N, 896, 16],
    positions and sizes in its pixels, and a logit [N, 896, 1]."""
    offsets, logits = convert(task.detector, graph, [LaidOut(pixels, CHANNELS_FIRST)], DETECTOR)
    centres = np.tile(anchor_centres() * DETECTOR_SIZE, 8)  # x and y by turns, as the 16 numbers are
    centres[:, SIZE : SIZE + 2] = 0
    return graph.node("Add", offsets, graph.constant(centres[None])), logits


def _upright_square(graph: OnnxGraph, task: FaceLandmarkerTask, crop: str) -> str:
    """[N, 2, 3]: the map from a position (x, y, 1) in the landmark network's input, pixels from its middle,
    to a position in the crop, pixels.

    The outputs of all anchors are averaged, each weighted by its confidence in a face and by how near the
    middle it lies, so that a second face in the crop does not draw the square away.
    """
    pixels = graph.node("Cast", graph.node("Transpose", crop, perm=[0, 3, 1, 2]), to=1)
    halving = np.eye(3, dtype=np.float32)[:, :, None, None].repeat(2, 2).repeat(2, 3) / (4 * 127.5)
    bias = graph.constant(-np.ones(3, np.float32))
    small = graph.node("Conv", pixels, graph.constant(halving), bias, strides=[2, 2])
    found, logits = _detections(graph, task, small)
    pull = CENTRE_PULL * ((anchor_centres() - 0.5) ** 2).sum(1)
    certain = graph.node("Softmax", graph.node("Sub", logits, graph.constant(pull[None, :, None])), axis=1)
    rows = graph.node("Transpose", certain, perm=[0, 2, 1])
    face = graph.reshape(graph.node("MatMul", rows, found), 0, 16)  # pixels of the halved crop

    across = graph.node(
        "Sub", graph.slice(face, 1, LEFT_EYE, LEFT_EYE + 2), graph.slice(face, 1, RIGHT_EYE, RIGHT_EYE + 2)
    )
    length = graph.node("Sqrt", graph.sum_of_products(across, across, 1))
    across = graph.node("Div", across, graph.node("Max", length, graph.floats(1e-3)))
    x, y = graph.slice(across, 1, 0, 1), graph.slice(across, 1, 1, 2)
    down = graph.concat([graph.node("Neg", y), x], 1)
    side = graph.node("ReduceMax", graph.slice(face, 1, SIZE, SIZE + 2), graph.integers(1), keepdims=1)

    scale = CROP_SIZE / DETECTOR_SIZE
    centre = graph.node("Mul", graph.slice(face, 1, 0, 2), graph.floats(scale))
    shift = graph.node("Mul", side, graph.floats(scale * BOX_SHIFT))
    centre = graph.node("Add", centre, graph.node("Mul", down, shift))
    step = graph.node("Mul", side, graph.floats(scale * RECTANGLE * BOX_GROWTH / LANDMARKS_SIZE))
    steps = [_snapped(graph, graph.node("Mul", direction, step), STEP_GRID) for direction in (across, down)]
    columns = [*steps, _snapped(graph, centre, POSITION_GRID)]
    return graph.concat([graph.reshape(column, 0, 2, 1) for column in columns], 2)


def _snapped(graph: OnnxGraph, values: str, grid: int) -> str:
    """To whole multiples of 1 / grid, which float32 computes with exactly: every backend resamples alike."""
    whole = graph.node("Add", graph.node("Mul", values, graph.floats(grid)), graph.floats(0.5))
    return graph.node("Mul", graph.node("Floor", whole), graph.floats(1 / grid))


def _in_crop(graph: OnnxGraph, points: str, affine: str) -> str:
    """Landmarks [N, 478, 3] in the landmark network's pixels, as crop units -1..1: u right, v down, and
    depth away from the viewer in the same unit."""
    centred = graph.node("Sub", points, graph.floats(LANDMARKS_SIZE / 2, LANDMARKS_SIZE / 2, 0.0))
    flat = graph.slice(centred, 2, 0, 2)
    linear = graph.node("Transpose", graph.slice(affine, 2, 0, 2), perm=[0, 2, 1])
    centre = graph.node("Transpose", graph.slice(affine, 2, 2, 3), perm=[0, 2, 1])
    positions = graph.node("Add", graph.node("MatMul", flat, linear), centre)
    unit = graph.floats(2 / CROP_SIZE)
    positions = graph.node("Sub", graph.node("Mul", positions, unit), graph.floats(1.0))
    across = graph.slice(affine, 2, 0, 1)
    step = graph.node("Sqrt", graph.sum_of_products(across, across, 1))  # [N, 1, 1]
    depth = graph.node("Mul", graph.slice(centred, 2, 2, 3), graph.node("Mul", step, unit))
    return graph.concat([positions, depth], 2)


def _head(graph: OnnxGraph, task: FaceLandmarkerTask, landmarks: str) -> str:
    """[N, 6]: yaw, pitch, roll; u, v of the point midway between the eyes; ln of the crop's width in cm."""
    mesh = graph.slice(landmarks, 1, 0, len(task.canonical))
    facing = graph.node("Mul", mesh, graph.floats(1.0, -1.0, -1.0))  # y up, z toward the viewer
    origin = task.canonical[list(CORNERS)].mean(0)
    pose = fit_head(graph, facing, task.canonical, task.weights, origin)
    position = graph.node("Mul", graph.slice(pose.position, 1, 0, 2), graph.floats(1.0, -1.0))
    scale = graph.node("Max", pose.scale, graph.floats(1e-6))
    width = graph.node("Log", graph.node("Div", graph.floats(2.0), scale))
    return graph.concat([pose.angles, position, width], 1)
