"""A step carried out in a process of its own, so that its crash, or its end by force, costs nothing else.

In: a function (``package.module:name``) that yields records, its arguments as JSON. Out: a file with one JSON
line per record as soon as it is known, and a last line that says how the step ended. `main` is what the
process does; `carry_out` is the other side: it starts such a process, waits, ends it and all that it has
started, and reads the file.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from facecap_batch.checks.gpu_day.step import Record, State, Step, StepResult
from facecap_batch.errors import BackendUnavailable, DecoderUnavailable, EngineError
from facecap_batch.scheduling.python_process import python_command

KILL_S = 10.0  # for a killed process to be gone; one that hangs in a driver may never be
TAIL = 1500  # characters of what a process printed that are kept of a failure
_CODE = "import sys; from facecap_batch.checks.gpu_day.step_process import main; main(*sys.argv[1:])"
_MISSING_LIBRARY = "cannot open shared object file"  # dlopen(3), in the words of glibc


def carry_out(step: Step, seconds: float) -> StepResult:
    """Do `step` in a new process, for at most `seconds`.

    Whatever becomes of it, this returns, and no process of the step's group is left but one that even SIGKILL
    does not end.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpu-day-") as folder:
        file, printed = Path(folder) / "records.jsonl", Path(folder) / "printed.txt"
        command = python_command(_CODE, step.function, json.dumps(dict(step.arguments)), str(file))
        with printed.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            in_time = process.poll()
        finally:
            _end(process)
        took = time.monotonic() - started
        records, end = _read(file)
        state, why = _judged(end, in_time, seconds, printed)
    return StepResult(step, state, why, took, tuple(records))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process's whole group: also what a crashed step has left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_S)


def _read(file: Path) -> tuple[list[Record], Record | None]:
    """The records of a step, and its last line where it came to it."""
    records: list[Record] = []
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:  # killed in the middle of a line
            break
        if "end" in said:
            return records, said
        records.append(said["record"])
    return records, None


def _judged(end: Record | None, exit_code: int | None, seconds: float, printed: Path) -> tuple[State, str]:
    if end is not None:
        return cast(State, end["end"]), str(end["why"])
    if exit_code is None:
        return "overtime", f"ended after {seconds:.0f} s"
    tail = printed.read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()
    if exit_code < 0:
        return "crashed", f"{signal.Signals(-exit_code).name}; it printed: {tail}"
    return "failed", f"its process ended with {exit_code}; it printed: {tail}"


def _ending(error: Exception) -> tuple[State, str]:
    """How a step that raised `error` has ended."""
    missing = isinstance(error, ImportError) or (
        isinstance(error, OSError | EngineError) and _MISSING_LIBRARY in str(error)
    )
    if isinstance(error, BackendUnavailable | DecoderUnavailable) or missing:
        return "unavailable", str(error)
    place = "".join(traceback.format_exception(error)).strip()
    return "failed", place[-TAIL:]


def _write(file: TextIO, said: dict[str, Any]) -> None:
    file.write(json.dumps(said, default=str) + "\n")
    file.flush()


def _records(function: str, arguments: dict[str, Any]) -> Iterator[Record]:
    module, _, name = function.partition(":")
    yield from getattr(importlib.import_module(module), name)(**arguments)


def main(function: str, arguments: str, path: str) -> None:
    """Call the function and write what it yields; the process ends here."""
    state: State = "done"
    why = ""
    with Path(path).open("w", encoding="utf-8") as file:
        try:
            for record in _records(function, json.loads(arguments)):
                _write(file, {"record": record})
        except Exception as error:
            state, why = _ending(error)
        _write(file, {"end": state, "why": why})
    # CUDA's libraries may crash or hang when a process ends, after everything was found out.
    os._exit(0)
