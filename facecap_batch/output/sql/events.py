"""The movements of faces as events: the view and the table macro ``events``.

In: the SQL name of the tables' frames, the movements. Out: SQL. An event is a run of frames in which a
face is seen and a movement stays above its release, and which reaches the threshold. Runs of the two sides
that overlap are one event of both. A frame without a face, or in which the movement is not known, ends a run.
"""

from __future__ import annotations

from collections.abc import Sequence

from facecap_batch.output.sql.movements import LONGEST_STEP_S, MOVEMENTS, REST_QUANTILE, Movement
from facecap_batch.output.sql.thresholds import RELEASE_SHARE

_CHANNELS = tuple(
    dict.fromkeys(name for movement in MOVEMENTS for _, names in movement.sides for name in names)
)
# Columns of a clip's tables without which there are no events.
NEEDED = ("clip_id", "track", "frame_index", "time_s", "face_found", *_CHANNELS)
_TRACK = "PARTITION BY clip_id, track"


def events_sql(frames: str, actor: str, adjustable: bool) -> str:
    """The body of ``events``: one row for each event of each movement.

    Args:
        frames: Name of what holds the columns NEEDED.
        actor: Query for ``clip_id, actor``.
        adjustable: The body of the macro, which has the parameters `thresholds.PARAMETERS`; else that of the
            view, for which they have their defaults: a quarter shorter, and DuckDB reads and plans it sooner.
    """
    parts = (
        f"SELECT '{movement.name}' AS event, * FROM ({levels_part(movement, adjustable)} "
        f"{found_part(movement, adjustable)} SELECT * FROM found)"
        for movement in MOVEMENTS
    )
    return f"""
        {steps_part(frames)}
        SELECT clip_id, track, actor, event, side, start_s, peak_s, end_s, seconds, peak, frames, is_cut_off
        FROM ({" UNION ALL ".join(parts)}) LEFT JOIN ({actor}) USING (clip_id)"""


def steps_part(frames: str) -> str:
    """``WITH steps``: the rows of `frames`, and where each is in time.

    ``held_s`` is for how many seconds the frame stands; ``is_first`` and ``is_last`` tell whether there is no
    frame before and after it, or none that is near.
    """
    return f"""
        WITH neighbours AS (
            SELECT *, lead(time_s) OVER track - time_s AS step_s, time_s - lag(time_s) OVER track AS since_s
            FROM {frames} WINDOW track AS ({_TRACK} ORDER BY frame_index)
        ), steps AS MATERIALIZED (
            SELECT clip_id, track, frame_index, time_s, face_found, {", ".join(_CHANNELS)},
                coalesce(since_s > {LONGEST_STEP_S}, true) AS is_first,
                coalesce(step_s > {LONGEST_STEP_S}, true) AS is_last,
                CASE WHEN NOT is_last THEN step_s WHEN NOT is_first THEN since_s ELSE 0 END AS held_s
            FROM neighbours
        )"""


def levels_part(movement: Movement, adjustable: bool) -> str:
    """``WITH levels``: one row per frame; of side number k ``value<k>``, null where it is not known, and
    ``level<k>``, which is compared with thresholds. `adjustable` as in `events_sql`.
    """
    sides = range(len(movement.sides))
    values = ", ".join(
        f"CASE WHEN face_found THEN {_largest(names)} END AS value{k}"
        for k, (_, names) in enumerate(movement.sides)
    )
    ranges = ", ".join(
        f"quantile_cont(value{k}, {REST_QUANTILE}) AS rest{k}, max(value{k}) - rest{k} AS amplitude{k}"
        for k in sides
    )
    levels = ", ".join(
        f"CASE WHEN NOT relative THEN value{k} WHEN amplitude{k} >= least_amplitude "
        f"THEN (value{k} - rest{k}) / amplitude{k} END AS level{k}"
        for k in sides
    )
    known = f"""
        WITH known AS NOT MATERIALIZED (
            SELECT clip_id, track, frame_index, time_s, is_first, is_last, held_s, {values} FROM steps
        )"""
    if not adjustable:
        same = ", ".join(f"value{k} AS level{k}" for k in sides)
        return f"{known}, levels AS NOT MATERIALIZED (SELECT *, {same} FROM known)"
    return f"""
        {known}, ranges AS (
            SELECT clip_id, track, {ranges} FROM known WHERE relative GROUP BY clip_id, track
        ), levels AS NOT MATERIALIZED (
            SELECT known.*, {levels} FROM known LEFT JOIN ranges USING (clip_id, track)
        )"""


