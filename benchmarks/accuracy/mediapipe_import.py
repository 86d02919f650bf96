"""The imported MediaPipe set against MediaPipe itself: the networks alone, then whole clips.

    python benchmarks/accuracy/mediapipe_import.py face_landmarker.task CLIP... --references FOLDER \\
        [--baseline-python VENV/bin/python --baseline-script SCRIPT.py] [--litert-python VENV/bin/python]

--references holds one Parquet table per clip with MediaPipe's own results: `frame_index`, `face_found`,
the ARKit names and, optionally, r00 .. r22, its facial transformation. With --baseline-python and
--baseline-script they are made first: the script is given `--model`, `--reference-dir` and the clips.

1. Networks (with --litert-python, an environment with ai-edge-litert): the same random input through the
   TensorFlow Lite interpreter and through the converted ONNX graph; the largest difference of each output,
   over the largest value in it.
2. Clips: the raw tables of the imported set, on onnxruntime-cpu. Per clip and over all: frames with a face
   here and there, mean absolute difference of the 51 coefficients over the frames that both saw, and the mean
   angle between the head's rotations, as it is and after the best constant one (MediaPipe measures against
   the camera with a fixed vertical field of view of 63 degrees, this project with a fixed focal length).

MediaPipe in video mode smooths its landmarks over time; raw tables are not smoothed. For both speeds:

    python benchmarks/speed/throughput.py CLIP... --option=--engines=FOLDER --baseline-python ... \\
        --baseline-script ... --baseline-model face_landmarker.task
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.capturing.pipeline import FaceCapture
from facecap_batch.clip import Clip
from facecap_batch.coefficients import ARKIT_NAMES, CoefficientTable
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import load_set
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.importing.mediapipe.importer import import_mediapipe
from facecap_batch.importing.mediapipe.onnx_builder import OnnxGraph
from facecap_batch.importing.mediapipe.task_bundle import BLENDSHAPES, DETECTOR, LANDMARKS, read_task
from facecap_batch.importing.mediapipe.tflite_layout import LaidOut, natural
from facecap_batch.importing.mediapipe.tflite_operators import convert

INTERPRET = """
import sys, zipfile, numpy
from ai_edge_litert.interpreter import Interpreter
task, part, given, wanted = sys.argv[1:]
network = Interpreter(model_content=zipfile.ZipFile(task).read(part))
network.allocate_tensors()
rows = []
for item in numpy.load(given):
    network.set_tensor(network.get_input_details()[0]["index"], item[None])
    network.invoke()
    rows.append([network.get_tensor(entry["index"]).ravel() for entry in network.get_output_details()])
