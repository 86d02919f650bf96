"""Everyone in the picture: clips of several people with known truth, made of clips of one.

    python benchmarks/accuracy/many_faces.py CLIPS... [--people 2 5 12] [--seconds 12] [--keep FOLDER]

CLIPS are videos of one person each, or folders of them. Each is captured alone; those that show a face in
nearly every frame become performers: head and shoulders, cut out and played to and fro. A clip that is needed
twice is mirrored the second time, with red and blue exchanged, and stands for somebody else.

For each number of people a clip of three shots is made. In the first, two people cross over and back, one
before the other, and one of them leaves the picture and returns; after each of the two cuts everyone is in
another place, and in another size. Printed:

- rows: of the frames in which a person's face is in the picture, uncovered, and found in that person's clip
  alone, the share in which a track has it, for the person with the least;
- switches: how often a person's track becomes another one, and tracks, people and shots that were found;
- difference: mean absolute difference of the raw coefficients from the clip alone, for the worst person;
- memory and speed: peak memory of a process that captures the clip with all faces against one that captures
  a clip of the first person alone with the default settings, and frames a second.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import facecap_batch  # noqa: E402
from facecap_batch.api.captures import OpenEngines  # noqa: E402
from facecap_batch.coefficients import CoefficientTable  # noqa: E402
from facecap_batch.video.decoder import decode  # noqa: E402

SUFFIXES = (".mp4", ".mov", ".mkv", ".mpg", ".webm", ".avi")
WIDTH, HEIGHT, FPS = 1280, 720, 25
TILE = 240  # pixels, of a performer's pictures
HEAD_AND_SHOULDERS = 2.4  # side of a performer's square, in sides of the face's box
MIN_FOUND = 0.9  # of the frames of a clip that becomes a performer
MIN_FRAMES = 50
COVERED = 0.1  # of a face's box: more of it hidden, and the face is not expected to be found
SAME_FACE = 0.4  # intersection over union of two boxes of one face
BACKGROUNDS = ((52, 60, 70), (120, 100, 84), (200, 205, 198))


@dataclasses.dataclass(frozen=True, eq=False)
class Performer:
    """One person: pictures, and what a capture of them alone gives."""

    name: str
    pictures: list[np.ndarray]  # uint8 [TILE, TILE, 3]
    alone: CoefficientTable  # raw, of a clip of the pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """Where everybody is: F frames, P people."""

    boxes: np.ndarray  # float [F, P, 4], pixels; NaN where the person is not in the frame
    seen: np.ndarray  # bool [F, P]
    picture: np.ndarray  # int [F], number of the performers' picture that is shown
    shots: int


def squares(path: Path) -> list[np.ndarray]:
    """Head and shoulders of the person in a clip; nothing where there is none in most frames."""
    table = facecap_batch.capture(path).raw
    if len(table) < MIN_FRAMES or table.face_found.mean() < MIN_FOUND:
        return []
    box = np.nanmedian(table.box, axis=0)
    side = HEAD_AND_SHOULDERS * max(box[2] - box[0], box[3] - box[1])
    left, top = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2 + 0.1 * side
    scale = TILE / side
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return [
        cv2.warpAffine(
            frame.rgb(), matrix, (TILE, TILE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
        )
        for frame in decode(path)
    ]


def performers(paths: Sequence[Path], count: int, folder: Path, engines: OpenEngines) -> list[Performer]:
    """`count` people; clips that are used twice are made into somebody else."""
    cast: list[tuple[str, list[np.ndarray]]] = [
        (path.stem, pictures) for path in paths if (pictures := squares(path))
    ]
    if not cast:
        raise SystemExit("none of these clips shows one face in nearly every frame")
    twins = [
        (f"{name} again", [np.ascontiguousarray(picture[:, ::-1, ::-1]) for picture in pictures])
        for name, pictures in cast
    ]
    found = []
    for number, (name, pictures) in enumerate([*cast, *twins][:count]):
        path = write(folder / f"alone{number}.mkv", pictures)
        found.append(Performer(name, pictures, facecap_batch.capture(path, engines=engines).raw))
    return found


def write(path: Path, pictures: Sequence[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10", "preset": "veryfast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, FPS)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def layout(count: int, shot: int) -> np.ndarray:
    """float [count, 3]: left, top and side of everybody's square, in other places in each shot."""
    columns = next(c for c in range(1, count + 1) if c * max(1, round(c * HEIGHT / WIDTH)) >= count)
    rows = -(-count // columns)
    side = min(WIDTH / columns, HEIGHT / rows) * (0.96, 0.8, 0.9)[shot]
    order = np.random.default_rng(shot).permutation(count) if shot else np.arange(count)
    cell_x, cell_y = WIDTH / columns, HEIGHT / rows
    places = np.empty((count, 3))
    for place, person in enumerate(order):
        row, column = divmod(place, columns)
        x, y = (column + 0.5) * cell_x - side / 2, (row + 0.5) * cell_y - side / 2
        places[person] = x, y, side
    return places


def places_at(count: int, time: float, shot: int) -> np.ndarray:
    """float [count, 3], as `layout`; `time` is that in the shot, 0..1."""
    places = layout(count, shot)
    if shot or count == 1:
        return places
    # The first two change places and go back, the second before the first.
    share = np.sin(np.pi * np.clip((time - 0.05) / 0.4, 0, 1)) ** 2
    first, second = places[0].copy(), places[1].copy()
    places[0] += share * (second - first)
    places[1] += share * (first - second)
    # The last one leaves over the lower edge and returns.
    gone = np.clip(np.minimum((time - 0.5) / 0.08, (0.95 - time) / 0.08), 0, 1)
    places[-1, 1] += gone * (HEIGHT + 10 - places[-1, 1])
    return places


def compose(cast: Sequence[Performer], seconds: float, path: Path) -> Truth:
    """Write the clip; return where everybody is in it."""
    count, total = len(cast), round(seconds * FPS)
    boxes = np.full((total, count, 4), np.nan)
    seen = np.zeros((total, count), bool)
    longest = min(len(performer.pictures) for performer in cast)
    to_and_fro = [*range(longest), *range(longest - 2, 0, -1)]
    picture = np.array([to_and_fro[index % len(to_and_fro)] for index in range(total)])
    frames = []
    for index in range(total):
        time = index / total * 2
        shot = 0 if time < 1 else 1 if time < 1.5 else 2
        canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        canvas[:] = BACKGROUNDS[shot]
        owner = np.full((HEIGHT, WIDTH), -1)
        places = places_at(count, time, shot)
        for person, (x, y, side) in enumerate(places):
            left, top, across = round(x), round(y), round(side)
            tile = cv2.resize(cast[person].pictures[picture[index]], (across, across))
            x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + across, WIDTH), min(top + across, HEIGHT)
            if x1 > x0 and y1 > y0:
                canvas[y0:y1, x0:x1] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
                owner[y0:y1, x0:x1] = person
        for person, (x, y, side) in enumerate(places):
            alone = cast[person].alone
            box = np.array([x, y, x, y]) + alone.box[picture[index]] * side / TILE
            if not alone.face_found[picture[index]]:
                continue
            x0, y0, x1, y1 = (round(edge) for edge in box)
            inside = owner[max(y0, 0) : y1, max(x0, 0) : x1]
            boxes[index, person] = box
            seen[index, person] = (inside == person).sum() >= (1 - COVERED) * (x1 - x0) * (y1 - y0)
        frames.append(canvas)
    write(path, frames)
    return Truth(boxes, seen, picture, 3)


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float [N]: intersection over union of `box` [4] with each of `others` [N, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(common / (areas - common))


def judge(tracks: Sequence[CoefficientTable], truth: Truth, cast: Sequence[Performer]) -> str:
    """One line of figures."""
    row_of = [dict(zip(t.frame_index[t.face_found].tolist(), np.flatnonzero(t.face_found))) for t in tracks]
    rows, switches, differences = [], 0, []
    for person, performer in enumerate(cast):
        last, had, apart = None, 0, []
        frames = np.flatnonzero(truth.seen[:, person])
        for frame in frames.tolist():
            there = [(track, rows_of[frame]) for track, rows_of in enumerate(row_of) if frame in rows_of]
            found = np.array([tracks[track].box[row] for track, row in there]).reshape(-1, 4)
            share = overlap(truth.boxes[frame, person], found)
            if not len(share) or share.max() < SAME_FACE:
                continue
            track, row = there[int(share.argmax())]
            had += 1
            switches += last is not None and track != last
            last = track
            alone = performer.alone.coefficients[truth.picture[frame]]
            apart.append(np.abs(tracks[track].coefficients[row] - alone))
        rows.append(had / max(1, len(frames)))
        differences.append(float(np.nanmean(apart)) if apart else np.nan)
    shots = 1 if tracks[0].shot is None else int(tracks[0].shot.max()) + 1
    return (
        f"rows {100 * min(rows):.1f} % (mean {100 * np.mean(rows):.1f} %), {switches} switches, "
        f"{len(tracks)} tracks of {len(cast)} people, {shots} of {truth.shots} shots, "
        f"difference {np.nanmax(differences):.4f} (mean {np.nanmean(differences):.4f})"
    )


def measure(video: Path, faces: str) -> dict[str, float]:
    """Capture `video` in this process: frames a second, peak resident memory in MiB."""
    with facecap_batch.open_engines(settings=facecap_batch.CaptureSettings(faces=_faces(faces))) as engines:
        began = time.perf_counter()
        frames = len(facecap_batch.capture(video, engines=engines).raw)
        took = time.perf_counter() - began
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # Linux counts in KiB, macOS in bytes
    return {"fps": frames / took, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def _faces(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def measured(video: Path, faces: str) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, str(video), "--measure", faces]
    child = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--people", type=int, nargs="+", default=[2, 5, 12])
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--keep", type=Path, help="folder for the clips that are made")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.clips[0], options.measure)))
        return
    paths = [
        path
        for given in options.clips
        for path in (sorted(given.iterdir()) if given.is_dir() else [given])
        if path.suffix.lower() in SUFFIXES
    ]
    with tempfile.TemporaryDirectory() as temporary, facecap_batch.open_engines() as engines:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cast = performers(paths, max(options.people), folder, engines)
        print(f"performers: {', '.join(performer.name for performer in cast)}", flush=True)
        compose(cast[:1], options.seconds, folder / "one.mkv")
        one = measured(folder / "one.mkv", "1")
        print(f" 1 of 1: {one['fps']:.0f} fps, {one['mib']:.0f} MiB", flush=True)
        for count in options.people:
            path = folder / f"people{count}.mkv"
            truth = compose(cast[:count], options.seconds, path)
            tracks = facecap_batch.capture(path, faces="all").raw_tracks
            print(f"{count:2} people: {judge(tracks, truth, cast[:count])}", flush=True)
            several = measured(path, "all")
            print(
                f"{'':10} {several['fps']:.0f} fps, {several['mib']:.0f} MiB: "
                f"{several['mib'] / one['mib']:.2f} x",
                flush=True,
            )


if __name__ == "__main__":
    main()