def found_part(movement: Movement, adjustable: bool) -> str:
    """``, found``: one row per event in `levels_part`. `adjustable` as in `events_sql`.

    Of each side the frames above its release are looked at, and those in which it is not known: what lies
    between two of them is at rest.
    """
    reached = f"{movement.threshold}::DOUBLE"
    held = f"({RELEASE_SHARE} * {reached})::DOUBLE"
    if adjustable:
        reached = f"coalesce(threshold, {movement.threshold})::DOUBLE"
        held = f"coalesce(release, {RELEASE_SHARE} * {reached})::DOUBLE"
    rows = ", ".join(
        f"{{'side': '{side}', 'value': value{k}, 'level': level{k}}}"
        for k, (side, _) in enumerate(movement.sides)
    )
    kept = " OR ".join(f"coalesce(level{k} >= {held}, true)" for k in range(len(movement.sides)))
    return f"""
        , sides AS (
            SELECT clip_id, track, frame_index, time_s, is_first, is_last, held_s,
                unnest([{rows}], recursive := true)
            FROM levels WHERE {kept}
        ), neighbours AS (
            SELECT *,
                NOT is_first AND frame_index - 1 = lag(frame_index) OVER side AS follows,
                NOT is_last AND frame_index + 1 = lead(frame_index) OVER side AS goes_on,
                lag(level) OVER side AS before, lead(level) OVER side AS after
            FROM sides WHERE coalesce(level >= {held}, true)
            WINDOW side AS (PARTITION BY clip_id, track, side ORDER BY frame_index)
        ), runs AS (
            SELECT *,
                is_first OR (follows AND before IS NULL) OR is_last OR (goes_on AND after IS NULL) AS is_cut,
                sum((NOT coalesce(follows AND before IS NOT NULL, false))::INT) OVER (
                    PARTITION BY clip_id, track, side ORDER BY frame_index
                ) AS run
            FROM neighbours WHERE level IS NOT NULL
        ), of_a_side AS (
            SELECT clip_id, track, side, min(time_s) AS start_s, max(time_s) AS end_s,
                arg_max(time_s, (value, -time_s)) AS peak_s, max(value) AS peak, max(level) AS highest,
                max(time_s + held_s) AS until_s, min(frame_index) AS first, max(frame_index) AS last,
                bool_or(coalesce(is_cut, false)) AS is_cut_off
            FROM runs GROUP BY clip_id, track, side, run
        ), apart AS (
            SELECT *, max(last) OVER (
                {_TRACK} ORDER BY first, last, side ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS before FROM of_a_side WHERE highest >= {reached}
        ), joined AS (
            SELECT *, sum((first > coalesce(before, -1))::INT) OVER (
                {_TRACK} ORDER BY first, last, side ROWS UNBOUNDED PRECEDING
            ) AS number FROM apart
        ), found AS (
            SELECT clip_id, track,
                CASE WHEN count(DISTINCT side) > 1 THEN 'both' ELSE min(side) END AS side,
                min(start_s) AS start_s, arg_max(peak_s, (peak, -peak_s)) AS peak_s, max(end_s) AS end_s,
                max(until_s) - min(start_s) AS seconds, max(peak) AS peak,
                (max(last) - min(first) + 1)::INT AS frames, bool_or(is_cut_off) AS is_cut_off
            FROM joined GROUP BY clip_id, track, number
        )"""


def _largest(names: Sequence[str]) -> str:
    """The largest of columns, null where one of them is: SQL's `greatest` leaves nulls out."""
    if len(names) == 1:
        return names[0]
    known = " AND ".join(f"{name} IS NOT NULL" for name in names)
    return f"(CASE WHEN {known} THEN greatest({', '.join(names)}) END)"
