"""The scheduler without Ray, with toy workers: its processes and their deaths are real."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facecap_batch.errors import WorkerLost
from facecap_batch.scheduling.messages import Outcome, Task
from facecap_batch.scheduling.process_scheduler import ProcessScheduler
from facecap_batch.scheduling.task_queue import Limits
from facecap_batch.scheduling.worker_process import WorkerProcess
from tests.support.toy_workers import ArenaCounter, EventRecorder, ToyWorker


def run_toys(
    orders: dict[str, str], folder: Path, **limits: float
) -> tuple[dict[str, Outcome], EventRecorder]:
    tasks = [Task(key, (order, str(folder / key)), cost=len(key)) for key, order in orders.items()]
    events = EventRecorder()
    scheduler = ProcessScheduler(ToyWorker, events, Limits(**limits))  # type: ignore[arg-type]
    return {outcome.key: outcome for outcome in scheduler.run(tasks)}, events


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_does_every_task_once_longest_first(tmp_path: Path) -> None:
    outcomes, events = run_toys({"a" * length: "do" for length in (2, 5, 1, 4, 3)}, tmp_path)
    assert [len(key) for key in events.started_keys] == [5, 4, 3, 2, 1]
    assert all(outcome.ok and outcome.attempts == 1 for outcome in outcomes.values())
    (worker,) = {outcome.result[1] for outcome in outcomes.values()}
    assert [joined.pid for joined in events.joined_workers] == [worker] != [os.getpid()]
    assert (events.heartbeats, events.counts) == (15, [1])
    assert not is_running(worker)


def test_failures_and_deaths_stay_with_their_task(tmp_path: Path) -> None:
    orders = {
        "poison": "segfault",
        "mortal": "die once",
        "stuck": "hang once",
        "bad": "fail",
        "hiccup": "fail once",
        "bug": "bug",
        "silent": "nothing",
        "good": "do",
    }
    outcomes, events = run_toys(orders, tmp_path, attempts=2, stall_s=2)
    assert set(outcomes) == set(orders)
    assert outcomes["good"].ok and outcomes["good"].attempts == 1
    for key in ("mortal", "stuck", "hiccup"):
        assert outcomes[key].ok and outcomes[key].attempts == 2
    poison = outcomes["poison"]
    assert (poison.error_type, poison.attempts) == ("WorkerLost", 2)
    assert "ended by signal 11 (SIGSEGV)" in poison.error
    assert (outcomes["bad"].error_type, outcomes["bad"].attempts) == ("BadVideo", 1)
    assert (
        outcomes["bug"].error_type == "ZeroDivisionError"
        and "a bug, please report it" in outcomes["bug"].error
    )
    assert (outcomes["silent"].error_type, outcomes["silent"].attempts) == ("WorkerLost", 2)
    assert sorted(events.retries) == ["hiccup", "mortal", "poison", "silent", "stuck"]
    assert len(events.losses) == 4 and not any(node_died for _, _, node_died in events.losses)
    # What was tried before comes after everything else.
    assert set(events.started_keys[-5:]) == set(events.retries)


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info < (3, 11),
    reason="memory cannot be taken away here, or first calls need none of the system's",
)
def test_a_thread_without_memory_to_begin_ends_the_worker(tmp_path: Path) -> None:
    """Whoever has started it would wait for ever."""
    outcomes, events = run_toys({"starved": "starve once", "good": "do"}, tmp_path, stall_s=60)
    assert outcomes["good"].ok and outcomes["good"].attempts == 1
    assert outcomes["starved"].ok and outcomes["starved"].attempts == 2
    ((_, reason, _),) = events.losses
    assert "the worker process died: exit code 1: not enough memory to go on" in reason


def test_a_worker_that_says_it_is_unfit_is_replaced(tmp_path: Path) -> None:
    outcomes, events = run_toys({"unfit": "unfit once", "good": "do"}, tmp_path)
    assert [outcomes[key].attempts for key in ("unfit", "good")] == [2, 1]
    first, second = events.joined_workers
    assert [outcomes[key].result[1] for key in ("unfit", "good")] == [second.pid, second.pid]
    assert events.losses == [(first, "it leaks", False)] and not is_running(first.pid)


def test_tasks_come_and_go_between_outcomes(tmp_path: Path) -> None:
    events = EventRecorder()
    scheduler = ProcessScheduler(ToyWorker, events)
    tasks = [Task(key, ("do", str(tmp_path / key)), cost) for key, cost in (("a", 9), ("b", 8), ("c", 1))]
    outcomes = []
    for outcome in scheduler.run(tasks):
        outcomes.append(outcome.key)
        if outcome.key == "a":
            scheduler.add([Task("z", ("do", str(tmp_path / "z")), 10)])
            scheduler.drop(["c"])
    assert outcomes == ["a", "z", "b"]


@pytest.mark.parametrize(
    ("opening", "error", "reason"),
    [
        ("fails", FileNotFoundError, "no such engine"),
        ("dies", WorkerLost, r"ended by signal 9 \(SIGKILL\)"),
        ("leaves", WorkerLost, "exit code 1: SystemExit: 3"),
        ("hangs", WorkerLost, "was not ready after 2 s"),
    ],
)
def test_workers_that_never_become_ready_end_the_run(
    tmp_path: Path, opening: str, error: type[Exception], reason: str
) -> None:
    events = EventRecorder()
    make = functools.partial(ToyWorker, opening)
    scheduler = ProcessScheduler(
        make, events, Limits(start_failures=2, open_s=2 if opening == "hangs" else 60)
    )
    with pytest.raises(error, match=reason):
        list(scheduler.run([Task("a", ("do", str(tmp_path / "a")), 1)]))
    assert [worker for worker, _, _ in events.losses] == [None, None]


def test_closing_the_run_ends_the_worker(tmp_path: Path) -> None:
    events = EventRecorder()
    scheduler = ProcessScheduler(ToyWorker, events)
    outcomes = scheduler.run([Task(key, ("do", str(tmp_path / key)), 1) for key in ("a", "b")])
    worker = next(outcomes).result[1]
    outcomes.close()
    assert not is_running(worker)


DRIVER = """
import sys
from facecap_batch.scheduling.messages import Listener, Task
from facecap_batch.scheduling.process_scheduler import ProcessScheduler
from tests.support.toy_workers import EventRecorder, ToyWorker
class Say(Listener):
    def joined(self, worker): print(worker.pid, flush=True)
list(ProcessScheduler(ToyWorker, Say()).run([Task("a", ("hang once", sys.argv[1]), 1)]))
"""


def test_the_worker_ends_with_its_driver(tmp_path: Path) -> None:
    """Also a worker that hangs, and a driver that is killed and can tell nobody."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "mark")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    with driver.stdout:
        assert is_running(worker)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        # The worker holds the other end of this pipe no more than the driver does: it reads from nobody.
        waited = subprocess.run(
            ["tail", f"--pid={worker}", "-s", "0.1", "-f", os.devnull], timeout=60, check=False
        )
    assert waited.returncode == 0 and not is_running(worker)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library is not glibc")
def test_the_threads_of_a_worker_share_their_free_memory() -> None:
    worker = WorkerProcess(ArenaCounter)
    try:
        assert worker.receive(100).node_id == "1"
    finally:
        worker.kill()
