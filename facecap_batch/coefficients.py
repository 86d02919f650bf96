"""The one place that knows the names of the columns, the table of a clip and its Parquet schema.

`CoefficientTable`, one track of a clip, is what flows from capture to solve and from solve to the exporters.
`write_tracks` and `read_tracks` are its only persistent form, the same for ``raw/`` and ``coefficients/``:
all tracks of a clip in one file, one after the other, so that one can be read without the others.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Container, Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facecap_batch.geometry import ANGLE_CONVENTION, GAZE_CONVENTION, gaze
from facecap_batch.numerals import exact
from facecap_batch.storage.columns import known_column, number_column, read_table, value_column
from facecap_batch.storage.publish import StoragePath, published

# Apple's ARFaceAnchor.BlendShapeLocation order without its last; left and right are the subject's.
ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight",
    "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft",
    "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft",
    "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft", "browDownRight",
    "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
# Apple's 52. Only some regressors have an output for the last: only their tables have a column for it, behind
# the 57 that every table has.
SHAPE_NAMES: tuple[str, ...] = (*ARKIT_NAMES, "tongueOut")
HEAD_ANGLE_NAMES = ("headYaw", "headPitch", "headRoll")
HEAD_POSITION_NAMES = ("headX", "headY", "headZ")
BOX_NAMES = ("x0", "y0", "x1", "y1")
OUTPUT_NAMES: tuple[str, ...] = ARKIT_NAMES + HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES
# Columns of a raw table whose regressor says how sure it is: the standard error of each coefficient.
SPREAD_NAMES: tuple[str, ...] = tuple(f"{name}Spread" for name in SHAPE_NAMES)

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("track", pa.int16(), nullable=False),
        pa.field("frame_index", pa.int32(), nullable=False),
        pa.field("pts", pa.int64(), nullable=False),
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("face_found", pa.bool_(), nullable=False),
        pa.field("score", pa.float32()),
        *(pa.field(name, pa.float32()) for name in BOX_NAMES + OUTPUT_NAMES),
    ]
)

# Column of a table whose clip was captured with several faces, int16: the shot that the frame is of.
SHOT_NAME = "shot"

# With landmarks also the columns of these (`landmark_names`), and where the eyes look.
GAZE_NAMES = ("gazeLeftYaw", "gazeLeftPitch", "gazeRightYaw", "gazeRightPitch")
_LANDMARK = re.compile(r"landmark\d{2,}[XY]", re.IGNORECASE)
_CONVENTIONS = {  # metadata of a file with these columns
    "landmark_convention": "pixels of the upright frame, as the face box: x right, y down, 0 0 the upper "
    "left corner of its first pixel; numbered as the regressor numbers them",
    "gaze_convention": GAZE_CONVENTION,
}

_LOOK = (f"eyeLook{way}{side}" for side in ("Left", "Right") for way in ("Out", "In", "Up", "Down"))
LOOK_COLUMNS = [ARKIT_NAMES.index(name) for name in _LOOK]  # of coefficients, as `geometry.eye_turns` takes

# Whether a coefficient is of lids, gaze or brows: bool for each of ARKIT_NAMES.
UPPER_FACE = tuple(name.startswith(("eye", "brow")) for name in ARKIT_NAMES)
# Which coefficients depend on a part of the face and are unknown where it is hidden, bool for each of
# SHAPE_NAMES: left eye, right eye, mouth.
REGION_CHANNELS = tuple(
    tuple(name.startswith(stems) and (not side or name.endswith(side)) for name in SHAPE_NAMES)
    for stems, side in (
        (("eye", "browDown", "browOuterUp", "cheekSquint"), "Left"),
        (("eye", "browDown", "browOuterUp", "cheekSquint"), "Right"),
        (("jaw", "mouth", "cheekPuff", "tongue"), ""),
    )
)
# Metadata key of a raw table: the regressor's gains (see `EngineCard.gains`) as JSON; the solve applies them.
GAINS_METADATA = "regressor_gains"
# And where its coefficients rest (`EngineCard.rest`): the solve stretches movements about it.
REST_METADATA = "regressor_rest"


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """Facts about a whole clip."""

    clip_id: str
    source: str  # name of the video file
    width: int  # pixels, upright
    height: int  # pixels, upright
    fps: Fraction  # frames per second, those of the usual step from frame to frame
    time_base: Fraction  # seconds per pts unit
    rotation: int  # degrees counterclockwise applied to the coded image to make it upright: 0, 90, 180, 270
    variable_rate: bool  # True where pts steps differ by more than a rounding of the time base


@dataclasses.dataclass(frozen=True, eq=False)
class CoefficientTable:
    """One track of one clip.

    The main subject, track 0, has one row for every decoded frame, found or not; another person has them from
    the first frame in which that face was found to the last.
    Rows in which nothing is known hold NaN in every field of floats (null in Parquet); where a part of the
    face is hidden, the coefficients that depend on it do (REGION_CHANNELS).
    Columns that the regressor has no output for hold NaN throughout.
    """

    info: ClipInfo
    frame_index: np.ndarray  # int32 [N], order of presentation, from 0
    pts: np.ndarray  # int64 [N], units of info.time_base, as in the container
    face_found: np.ndarray  # bool [N], seen in this frame; False also where values were interpolated
    score: np.ndarray  # float32 [N], 0..1
    box: np.ndarray  # float32 [N, 4], x0 y0 x1 y1, pixels of the upright frame
    coefficients: np.ndarray  # float32 [N, S], 0..1, `shape_names` order; S is 51, or 52 with the tongue
    head: np.ndarray  # float32 [N, 6], headYaw headPitch headRoll radians, headX headY headZ centimetres
    track: int = 0
    extra_names: tuple[str, ...] = ()  # outputs of the regressor that are in none of the above: E columns
    extra: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))  # [N, E]
    # float32 [N, S], standard error of each coefficient; [N, 0] where the regressor does not say, or solved.
    spread: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.float32))
    shot: np.ndarray | None = None  # int16 [N], number of the frame's shot, from 0; None: not looked for
    # float32 [N, P, 2], x y of landmarks, pixels of the upright frame, within it or not; P is 0 where nobody
    # asked for them.
    landmarks: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 2), np.float32))
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)  # engines, hashes, licence ...

    def __post_init__(self) -> None:
        """Raises ValueError where the columns do not belong together."""
        for name in ("extra", "spread", "landmarks"):  # where they are not given there are none
            values = getattr(self, name)
            if not values.size:
                object.__setattr__(self, name, np.zeros((len(self), *values.shape[1:]), np.float32))
        rows, width = len(self.frame_index), self.coefficients.shape[-1]
        shapes: dict[str, tuple[int, ...]] = {
            "frame_index": (rows,),
            "pts": (rows,),
            "face_found": (rows,),
            "score": (rows,),
            "box": (rows, len(BOX_NAMES)),
            "coefficients": (rows, min(max(width, len(ARKIT_NAMES)), len(SHAPE_NAMES))),
            "head": (rows, len(HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES)),
            "extra": (rows, len(self.extra_names)),
            "spread": (rows, width if self.spread.shape[-1] else 0),
            "landmarks": (rows, *self.landmarks.shape[1:2], 2),
            **({} if self.shot is None else {SHOT_NAME: (rows,)}),
        }
        wrong = [
            f"{name} is {list(getattr(self, name).shape)}, not {list(shape)}"
            for name, shape in shapes.items()
            if getattr(self, name).shape != shape
        ]
        if wrong:
            raise ValueError(
                f"clip {self.info.clip_id!r}: a table of {rows} frames needs one row per frame in every "
                f"column: {'; '.join(wrong)}"
            )
        if not set(self.extra_names).isdisjoint(SHAPE_NAMES):
            raise ValueError(f"clip {self.info.clip_id!r}: a coefficient is among {self.extra_names}")

    def __len__(self) -> int:
        return len(self.frame_index)

    @property
    def name(self) -> str:
        """Name of the track's files and of its animation: that of the clip, or of the person in it."""
        return track_name(self.info.clip_id, self.track)

    @property
    def shape_names(self) -> tuple[str, ...]:
        """Names of the columns of `coefficients`: ARKIT_NAMES or SHAPE_NAMES."""
        return SHAPE_NAMES[: self.coefficients.shape[1]]

    @property
    def spread_names(self) -> tuple[str, ...]:
        """Names of the columns of `spread`."""
        return SPREAD_NAMES[: self.spread.shape[1]]

    @property
    def landmark_names(self) -> tuple[str, ...]:
        """Names of the columns of `landmarks`, x and y of each in turn."""
        return landmark_names(self.landmarks.shape[1])

    def gaze(self) -> np.ndarray:
        """float32 [N, 4]: where the eyes look, as the columns GAZE_NAMES; see `geometry.gaze`."""
        return gaze(self.coefficients[:, LOOK_COLUMNS], self.head[:, :3])

    def time_s(self) -> np.ndarray:
        """float64 [N], seconds: pts times time base, each rounded once from the exact rational."""
        base = self.info.time_base
        return np.array([float(int(pts) * base) for pts in self.pts], dtype=np.float64)

    def replace(self, **changes: object) -> CoefficientTable:
        """A table with other values in the fields named; raises ValueError where they do not fit the rest."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def rows(self, start: int, stop: int) -> CoefficientTable:
        """The rows from `start` to before `stop`."""
        part = slice(start, stop)
        return self.replace(
            **{name: getattr(self, name)[part] for name in ROW_FIELDS},
            shot=None if self.shot is None else self.shot[part],
        )


# Fields of a table with an item for each row, but for `shot`, which not every table has.
ROW_FIELDS = (
    "frame_index", "pts", "face_found", "score", "box", "coefficients", "head", "extra", "spread",
    "landmarks",
)  # fmt: skip


def shape_names(columns: Container[str]) -> tuple[str, ...]:
    """Names of the coefficients of a table with these columns, or of a regressor with these outputs."""
    return SHAPE_NAMES if SHAPE_NAMES[-1] in columns else ARKIT_NAMES


def landmark_names(count: int) -> tuple[str, ...]:
    """Columns of `count` landmarks: ``landmark00X landmark00Y landmark01X`` … , as many digits as sort."""
    digits = max(2, len(str(count - 1)))
    return tuple(f"landmark{number:0{digits}}{axis}" for number in range(count) for axis in "XY")


def is_landmark(name: str) -> bool:
    """Whether a column, in any case, is called like one of a landmark."""
    return _LANDMARK.fullmatch(name) is not None


def track_name(clip_id: str, track: int) -> str:
    """``take1`` for the main subject of a clip, ``take1.track2`` for track 2; no `clip_id` ends like that."""
    return f"{clip_id}.track{track}" if track else clip_id


def to_arrow(table: CoefficientTable) -> pa.Table:
    """The table as Arrow: the columns of SCHEMA; behind them the tongue and the regressor's own, the spread,
    the shot, and with landmarks these and the gaze; NaN becomes null, metadata become those of the schema."""
    n = len(table)
    clip_ids = pa.DictionaryArray.from_arrays(
        number_column(np.zeros(n, np.int32)), value_column([table.info.clip_id], pa.string())
    )
    columns: list[pa.Array] = [
        clip_ids,
        number_column(np.full(n, table.track, np.int16)),
        number_column(table.frame_index.astype(np.int32)),
        number_column(table.pts.astype(np.int64)),
        number_column(table.time_s()),
        number_column(table.face_found.astype(bool)),
        known_column(table.score),
    ]
    usual, tongue = np.hsplit(table.coefficients, [len(ARKIT_NAMES)])
    for block in (table.box, usual, table.head, tongue, table.extra, table.spread):
        columns += [known_column(block[:, column]) for column in range(block.shape[1])]
    if table.shot is not None:
        columns.append(number_column(table.shot.astype(np.int16)))
    points = table.landmark_names
    if points:
        block = np.concatenate([table.landmarks.reshape(n, len(points)), table.gaze()], axis=1)
        columns += [known_column(block[:, column]) for column in range(block.shape[1])]
        points += GAZE_NAMES
    info = table.info
    metadata = {
        **table.metadata,
        **(_CONVENTIONS if points else {}),
        "fps": str(info.fps),
        "time_base": str(info.time_base),
        "rotation": str(info.rotation),
        "angle_convention": ANGLE_CONVENTION,
        "clip": json.dumps(
            {
                "clip_id": info.clip_id,
                "source": info.source,
                "width": info.width,
                "height": info.height,
                "variable_rate": info.variable_rate,
            },
            ensure_ascii=False,
            sort_keys=True,
        ),
    }
    own = (*table.shape_names[len(ARKIT_NAMES) :], *table.extra_names, *table.spread_names)
    further = [pa.field(name, pa.float32()) for name in own]
    if table.shot is not None:
        further.append(pa.field(SHOT_NAME, pa.int16(), nullable=False))
    further += [pa.field(name, pa.float32()) for name in points]
    schema = pa.schema([*SCHEMA, *further], metadata)
    return pa.Table.from_arrays(columns, schema=schema)


def from_arrow(arrow: pa.Table) -> CoefficientTable:
    """The inverse of `to_arrow`: the first track of a clip that `arrow` holds rows of."""
    return tracks_from_arrow(arrow)[0]


def tracks_from_arrow(arrow: pa.Table) -> tuple[CoefficientTable, ...]:
    """Every track of a clip, in the order of the rows, each of whose tracks stand together."""
    track = arrow["track"].to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(track)) + 1).tolist(), len(track)]
    return tuple(
        _track_from_arrow(arrow.slice(start, stop - start)) for start, stop in itertools.pairwise(edges)
    )


def _track_from_arrow(arrow: pa.Table) -> CoefficientTable:
    metadata = {key.decode(): value.decode() for key, value in (arrow.schema.metadata or {}).items()}
    clip = json.loads(metadata.pop("clip"))
    info = ClipInfo(
        fps=exact(metadata.pop("fps")),
        time_base=exact(metadata.pop("time_base")),
        rotation=int(metadata.pop("rotation")),
        **clip,
    )
    for convention in ("angle_convention", *_CONVENTIONS):
        metadata.pop(convention, None)

    def block(names: tuple[str, ...]) -> np.ndarray:
        columns = [np.asarray(arrow[name].to_numpy(), np.float32) for name in names]
        return np.stack(columns, axis=1) if columns else np.zeros((len(arrow), 0), np.float32)

    points = tuple(name for name in arrow.column_names if is_landmark(name))
    gaze_names = GAZE_NAMES if points else ()
    known = {*SCHEMA.names, *SHAPE_NAMES, *SPREAD_NAMES, SHOT_NAME, *points, *gaze_names}
    extra_names = tuple(name for name in arrow.column_names if name not in known)

    return CoefficientTable(
        info=info,
        frame_index=arrow["frame_index"].to_numpy(),
        pts=arrow["pts"].to_numpy(),
        face_found=np.asarray(arrow["face_found"].to_numpy(), bool),
        score=np.asarray(arrow["score"].to_numpy(), np.float32),
        box=block(BOX_NAMES),
        coefficients=block(shape_names(arrow.column_names)),
        head=block(HEAD_ANGLE_NAMES + HEAD_POSITION_NAMES),
        track=int(arrow["track"][0].as_py()) if len(arrow) else 0,
        extra_names=extra_names,
        extra=block(extra_names),
        spread=block(tuple(name for name in SPREAD_NAMES if name in arrow.column_names)),
        shot=arrow[SHOT_NAME].to_numpy() if SHOT_NAME in arrow.column_names else None,
        landmarks=block(points).reshape(len(arrow), len(points) // 2, 2),
        metadata=metadata,
    )


def write_tracks(tables: Sequence[CoefficientTable], path: StoragePath) -> None:
    """Publish the tracks of a clip at `path`, compressed with zstd, the same bytes for the same tables.

    Args:
        tables: All tracks by number, at least one; the file's metadata are those of the first.
        path: Where the file goes.

    Raises:
        OSError: `path` cannot be written.
    """
    with published(path) as temporary:
        first = to_arrow(tables[0])
        with pq.ParquetWriter(temporary, first.schema, compression="zstd") as writer:
            writer.write_table(first)
            for table in tables[1:]:
                writer.write_table(to_arrow(table.replace(metadata=tables[0].metadata)))


def write_parquet(table: CoefficientTable, path: StoragePath) -> None:
    """Publish `table` alone at `path`, as `write_tracks`; raises OSError."""
    write_tracks([table], path)


def read_tracks(path: StoragePath) -> tuple[CoefficientTable, ...]:
    """The tracks in a file that `write_tracks` wrote, by number; raises OSError."""
    return tracks_from_arrow(read_table(path))


def read_parquet(path: StoragePath) -> CoefficientTable:
    """The main subject's table in a file that `write_tracks` wrote; raises OSError."""
    return read_tracks(path)[0]
