"""What a GPU day found out, as Markdown: the tables of ``docs/gpu.md``.

In: a report as `GpuDay.describe` gives it. Out: text by section, and a page whose marked sections hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from facecap_batch.errors import FacecapError

Report = dict[str, Any]
MAX_WHY = 160  # characters
MARKED = re.compile(r"(<!-- gpu_day: (\w+) -->\n).*?(<!-- /gpu_day -->)", re.DOTALL)


class OtherSections(FacecapError):
    """A page's marked sections are not those that a GPU day fills. The message names them."""


def sections(report: Report) -> dict[str, str]:
    """Every section's text, by its name."""
    makers = {
        "machine": _machine,
        "backends": _backends,
        "engines": _engines,
        "clips": _clips,
        "workers": _workers,
        "steps": _steps,
    }
    return {name: maker(report) for name, maker in makers.items()}


def page(report: Report) -> str:
    """All sections as a page of their own."""
    titles = {
        "machine": "GPU day",
        "backends": "Backends",
        "engines": "Engines",
        "clips": "Clips",
        "workers": "Workers",
        "steps": "Steps",
    }
    texts = sections(report)
    return "\n".join(
        f"{'#' if name == 'machine' else '##'} {title}\n\n{texts[name]}" for name, title in titles.items()
    )


def filled(text: str, report: Report, name: str) -> str:
    """The page `text`, called `name`, with every marked section replaced.

    A section lies between ``<!-- gpu_day: NAME -->`` and ``<!-- /gpu_day -->``.

    Raises:
        OtherSections: One is missing, or unknown.
    """
    texts = sections(report)
    marked = [match[2] for match in MARKED.finditer(text)]
    if sorted(marked) != sorted(texts):
        raise OtherSections(
            f"{name} marks the sections {', '.join(marked) or 'none'}; it needs each of these once: "
            f"{', '.join(texts)} (<!-- gpu_day: NAME --> … <!-- /gpu_day -->)"
        )
    return MARKED.sub(lambda match: f"{match[1]}{texts[match[2]]}{match[3]}", text)


def _machine(report: Report) -> str:
    hardware = report["hardware"]
    found = {record["what"]: record["detail"] for record in _records(report, "machine") if "what" in record}
    gpu = "" if report["rehearsal"] else f", {found.get('GPU', ', '.join(hardware['gpus']))}"
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    tensorrt = "" if report["rehearsal"] else f"; TensorRT: {found.get('TensorRT', 'not looked at')}"
    rehearsal = (
        "**A rehearsal without a GPU: CPU backends stand in, and nothing here says how fast a GPU is.** "
        if report["rehearsal"]
        else ""
    )
    return (
        f"{rehearsal}Measured {report['started_at']} in {report['elapsed_s'] / 60:.1f} minutes on "
        f"{hardware['processor']} ({hardware['cpus']} CPUs{gpu}); {versions}{tensorrt}.\n"
    )


def _backends(report: Report) -> str:
    certified = {
        step["arguments"]["backend"]: step for step in report["steps"] if step["kind"] == "certificate"
    }
    rows = []
    for step in report["steps"]:
        if step["kind"] != "opening":
            continue
        name = step["arguments"]["backend"]
        plans = [record["seconds"] for record in step["records"] if "plan" in record]
        opened: dict[str, Any] = next((record for record in step["records"] if "open_s" in record), {})
        rows.append(
            [
                f"`{name}`",
                "yes" if step["state"] == "done" else step["state"],
                _number(sum(plans), 0) if plans else "",
                _number(opened.get("open_s"), 1),
                _number(opened.get("first_s"), 1),
                _number(opened.get("gpu_mib"), 0),
                *_agreement(certified.get(name)),
            ]
        )
    heads = ["backend", "opens", "plans, s", "opening, s", "first calls, s", "GPU memory, MiB"]
    return _table(
        [*heads, "agrees with the reference", "largest difference: coefficients", "box edges, px"], rows
    )


def _agreement(step: dict[str, Any] | None) -> list[str]:
    if step is None:
        return ["", "", ""]
    if not step["records"]:
        return [step["state"], "", ""]
    compared = step["records"][0]
    named = [output["max_abs"] for output in compared["outputs"] if output["values"]]
    verdict = compared["verdict"] if compared["certificate"] else f"{compared['verdict']}, no certificate"
    return [verdict, f"{max(named, default=0.0):.2g}", f"{compared['faces']['max_corner']:.2g}"]


def _engines(report: Report) -> str:
    speeds = _records(report, "bench")
    backends = list(dict.fromkeys(speed["backend"] for speed in speeds))
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for speed in speeds:
        told = f"{speed['per_second']:.0f} ({speed['p50_ms']:.2f} ms)"
        rows.setdefault((speed["role"], speed["batch"]), {})[speed["backend"]] = told
    return _table(
        ["images/s (a call)", "batch", *(f"`{name}`" for name in backends)],
        [[role, batch, *(cells.get(name, "") for name in backends)] for (role, batch), cells in rows.items()],
    )


def _clips(report: Report) -> str:
    rows = []
    for speed in sorted(
        _records(report, "capture"),
        key=lambda speed: (speed["video"], speed["backend"], speed["decode_threads"]),
    ):
        most = sorted(speed["stages"].items(), key=lambda stage: -stage[1])[:3]
        rows.append(
            [
                speed["video"].removesuffix(".mp4"),
                f"`{speed['backend']}`",
                "NVDEC" if speed["hwaccel"] == "cuda" else "CPU",
                speed["decode_threads"],
                speed["frames"],
                _number(speed["decode_fps"], 0),
                _number(speed["fps"], 0),
                ", ".join(f"{name} {seconds / speed['total_s']:.0%}" for name, seconds in most),
            ]
        )
    heads = ["clip", "backend", "decoder", "threads", "frames", "decoding alone, fps", "whole clip, fps"]
    return _table([*heads, "most time"], rows)


def _workers(report: Report) -> str:
    rows = [
        [
            run["workers"],
            f"`{run['backend']}`",
            run["decode_threads"],
            f"{run['done']} of {run['clips']}",
            _number(run["fps"], 0),
            _number(run["elapsed_s"], 1),
            _number(run["gpu_mib"], 0),
        ]
        for run in _records(report, "workers")
    ]
    heads = ["workers", "backend", "decoding threads each", "clips done", "frames/s", "with the start, s"]
    return _table([*heads, "GPU memory of all, MiB"], rows)


def _steps(report: Report) -> str:
    rows = [
        [
            step["step"],
            step["state"],
            _number(step["seconds"], 1),
            _number(step["arguments"].get("budget_s"), 1),
            _short(step["why"]),
        ]
        for step in report["steps"]
    ]
    return _table(["step", "ended", "s", "time to measure, s", "why"], rows)


def _records(report: Report, kind: str) -> list[dict[str, Any]]:
    return [record for step in report["steps"] if step["kind"] == kind for record in step["records"]]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _short(why: str) -> str:
    """The last line of `why`, as it can stand in a cell."""
    line = why.strip().splitlines()[-1] if why.strip() else ""
    line = line if len(line) <= MAX_WHY else line[: MAX_WHY - 1] + "…"
    return line.replace("|", "\\|").replace("<", "&lt;")


def _table(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    return "".join(f"{line}\n" for line in _lines(heads, rows))


def _lines(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for cells in (heads, ["---"] * len(heads), *rows):
        yield "| " + " | ".join(map(str, cells)) + " |"
