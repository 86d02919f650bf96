"""How long a question to a folder of many clips takes: a cold command, warm from Python, beside DuckDB alone.

    python benchmarks/speed/query.py [--clips 1000] [--frames 300] [--rounds 5]

Makes a folder of that many clips, a blink every second, and asks it for blinks per minute: by the view
``summary``, and by SQL over ``coefficients`` as in the README. The latter is also asked of DuckDB alone, in a
fresh interpreter that imports nothing else and names the files by a glob. Small files, then compacted ones.
Each figure is the least of the rounds: the rest is what else the machine did. CPU seconds are of all cores.
Exit code 1 where an answer is wrong, or where compacted the command takes longer than LIMIT_S.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import facecap_batch  # noqa: E402  the path comes first
from facecap_batch.clip import Clip  # noqa: E402
from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo, CoefficientTable, write_tracks  # noqa: E402
from facecap_batch.output.compaction import compact  # noqa: E402
from facecap_batch.output.ledger import DONE, Ledger, Record  # noqa: E402
from facecap_batch.output.reports import RunReport, write_clips, write_run  # noqa: E402

LIMIT_S = 1.0  # seconds of wall time, two cores that have nothing else to do
RATE = 30
SUMMARY = "SELECT clip_id, per_minute AS blinks FROM summary WHERE event = 'blink' AND track = 0"
OWN = """
SELECT clip_id, 60 * count(*) FILTER (WHERE lid > 0.5 AND lid_before <= 0.5) / (count(*) / {rate}) AS blinks
FROM (SELECT clip_id, eyeBlinkLeft AS lid,
             lag(eyeBlinkLeft) OVER (PARTITION BY clip_id ORDER BY frame_index) AS lid_before FROM {tables})
GROUP BY clip_id"""
ALONE = "import duckdb; print(len(duckdb.sql({sql!r}).fetchall()))"


def make_folder(folder: Path, clips: int, frames: int) -> None:
    """What a run leaves of `clips` clips, without videos and animations."""
    rng = np.random.default_rng(0)
    values = np.clip(rng.normal(0.1, 0.02, (frames, len(ARKIT_NAMES))), 0, 1).astype(np.float32)
    values[np.arange(frames) % RATE < 4, :] = 0.9
    info = ClipInfo("", "", 640, 480, Fraction(RATE), Fraction(1, RATE), 0, False)
    rows = np.arange(frames)
    table = CoefficientTable(
        info=info,
        frame_index=rows.astype(np.int32),
        pts=rows.astype(np.int64),
        face_found=np.ones(frames, bool),
        score=np.full(frames, 0.9, np.float32),
        box=np.tile(np.array([10, 20, 110, 140], np.float32), (frames, 1)),
        coefficients=values,
        head=rng.normal(0, 0.1, (frames, 6)).astype(np.float32),
    )
    made = [Clip(f"take{number:05}", f"take{number:05}.mp4") for number in range(clips)]
    ledger = Ledger(folder)
    for clip in made:
        name = f"coefficients/{clip.clip_id}.parquet"
        write_tracks([table.replace(info=dataclasses.replace(info, clip_id=clip.clip_id))], folder / name)
        outputs = {name: (folder / name).stat().st_size}
        ledger.put(Record(clip.clip_id, DONE, "", "", "", frames=frames, outputs=outputs))
    write_clips(folder, made, {record.clip_id: record for record in ledger.records()})
    report = RunReport(
        run_id="benchmark", state="finished", manifest="manifest.csv", workers=1,
        started_at="2026-01-01T00:00:00+00:00", fingerprint="", capture_fingerprint="", config={},
        clips=clips, done=clips, failed=0, pending=0, kept=0,
    )  # fmt: skip
    write_run(folder, report)


def least(rounds: int, work: Callable[[], object], who: int) -> tuple[float, float]:
    """The least wall and CPU seconds of `rounds` times `work`, of `who` (`resource.RUSAGE_…`)."""
    wall_s, cpu_s = [], []
    for _ in range(rounds):
        before, started = resource.getrusage(who), time.perf_counter()
        work()
        wall_s.append(time.perf_counter() - started)
        after = resource.getrusage(who)
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(wall_s), min(cpu_s)


def run(command: list[str], rows: int) -> None:
    """Run a command whose last line, or whose rows below a header, are as many as `rows`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled once, not in every round
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if rows not in (len(lines) - 1, int(lines[-1]) if lines[-1].isdecimal() else -1):
        raise SystemExit(f"{rows} rows were expected: {done.stdout[-300:]}")


def measure(folder: Path, files: str, clips: int, rounds: int) -> float:
    """Print the figures of a folder; return the wall seconds of the command with `summary`."""
    sql = OWN.format(tables="coefficients", rate=RATE)
    program = [sys.executable, "-m", "facecap_batch", "query", "--csv", str(folder)]
    plain = OWN.format(tables=f"read_parquet('{files}')", rate=RATE)
    alone = [sys.executable, "-c", ALONE.format(sql=plain)]
    figures = {}
    for name, command in (
        ("command, summary", [*program, SUMMARY]),
        ("command, own SQL", [*program, sql]),
        ("DuckDB alone, own SQL", alone),
    ):
        figures[name] = least(rounds, partial(run, command, clips), resource.RUSAGE_CHILDREN)
        print(f"  {name:24} cold  {figures[name][0]:6.2f} s  {figures[name][1]:6.2f} s of CPU", flush=True)
    ratio = figures["command, own SQL"][1] / figures["DuckDB alone, own SQL"][1]
    print(f"  command / DuckDB alone, CPU: {ratio:.2f}")

    import duckdb

    for name, work in (
        ("query(), summary", lambda: facecap_batch.query(folder, SUMMARY)),
        ("query(), own SQL", lambda: facecap_batch.query(folder, sql)),
        ("DuckDB alone, own SQL", lambda: duckdb.connect().sql(plain).fetchall()),
    ):
        work()
        wall_s, cpu_s = least(rounds, work, resource.RUSAGE_SELF)
        print(f"  {name:24} warm  {wall_s:6.2f} s  {cpu_s:6.2f} s of CPU", flush=True)
    return figures["command, summary"][0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for words in ([], ["--help"]):
        command = [sys.executable, "-m", "facecap_batch", *(words or ["--version"])]
        quietly = partial(subprocess.run, command, stdout=subprocess.DEVNULL, check=True)
        done = least(arguments.rounds, quietly, resource.RUSAGE_CHILDREN)
        print(f"{' '.join(command[2:]):26} cold  {done[0]:6.2f} s  {done[1]:6.2f} s of CPU")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_folder(folder, arguments.clips, arguments.frames)
        found = facecap_batch.query(folder, SUMMARY)["blinks"].to_pylist()
        seen_s = arguments.frames / RATE
        if not np.allclose(found, 60 * np.ceil(seen_s) / seen_s):
            raise SystemExit(f"wrong answer: {found[:5]} …")
        print(f"{arguments.clips} small files of {arguments.frames} frames")
        measure(folder, f"{folder}/coefficients/*.parquet", arguments.clips, arguments.rounds)
        compact(folder)
        print("compacted")
        wall_s = measure(
            folder, f"{folder}/compact/coefficients-*.parquet", arguments.clips, arguments.rounds
        )
    return 0 if wall_s <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
