"""Everyone in the picture: clips of several people with known truth, made of clips of one.

    python benchmarks/accuracy/many_faces.py CLIPS... [--people 2 5 12] [--seconds 12] [--keep FOLDER]

CLIPS are videos of one person each, or folders of them, and each of another person: one who is there twice,
in the same clothes, would count as switches. Each is captured alone; those that show a face in nearly every
frame become performers: head and shoulders, played to and fro. A clip that is needed twice is mirrored the
second time, in a cold light, and stands for somebody else.

For each number of people a clip of three shots is made. In the first, two people cross over and back, one
before the other, and one of them leaves the picture and returns; after each of the two cuts everyone is in
another place, and in another size. Printed:

- rows: of the frames in which a person's face is in the picture, uncovered, and found in that person's clip
  alone, the share in which a track has it, for the person with the least;
- switches: how often a person's track becomes another one, and tracks, people and shots that were found;
- values: mean absolute difference of the coefficients, raw and final, from those of the clip alone, whose
  pixels are the same in two of the shots;
- memory and speed: peak memory of a process that captures the clip with all faces against one that captures
  a clip of the first person alone with the default settings, and frames a second.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
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
from facecap_batch.api.captures import Capture, OpenEngines, Which  # noqa: E402
from facecap_batch.capturing.settings import faces_from  # noqa: E402
from facecap_batch.video.decoder import decode  # noqa: E402

SUFFIXES = (".mp4", ".mov", ".mkv", ".mpg", ".webm", ".avi")
BACKEND = "onnxruntime-cpu"
WIDTH, HEIGHT, FPS = 1280, 720, 25
HEAD_AND_SHOULDERS = 2.4  # side of a performer's square, in sides of the face's box
MIN_FOUND = 0.9  # of the frames of a clip that becomes a performer
MIN_FRAMES = 50
COVERED = 0.1  # of a face's box: more of it hidden, and the face is not expected to be found
SAME_FACE = 0.4  # intersection over union of two boxes of one face
SIZES = (1.0, 0.8, 1.0)  # of everybody's square, in each shot
OTHER_LIGHT = (0.6, 0.8, 0.95)  # red, green, blue of a clip that is used twice
BACKGROUNDS = ((52, 60, 70), (120, 100, 84), (200, 205, 198))


@dataclasses.dataclass(frozen=True, eq=False)
class Footage:
    """One person, as filmed."""

    name: str
    frames: list[np.ndarray]  # uint8 [H, W, 3]
    square: tuple[float, float, float]  # left, top and side of head and shoulders, pixels
    other: bool = False  # mirrored and in another light

    def pictures(self, side: int) -> list[np.ndarray]:
        """Head and shoulders, uint8 [side, side, 3] each."""
        left, top, across = self.square
        scale = side / across
        matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        shown = (
            cv2.warpAffine(frame, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
            for frame in self.frames
        )
        return [(each[:, ::-1] * OTHER_LIGHT).astype(np.uint8) if self.other else each for each in shown]


@dataclasses.dataclass(frozen=True, eq=False)
class Performer:
    """One person: pictures, and what a capture of them alone gives."""

    name: str
    pictures: list[np.ndarray]  # uint8 [side, side, 3]
    alone: Capture  # of a clip of the pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """Where everybody is: F frames, P people."""

    boxes: np.ndarray  # float [F, P, 4], pixels; NaN where the person is not in the frame
    seen: np.ndarray  # bool [F, P]
    picture: np.ndarray  # int [F], number of the performers' picture that is shown
    full_size: np.ndarray  # bool [F]: the pictures have the size of the clips alone
    shots: int


def footage(paths: Sequence[Path], engines: OpenEngines) -> list[Footage]:
    """The people of the clips that show a face in nearly every frame, each once as somebody else, too."""
    found = []
    for path in paths:
        table = facecap_batch.capture(path, engines=engines).raw
        if len(table) < MIN_FRAMES or table.face_found.mean() < MIN_FOUND:
            continue
        box = np.nanmedian(table.box, axis=0)
        side = HEAD_AND_SHOULDERS * max(box[2] - box[0], box[3] - box[1])
        left, top = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2 + 0.1 * side
        found.append(Footage(path.stem, [frame.rgb() for frame in decode(path)], (left, top, side)))
    if not found:
        raise SystemExit("none of these clips shows one face in nearly every frame")
    others = [dataclasses.replace(one, name=f"{one.name} (other)", other=True) for one in found]
    return [*found, *others]


def performers(people: Sequence[Footage], count: int, folder: Path, engines: OpenEngines) -> list[Performer]:
    """The first so many who are found alone in the size that they have in the picture."""
    side = full_side(count)
    found: list[Performer] = []
    for person in people:
        pictures = person.pictures(side)
        path = write(folder / f"alone{count}-{len(found)}.mkv", pictures)
        alone = facecap_batch.capture(path, engines=engines)
        if alone.raw.face_found.mean() >= MIN_FOUND:
            found.append(Performer(person.name, pictures, alone))
        if len(found) == count:
            return found
    raise SystemExit(f"these clips give {len(found)} people of {side} pixels, not {count}")


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


def grid(count: int) -> tuple[int, int]:
    """Columns and rows of so many squares."""
    columns = next(c for c in range(1, count + 1) if c * max(1, round(c * HEIGHT / WIDTH)) >= count)
    return columns, -(-count // columns)


def full_side(count: int) -> int:
    """Pixels of each of so many squares."""
    columns, rows = grid(count)
    return int(0.95 * min(WIDTH / columns, HEIGHT / rows))


def layout(count: int, shot: int) -> np.ndarray:
    """float [count, 3]: left, top and side of everybody's square, in other places in each shot."""
    columns, rows = grid(count)
    side = round(full_side(count) * SIZES[shot])
    order = np.random.default_rng(shot).permutation(count) if shot else np.arange(count)
    cell_x, cell_y = WIDTH / columns, HEIGHT / rows
    places = np.empty((count, 3))
    for place, person in enumerate(order):
        row, column = divmod(place, columns)
        places[person] = (column + 0.5) * cell_x - side / 2, (row + 0.5) * cell_y - side / 2, side
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
    gone = np.clip(np.minimum((time - 0.5) / 0.2, (0.98 - time) / 0.2), 0, 1)
    places[-1, 1] += gone * (HEIGHT + 10 - places[-1, 1])
    return places


