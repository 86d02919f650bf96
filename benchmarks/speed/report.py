"""The report of a folder of many takes: how long it is written, how large it is, how soon a browser shows it.

    python benchmarks/speed/report.py [--takes 2000] [--seconds 5] [--screenshot list.png]

Makes an output folder of that many synthetic takes through the project's own writers, writes its report, and
opens that in Chromium without a window (playwright, of the extra `test`, and a `chromium` on the PATH), three
times; the median counts. Opening is from the request of the file until the list is drawn, by the browser's
clock. There are no videos, which a page names and does not hold. With `--keep` the folder is made once. Exit
code 1 where a figure is beyond its limit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import statistics
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from facecap_batch.clip import Clip  # noqa: E402  the path comes first
from facecap_batch.coefficients import ARKIT_NAMES, ClipInfo, CoefficientTable, write_tracks  # noqa: E402
from facecap_batch.output.ledger import DONE, Ledger, Record  # noqa: E402
from facecap_batch.output.reports import RunReport, write_clips, write_run  # noqa: E402
from facecap_batch.reporting.report import REPORT_NAME, write_report  # noqa: E402

WRITE_LIMIT_S, OPEN_LIMIT_S, SIZE_LIMIT_MB = 60.0, 3.0, 30.0
FPS = 30
OPENINGS = 3
BROWSER = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
# In the page: when the list is drawn, milliseconds since the file was asked for.
WATCH = """
new MutationObserver((_, watch) => {
  if (!document.documentElement?.dataset.ready) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.shown = performance.now(); }));
}).observe(document, { attributes: true, subtree: true });
"""


def synthetic_take(number: int, frames: int) -> CoefficientTable:
    """A face with blinks, slow and quick movements in most channels, a turning head, a gap in some takes."""
    rng = np.random.default_rng(number)
    seconds = np.arange(frames) / FPS
    speed, phase = rng.uniform(0.1, 1.2, (2, 51, 1)), rng.uniform(0, 6.28, (51, 1))
    height = rng.choice([0.02, 0.1, 0.4], (51, 1), p=[0.5, 0.35, 0.15])
    waves = np.sin(6.28 * speed[0] * seconds + phase) * np.sin(6.28 * speed[1] * seconds)
    values = np.clip(height * (0.5 + waves) + rng.normal(0, 5e-4, (51, frames)), 0, 1).T
    for middle in np.arange(rng.uniform(0.5, 2), seconds[-1], rng.uniform(2, 4)):
        lid = np.exp(-(((seconds - middle) / 0.07) ** 2))
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            values[:, ARKIT_NAMES.index(name)] = np.maximum(values[:, ARKIT_NAMES.index(name)], lid)
    turns = [
        np.sin(seconds * rng.uniform(0.2, 1) + k) * size for k, size in enumerate((0.4, 0.15, 0.1, 3, 2, 2))
    ]
    head = np.column_stack(turns) - [0, 0, 0, 0, 0, 60]
    found = np.ones(frames, bool)
    if number % 5 == 0:
        found[frames // 3 : frames // 2] = False
    values, head = values.astype(np.float32), head.astype(np.float32)
    values[~found], head[~found] = np.nan, np.nan
    clip_id = f"take_{number:05}"
    return CoefficientTable(
        info=ClipInfo(clip_id, f"{clip_id}.mp4", 1920, 1080, Fraction(FPS), Fraction(1, 90000), 0, False),
        frame_index=np.arange(frames, dtype=np.int32),
        pts=np.arange(frames, dtype=np.int64) * (90000 // FPS),
        face_found=found,
        score=np.where(found, np.float32(0.9), np.nan).astype(np.float32),
        box=np.where(found[:, None], np.array([400, 200, 900, 800], np.float32), np.nan).astype(np.float32),
        coefficients=values,
        head=head,
    )


def make_folder(folder: Path, takes: int, seconds: float) -> None:
    """An output folder of `takes`, of which some failed."""
    ledger, records = Ledger(folder), {}
    for number in range(takes):
        table = synthetic_take(number, round(seconds * FPS))
        clip_id = table.info.clip_id
        record = Record(clip_id, DONE, "input", "capture", "all", seconds=seconds, fps=FPS, frames=len(table))
        if number % 50 == 7:
            text = f"{clip_id}.mp4 is cut off at 0:03.2; copy it again, or give --keep-damaged"
            record = dataclasses.replace(record, status="failed", error_type="BadVideo", error=text)
        else:
            write_tracks([table], folder / "coefficients" / f"{clip_id}.parquet")
            record = dataclasses.replace(record, frames_with_face=int(table.face_found.sum()))
        ledger.put(record)
        records[clip_id] = record
    clips = [
        Clip(name, f"footage/day-{k % 9}/{name}.mp4", actor=f"actor {k % 17}")
        for k, name in enumerate(records)
    ]
    write_clips(folder, clips, records)
    done = sum(record.status == DONE for record in records.values())
    run = RunReport(
        run_id="1",
        state="finished",
        manifest=str(folder.parent / "manifest.csv"),
        workers=2,
        clips=takes,
        done=done,
        failed=takes - done,
        pending=0,
        kept=0,
        started_at="2026-01-02T03:04:05+00:00",
        elapsed_s=3600.0,
        frames=done * round(seconds * FPS),
        video_s=done * seconds,
        fingerprint="all",
        capture_fingerprint="capture",
        config={"engines": "default"},
    )
    write_run(folder, run)


def open_in_chromium(page: Path, screenshot: Path | None) -> float:
    """Median seconds from the request to the drawn list."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    if executable is None:
        sys.exit("no chromium on the PATH (Debian: apt-get install chromium)")
    taken: list[float] = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=executable, args=list(BROWSER))
        for _ in range(OPENINGS):
            tab: Any = browser.new_page(viewport={"width": 1440, "height": 900})
            tab.add_init_script(WATCH)
            tab.goto(page.as_uri(), wait_until="commit", timeout=300_000)
            tab.wait_for_selector("html[data-ready]", state="attached", timeout=300_000)
            tab.wait_for_timeout(200)
            taken.append(float(tab.evaluate("window.shown")) / 1000)
            if screenshot is not None:
                tab.screenshot(path=str(screenshot))
            tab.close()
        browser.close()
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--takes", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--keep", type=Path, help="Folder in which the takes are made, and kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch) / "takes"
        if not (folder / REPORT_NAME).exists():
            make_folder(folder, arguments.takes, arguments.seconds)
        before, cpu = time.perf_counter(), time.process_time()
        write_report(folder, folder / REPORT_NAME)
        written, busy = time.perf_counter() - before, time.process_time() - cpu
        size = (folder / REPORT_NAME).stat().st_size / 1e6
        opened = open_in_chromium(folder / REPORT_NAME, arguments.screenshot)
    print(
        json.dumps(
            {
                "takes": arguments.takes,
                "write_s": round(written, 1),
                "write_cpu_s": round(busy, 1),
                "open_s": round(opened, 2),
                "size_mb": round(size, 1),
            }
        )
    )
    return int(written > WRITE_LIMIT_S or opened > OPEN_LIMIT_S or size > SIZE_LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
