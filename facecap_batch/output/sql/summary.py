"""How much of each movement there is in a clip: the view and the table macro ``summary``.

In: as of `sql.events`. Out: SQL. Times are sums of what each frame stands for, and means weigh frames by it,
so that variable frame rates change nothing; rates divide by the time in which the movement was seen.
"""

from __future__ import annotations

from facecap_batch.output.sql.events import found_part, levels_part, steps_part
from facecap_batch.output.sql.movements import MOVEMENTS, Movement


def summary_sql(frames: str, actor: str, adjustable: bool) -> str:
    """The body of ``summary``: one row for each clip, track and movement; as `events_sql`."""
    parts = (
        f"SELECT '{movement.name}' AS event, * FROM ({_counts(movement, adjustable)})"
        for movement in MOVEMENTS
    )
    return f"""
        {steps_part(frames)}
        SELECT clip_id, track, actor, event, seconds, seen_s, events,
            60 * events / nullif(seen_s, 0) AS per_minute, active_s, active_s / nullif(seen_s, 0) AS share,
            mean, sd, min, max
        FROM ({" UNION ALL ".join(parts)}) LEFT JOIN ({actor}) USING (clip_id)"""


def _counts(movement: Movement, adjustable: bool) -> str:
    value = "value0"
    if len(movement.sides) > 1:  # the sides' mean; of one side where the other is hidden
        value = "(coalesce(value0, value1) + coalesce(value1, value0)) / 2"
    return f"""
        {levels_part(movement, adjustable)} {found_part(movement, adjustable)}
        , seen AS (SELECT clip_id, track, held_s, ({value})::DOUBLE AS value FROM levels)
        , times AS (
            SELECT clip_id, track, sum(held_s) AS seconds,
                sum(CASE WHEN value IS NULL THEN 0 ELSE held_s END) AS seen_s,
                coalesce(sum(held_s * value) / nullif(seen_s, 0), avg(value)) AS mean,
                sqrt(greatest(sum(held_s * value * value) / nullif(seen_s, 0) - mean * mean, 0)) AS sd,
                min(value) AS min, max(value) AS max
            FROM seen GROUP BY clip_id, track
        ), counts AS (
            SELECT clip_id, track, count(*) AS events, sum(seconds) AS active_s
            FROM found GROUP BY clip_id, track
        )
        SELECT clip_id, track, seconds, seen_s, mean, sd, min, max, coalesce(events, 0) AS events,
            coalesce(active_s, 0) AS active_s
        FROM times LEFT JOIN counts USING (clip_id, track)"""
