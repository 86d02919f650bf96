"""Which clips share a calibration, and whether they have it already.

In: a plan, the manifest's clips, the ledger, ``actors.parquet``. Out: the plan with an `ActorGroup` for every
actor of whom something is to be captured or solved, and with the calibrations that stay. A clip has the
calibration of its actor when its record carries the digest of what ``actors.parquet`` holds, and that was
measured on as many clips as there are now: then on these, as only clips that it was measured on carry it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from facecap_batch.clip import Clip
from facecap_batch.output.actors import read_actors
from facecap_batch.output.ledger import DONE, Ledger
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import ActorGroup, CapturedClip, Plan, has_raw
from facecap_batch.solve.actors import ActorCalibration


def is_calibrated_by_actor(clip: Clip, config: RunConfig) -> bool:
    """True for a clip that is solved when its actor's other clips are captured."""
    return config.solve.by_actor and bool(clip.actor)


def with_actors(plan: Plan, clips: Sequence[Clip], ledger: Ledger, config: RunConfig) -> Plan:
    """Add the groups of actors to a plan; nothing where `config` does not calibrate by actor.

    Args:
        plan: Of some or all of `clips`.
        clips: Of the manifest.
        ledger: As of now.
        config: Of the run.
    """
    by_actor: dict[str, list[Clip]] = {}
    for clip in clips:
        if clip.actor and config.solve.by_actor:
            by_actor.setdefault(clip.actor, []).append(clip)
    if not by_actor:
        return plan
    recorded = read_actors(ledger.output)
    reuses_raw = {item.clip.clip_id: item.reuse_raw for item in plan.items}
    capture_fingerprint, fingerprint = config.capture_fingerprint(), config.fingerprint()

    def captured(clip: Clip) -> CapturedClip | None:
        planned = clip.clip_id in reuses_raw
        record = ledger.get(clip.clip_id) if planned else plan.kept.get(clip.clip_id)
        if record is None or not has_raw(ledger, record, capture_fingerprint):
            return None
        is_done = not planned and record.status == DONE and record.fingerprint == fingerprint
        return CapturedClip(clip, record, is_done)

    groups = []
    for actor, own in by_actor.items():
        waited_for = frozenset(clip.clip_id for clip in own if reuses_raw.get(clip.clip_id) is False)
        found = [captured(clip) for clip in own if clip.clip_id not in waited_for]
        members = tuple(clip for clip in found if clip is not None)
        settled = _have(members, recorded.get(actor))
        groups.append(ActorGroup(actor, waited_for, members, settled))
    return dataclasses.replace(
        plan,
        actors=tuple(group for group in groups if group.uncaptured or not group.is_settled),
        calibrations={
            group.actor: recorded[group.actor] for group in groups if group.is_settled and group.captured
        },
    )


def _have(clips: Sequence[CapturedClip], calibration: ActorCalibration | None) -> bool:
    """True where all `clips` were solved with `calibration`, and it was measured on them; also of none."""
    if not clips:
        return True
    if calibration is None or calibration.clips != len(clips):
        return False
    digest = calibration.digest()
    return all(own.is_done and own.record.calibration == digest for own in clips)
