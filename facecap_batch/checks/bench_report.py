"""What `bench` measured, as lines, as a Markdown page, as JSON.

In: the records. Out: text; nothing is measured or written here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from facecap_batch import machine
from facecap_batch.checks.bench import BaselineClipSpeed, ClipSpeed, EngineSpeed, Speed

# The limit of decoding is a pass that only decodes; of others what their networks take in the same pass.
STAGE_HEADS = ("stage", "ms a frame", "share, %", "limit, ms a frame")


def line(speed: Speed) -> str:
    """One record for people; of a clip a line for each stage, too."""
    if isinstance(speed, EngineSpeed):
        return (
            f"{speed.role} {speed.engine} ({speed.backend}, {speed.precision}, batch {speed.batch}): "
            f"{speed.p50_ms:.2f} ms, p99 {speed.p99_ms:.2f} ms, {speed.per_second:.1f}/s, "
            f"{speed.memory_mib:.0f} MiB"
        )
    if isinstance(speed, BaselineClipSpeed):
        return f"MediaPipe on {speed.video}: {speed.fps:.1f} fps"
    stages = [
        f"  {name:15s} {own:7.3f} ms a frame {share:5.0%}"
        + ("" if limit is None else f"  limit {limit:7.3f} ms")
        for name, own, share, limit in stage_rows(speed)
    ]
    whole = f"{speed.video} ({speed.backend}): {speed.fps:.1f} fps, decoding alone {speed.decode_fps:.1f} fps"
    return "\n".join([whole, *stages])


def stage_rows(speed: ClipSpeed) -> list[tuple[str, float, float, float | None]]:
    """Of each stage and of the whole: name, ms a frame, share of the whole 0..1, and its limit in ms a frame:
    decoding alone, or the networks alone; None where nothing was measured that it could be held against."""
    each = 1e3 / speed.frames
    rows = [
        (name, each * seconds, seconds / speed.total_s, _times(speed.limits.get(name), each))
        for name, seconds in speed.stages.items()
    ]
    return [*rows, ("whole", each * speed.total_s, 1.0, _times(sum(speed.limits.values()) or None, each))]


def _times(seconds: float | None, factor: float) -> float | None:
    return None if seconds is None else factor * seconds


def shares(speed: ClipSpeed) -> dict[str, float]:
    """Stage -> its share of the whole, 0..1."""
    return {name: seconds / speed.total_s for name, seconds in speed.stages.items()}


def as_json(speeds: Sequence[Speed]) -> dict[str, Any]:
    """Everything measured, and the machine it was measured on, as plain values."""
    clips = [speed for speed in speeds if isinstance(speed, ClipSpeed)]
    peers = [speed for speed in speeds if isinstance(speed, BaselineClipSpeed)]
    return {
        "measured_at": machine.utc_now(),
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        "engines": [dataclasses.asdict(speed) for speed in speeds if isinstance(speed, EngineSpeed)],
        "clips": [
            {
                **dataclasses.asdict(clip),
                "fps": clip.fps,
                "decode_fps": clip.decode_fps,
                "shares": shares(clip),
            }
            for clip in clips
        ],
        "peer": [{**dataclasses.asdict(speed), "name": "MediaPipe", "fps": speed.fps} for speed in peers],
    }


def markdown(speeds: Sequence[Speed]) -> str:
    """The records as tables under a description of the machine."""
    hardware, versions = machine.hardware(), machine.versions()
    gpus = ", ".join(hardware["gpus"])
    parts = [
        f"Measured {machine.utc_now()} on {hardware['processor']} ({hardware['cpus']} CPUs"
        f"{f', {gpus}' if gpus else ''}), one process with one thread; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
    ]
    engines = [speed for speed in speeds if isinstance(speed, EngineSpeed)]
    parts += [
        "| engine | backend | precision | batch | p50, ms | p99, ms | images/s | memory, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    parts += [
        f"| {speed.role} {speed.engine} | {speed.backend} | {speed.precision} | {speed.batch} | "
        f"{speed.p50_ms:.2f} | {speed.p99_ms:.2f} | {speed.per_second:.0f} | {speed.memory_mib:.0f} |"
        for speed in engines
    ]
    peers = {speed.video: speed for speed in speeds if isinstance(speed, BaselineClipSpeed)}
    for clip in (speed for speed in speeds if isinstance(speed, ClipSpeed)):
        theirs = peers.get(clip.video)
        heads, values = ["clip", "frames", "decoding alone, fps", "whole, fps"], [clip.video, clip.frames]
        values += [f"{clip.decode_fps:.0f}", f"{clip.fps:.0f}"]
        if theirs is not None:
            heads += ["MediaPipe, fps", "ratio"]
            values += [f"{theirs.fps:.0f}", f"{clip.fps / theirs.fps:.2f}"]
        parts += ["", _row(heads), _row(["---"] * len(heads)), _row(values), ""]
        parts += [_row(STAGE_HEADS), _row(["---"] * len(STAGE_HEADS))]
        parts += [
            _row([name, f"{own:.3f}", f"{100 * share:.0f}", "–" if limit is None else f"{limit:.3f}"])
            for name, own, share, limit in stage_rows(clip)
        ]
    return "\n".join(parts) + "\n"


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
