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
    found = [_group(actor, own, plan, ledger, config, recorded.get(actor)) for actor, own in by_actor.items()]
    return dataclasses.replace(
        plan,
        actors=tuple(group for group in found if group.uncaptured or not group.is_settled),
        calibrations={
            group.actor: recorded[group.actor] for group in found if group.is_settled and group.captured
        },
    )


def _group(
    actor: str,
    clips: Sequence[Clip],
    plan: Plan,
    ledger: Ledger,
    config: RunConfig,
    recorded: ActorCalibration | None,
) -> ActorGroup:
    items = {item.clip.clip_id: item for item in plan.items}
    capture_fingerprint, fingerprint = config.capture_fingerprint(), config.fingerprint()
    uncaptured, captured = [], []
    for clip in clips:
        item = items.get(clip.clip_id)
        if item is not None and not item.reuse_raw:
            uncaptured.append(clip.clip_id)
            continue
        record = plan.kept.get(clip.clip_id) if item is None else ledger.get(clip.clip_id)
        if record is not None and has_raw(ledger, record, capture_fingerprint):
            is_done = item is None and record.status == DONE and record.fingerprint == fingerprint
            captured.append(CapturedClip(clip, record, is_done))
    digest = recorded.digest() if recorded is not None and recorded.clips == len(captured) else ""
    settled = all(own.is_done and digest and own.record.calibration == digest for own in captured)
    return ActorGroup(actor, frozenset(uncaptured), tuple(captured), settled)