def compose(cast: Sequence[Performer], seconds: float, path: Path) -> Truth:
    """Write the clip; return where everybody is in it."""
    count, total = len(cast), round(seconds * FPS)
    full = len(cast[0].pictures[0])
    boxes = np.full((total, count, 4), np.nan)
    seen = np.zeros((total, count), bool)
    longest = min(len(performer.pictures) for performer in cast)
    to_and_fro = [*range(longest), *range(longest - 2, 0, -1)]
    picture = np.array([to_and_fro[index % len(to_and_fro)] for index in range(total)])
    times = 2 * np.arange(total) / total
    shots = np.searchsorted([1.0, 1.5], times, side="right")
    frames = []
    for index in range(total):
        canvas = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        canvas[:] = BACKGROUNDS[shots[index]]
        owner = np.full((HEIGHT, WIDTH), -1)
        places = places_at(count, times[index], int(shots[index]))
        for person, (x, y, side) in enumerate(places):
            left, top, across = round(x), round(y), round(side)
            tile = cast[person].pictures[picture[index]]
            if across != full:
                tile = cv2.resize(tile, (across, across), interpolation=cv2.INTER_AREA)
            x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + across, WIDTH), min(top + across, HEIGHT)
            if x1 > x0 and y1 > y0:
                canvas[y0:y1, x0:x1] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
                owner[y0:y1, x0:x1] = person
        for person, (x, y, side) in enumerate(places):
            alone = cast[person].alone.raw
            if not alone.face_found[picture[index]]:
                continue
            box = np.array([x, y, x, y]) + alone.box[picture[index]] * side / full
            x0, y0, x1, y1 = (round(edge) for edge in box)
            inside = owner[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
            boxes[index, person] = box
            seen[index, person] = (inside == person).sum() >= (1 - COVERED) * (x1 - x0) * (y1 - y0)
        frames.append(canvas)
    write(path, frames)
    return Truth(boxes, seen, picture, np.array(SIZES)[shots] == 1.0, len(SIZES))


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float [N]: intersection over union of `box` [4] with each of `others` [N, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(common / (areas - common))


def judge(taken: Capture, truth: Truth, cast: Sequence[Performer]) -> str:
    """One line of figures."""
    tracks = taken.raw_tracks
    row_of = [
        {int(table.frame_index[row]): int(row) for row in np.flatnonzero(table.face_found)}
        for table in tracks
    ]
    rows, switches = [], 0
    apart: dict[Which, list[float]] = {"raw": [], "final": []}
    for person, performer in enumerate(cast):
        frames = np.flatnonzero(truth.seen[:, person])
        shown: list[tuple[int, int, int]] = []  # frame, track, row of the track's table
        for frame in frames.tolist():
            there = [(track, rows_of[frame]) for track, rows_of in enumerate(row_of) if frame in rows_of]
            found = np.array([tracks[track].box[row] for track, row in there]).reshape(-1, 4)
            share = overlap(truth.boxes[frame, person], found)
            if len(share) and share.max() >= SAME_FACE:
                shown.append((frame, *there[int(share.argmax())]))
        rows.append(len(shown) / max(1, len(frames)))
        switches += sum(before[1] != after[1] for before, after in itertools.pairwise(shown))
        for which, differences in apart.items():
            alone = performer.alone.table(which).coefficients
            differences.append(
                float(
                    np.nanmean(
                        [
                            np.abs(taken.table(which, track).coefficients[row] - alone[truth.picture[frame]])
                            for frame, track, row in shown
                            if truth.full_size[frame]
                        ]
                    )
                )
            )
    shots = 1 if tracks[0].shot is None else int(tracks[0].shot.max()) + 1
    values = ", ".join(
        f"{which} values {np.mean(differences):.4f} apart (worst person {max(differences):.4f})"
        for which, differences in apart.items()
    )
    return (
        f"rows {100 * np.mean(rows):.1f} % (worst person {100 * min(rows):.1f} %), {switches} switches, "
        f"{len(tracks)} tracks of {len(cast)} people, {shots} of {truth.shots} shots, {values}"
    )


def measure(video: Path, faces: str) -> dict[str, float]:
    """Capture `video` in this process: frames a second, peak resident memory in MiB."""
    settings = facecap_batch.CaptureSettings(faces=faces_from(faces))
    with facecap_batch.open_engines(backend=BACKEND, settings=settings) as engines:
        began = time.perf_counter()
        frames = len(facecap_batch.capture(video, engines=engines).raw)
        took = time.perf_counter() - began
    return {"fps": frames / took, "mib": peak_mib()}


def peak_mib() -> float:
    """Peak resident memory of this process; not of its parent, which `getrusage` counts before `exec`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # macOS counts in bytes


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
    with tempfile.TemporaryDirectory() as temporary, facecap_batch.open_engines(backend=BACKEND) as engines:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        people = footage(paths, engines)
        compose(performers(people, 1, folder, engines), options.seconds, folder / "one.mkv")
        one = measured(folder / "one.mkv", "1")
        print(f" 1 of 1: {one['fps']:.0f} fps, {one['mib']:.0f} MiB", flush=True)
        for count in options.people:
            path = folder / f"people{count}.mkv"
            cast = performers(people, count, folder, engines)
            truth = compose(cast, options.seconds, path)
            taken = facecap_batch.capture(path, faces="all", backend=BACKEND)
            print(f"{count:2} people: {', '.join(performer.name for performer in cast)}")
            print(f"{'':10} {judge(taken, truth, cast)}", flush=True)
            several = measured(path, "all")
            print(
                f"{'':10} {several['fps']:.0f} fps, {several['mib']:.0f} MiB: "
                f"{several['mib'] / one['mib']:.2f} x",
                flush=True,
            )


if __name__ == "__main__":
    main()