numpy.savez(wanted, *[numpy.stack(column) for column in zip(*rows)])
"""
ITEMS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """How the imported set and MediaPipe compare on one clip."""

    frames: int
    baseline_found: int  # frames
    ours_found: int
    both_found: int
    differences: np.ndarray  # float64 [both, 51], absolute
    degrees: np.ndarray  # float64 [both], between the head's rotations
    degrees_aligned: np.ndarray  # float64 [both], after the best constant rotation


def network_differences(task: Path, python: Path, folder: Path) -> None:
    import onnxruntime

    bundle = read_task(task)
    random = np.random.default_rng(0)
    for part, graph in (
        (DETECTOR, bundle.detector),
        (LANDMARKS, bundle.landmarks),
        (BLENDSHAPES, bundle.blendshapes),
    ):
        shape = graph.tensors[graph.inputs[0]].shape[1:]
        batch = random.uniform(0, 1, (ITEMS, *shape)).astype(np.float32)
        onnx_graph = OnnxGraph(part)
        value = LaidOut(onnx_graph.input("input", "float32", ("N", *shape)), natural(1 + len(shape)))
        for number, name in enumerate(convert(graph, onnx_graph, [value], part)):
            size = int(np.prod(graph.tensors[graph.outputs[number]].shape))
            onnx_graph.output(onnx_graph.reshape(name, -1, size), f"output{number}", ("N", size))
        session = onnxruntime.InferenceSession(onnx_graph.model())
        ours = session.run(None, {"input": batch})
        given, wanted = folder / "given.npy", folder / "wanted.npz"
        np.save(given, batch)
        subprocess.run(
            [str(python), "-c", INTERPRET, str(task), part, str(given), str(wanted)],
            check=True,
            capture_output=True,
        )
        with np.load(wanted) as theirs:
            for number, (a, b) in enumerate(zip(ours, theirs.values(), strict=True)):
                print(
                    f"{part}, output {number} {list(a.shape[1:])}: largest difference "
                    f"{np.abs(a - b).max():.2g} of {np.abs(b).max():.3g}"
                )


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in table[name].to_pylist()], np.float64)


def agreement(ours: CoefficientTable, baseline: pa.Table) -> Agreement:
    here = ours.face_found
    there = np.array(baseline["face_found"].to_pylist(), bool)
    frames = min(len(here), len(there))
    here, there = here[:frames], there[:frames]
    both = here & there
    differences, degrees, aligned = np.zeros((0, len(ARKIT_NAMES))), np.zeros(0), np.zeros(0)
    if both.any():
        theirs = np.stack([column(baseline, name)[:frames][both] for name in ARKIT_NAMES], 1)
        differences = np.abs(ours.coefficients[:frames][both] - theirs)
    if both.any() and "r00" in baseline.column_names:
        rotations = matrix_from_euler(ours.head[:frames][both, :3])
        rows = [
            np.stack([column(baseline, f"r{i}{j}")[:frames][both] for j in range(3)], 1) for i in range(3)
        ]
        theirs = np.stack(rows, 1)
        theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
        left, _, right = np.linalg.svd(np.einsum("nji,njk->ik", rotations, theirs))
        constant = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
        degrees, aligned = angle_between(rotations, theirs), angle_between(rotations @ constant, theirs)
    return Agreement(
        frames, int(there.sum()), int(here.sum()), int(both.sum()), differences, degrees, aligned
    )


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees [N] between rotations [N, 3, 3]."""
    degrees: np.ndarray = np.degrees(np.arccos(np.clip((np.einsum("nij,nij->n", a, b) - 1) / 2, -1, 1)))
    return degrees


def mean(values: np.ndarray) -> str:
    return f"{values.mean():8.4f}" if values.size else "       –"


def line(name: str, clip: Agreement) -> str:
    return (
        f"{name:26s} {clip.frames:6d} {clip.baseline_found:10d} {clip.both_found:8d} {clip.ours_found:8d}"
        f"  {mean(clip.differences)}  {mean(clip.degrees)}  {mean(clip.degrees_aligned)}"
    )


def total(clips: list[Agreement]) -> Agreement:
    counts = [sum(getattr(clip, field.name) for clip in clips) for field in dataclasses.fields(Agreement)[:4]]
    arrays = [
        np.concatenate([getattr(clip, field.name) for clip in clips])
        for field in dataclasses.fields(Agreement)[4:]
    ]
    return Agreement(*counts, *arrays)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", type=Path)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--baseline-python", type=Path)
    parser.add_argument("--baseline-script", type=Path)
    parser.add_argument("--litert-python", type=Path)
    arguments = parser.parse_args()
    if arguments.baseline_python and arguments.baseline_script:
        command = [arguments.baseline_python, arguments.baseline_script, "--model", arguments.task]
        command += ["--reference-dir", arguments.references, *arguments.clips]
        subprocess.run([str(word) for word in command], check=True)
    with tempfile.TemporaryDirectory(prefix="mediapipe-") as temporary:
        folder = Path(temporary)
        if arguments.litert_python:
            network_differences(arguments.task, arguments.litert_python, folder)
            print()
        import_mediapipe(arguments.task, folder / "mediapipe")
        detector, regressor = (
            open_engine(card, "onnxruntime-cpu") for card in load_set(folder / "mediapipe").cards
        )
        print(f"{'clip':26s} frames   baseline     both     ours  mean |d|  rotation°   aligned°")
        clips = []
        for path in arguments.clips:
            table = FaceCapture(detector, regressor).capture(Clip(path.stem, str(path.resolve())))
            clips.append(agreement(table, pq.read_table(arguments.references / f"{path.stem}.parquet")))
            print(line(path.stem, clips[-1]), flush=True)
    whole = total(clips)
    print(line("all", whole))
    means = whole.differences.mean(0)
    worst = ", ".join(f"{ARKIT_NAMES[k]} {means[k]:.3f}" for k in np.argsort(-means)[:6])
    print(f"coefficients that differ most: {worst}")


if __name__ == "__main__":
    main()
