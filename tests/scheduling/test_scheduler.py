"""The scheduler on real Ray, with toy workers: deaths are real deaths."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
import ray

from facecap_batch.errors import WorkerLost
from facecap_batch.scheduling.messages import (
    Outcome,
    Task,
)
from facecap_batch.scheduling.scheduler import Scheduler
from facecap_batch.scheduling.task_queue import Limits
from tests.support.toy_workers import EventRecorder, ToyWorker

pytestmark = pytest.mark.usefixtures("ray_floor")


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class Toy(ToyWorker):
    """A toy on a node of Ray's."""

    def node_id(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def run_toys(
    orders: dict[str, str], folder: Path, workers: int = 2, **limits
) -> tuple[dict[str, Outcome], EventRecorder]:
    tasks = [Task(key, (order, str(folder / key)), cost=len(key)) for key, order in orders.items()]
    events = EventRecorder()
    scheduler = Scheduler(lambda: Toy.remote(), lambda: workers, events, Limits(**limits))
    return {outcome.key: outcome for outcome in scheduler.run(tasks)}, events


def test_every_task_ends_once_longest_first(tmp_path: Path) -> None:
    outcomes, events = run_toys({"a" * length: "do" for length in (2, 5, 1, 4, 3)}, tmp_path, workers=1)
    assert [len(key) for key in events.started_keys] == [5, 4, 3, 2, 1]
    assert len(outcomes) == 5 and all(outcome.ok and outcome.attempts == 1 for outcome in outcomes.values())
    assert events.heartbeats == 15


def test_tasks_come_and_go_between_outcomes(tmp_path: Path) -> None:
    """What is added costlier goes first; what is dropped is not done, or not again where it was begun."""
    events = EventRecorder()
    scheduler = Scheduler(lambda: Toy.remote(), lambda: 1, events)
    tasks = [Task(key, ("do", str(tmp_path / key)), cost) for key, cost in (("a", 9), ("b", 8), ("c", 1))]
    tasks.append(Task("dying", ("segfault", str(tmp_path / "dying")), 7))
    outcomes = {}
    for outcome in scheduler.run(tasks):
        outcomes[outcome.key] = outcome
        if outcome.key == "a":  # b is in the worker's hands by now
            scheduler.add([Task("z", ("do", str(tmp_path / "z")), 10)])
            scheduler.drop(["c"])
        if outcome.key == "z":
            scheduler.drop(["dying"])
    assert events.started_keys == ["a", "b", "z", "dying"]
    assert outcomes["z"].ok and outcomes["dying"].attempts == 1 and "c" not in outcomes


def test_failures_and_deaths_stay_with_their_task(tmp_path: Path) -> None:
    orders = {
        "poison": "segfault",
        "mortal": "die once",
        "stuck": "hang once",
        "bad": "fail",
        "hiccup": "fail once",
        "bug": "bug",
        **{f"good-{number}": "do" for number in range(8)},
    }
    outcomes, events = run_toys(orders, tmp_path, attempts=2, stall_s=3)
    assert set(outcomes) == set(orders)
    for number in range(8):
        assert outcomes[f"good-{number}"].ok and outcomes[f"good-{number}"].attempts == 1
    assert outcomes["mortal"].ok and outcomes["mortal"].attempts == 2
    assert outcomes["stuck"].ok and outcomes["stuck"].attempts == 2
    assert outcomes["hiccup"].ok and outcomes["hiccup"].attempts == 2
    assert (outcomes["poison"].error_type, outcomes["poison"].attempts) == ("WorkerLost", 2)
    assert "the worker process died" in outcomes["poison"].error
    assert (outcomes["bad"].error_type, outcomes["bad"].attempts) == ("BadVideo", 1)
    assert outcomes["bug"].error_type == "ZeroDivisionError"
    assert sorted(events.retries) == ["hiccup", "mortal", "poison", "stuck"]
    # Two for the poison, one each for the mortal and the stuck; all of them had been ready.
    assert len(events.losses) == 4 and all(worker in events.joined_workers for worker, _, _ in events.losses)
    assert not any(node_died for _, _, node_died in events.losses)


def test_a_worker_that_says_it_is_unfit_is_replaced(tmp_path: Path) -> None:
    outcomes, events = run_toys({"unfit": "unfit once", "good": "do"}, tmp_path, workers=1)
    assert [outcomes[key].attempts for key in ("unfit", "good")] == [2, 1]
    first, second = events.joined_workers
    assert [outcomes[key].result[1] for key in ("unfit", "good")] == [second.pid, second.pid]
    assert events.losses == [(first, "it leaks", False)]


def test_no_more_workers_than_tasks(tmp_path: Path) -> None:
    _, events = run_toys({"only": "do"}, tmp_path, workers=2)
    assert max(events.counts) == 1


@pytest.mark.parametrize(
    ("opening", "error", "reason"),
    [
        ("fails", FileNotFoundError, "^no such engine$"),  # the error itself, without Ray's traceback
        ("dies", WorkerLost, "no worker can be started: the worker process died"),
        ("hangs", WorkerLost, "no worker can be started: the worker was not ready after 1 s"),
    ],
)
def test_workers_that_cannot_start_end_the_run(opening: str, error: type[Exception], reason: str) -> None:
    events = EventRecorder()
    scheduler = Scheduler(
        lambda: Toy.remote(opening), lambda: 1, events, Limits(start_failures=2, open_s=1, start_pause_s=600)
    )
    with pytest.raises(error, match=reason):
        list(scheduler.run([Task("a", ("do", "/nowhere"), 1.0)]))
    assert len(events.losses) == 2 and all(worker is None for worker, _, _ in events.losses)


def test_a_worker_that_hangs_while_it_opens_is_replaced(tmp_path: Path) -> None:
    openings = iter(["hangs"])
    events = EventRecorder()
    scheduler = Scheduler(lambda: Toy.remote(next(openings, "")), lambda: 1, events, Limits(open_s=2))
    (outcome,) = scheduler.run([Task("a", ("do", str(tmp_path / "a")), 1.0)])
    # Not the task's fault: it had never been given to that worker.
    assert outcome.ok and outcome.attempts == 1 and not events.retries
    assert events.losses == [(None, "the worker was not ready after 2 s", False)]


def test_a_late_node_that_cannot_start_workers_does_not_end_the_run(tmp_path: Path) -> None:
    """One worker works; every other start fails. Starts become rare then, and everything is done."""
    openings = itertools.chain([""], itertools.repeat("fails"))
    started: list[str] = []

    def start_worker() -> object:
        started.append(next(openings))
        return Toy.remote(started[-1])

    events = EventRecorder()
    # The second worker is wanted once the first one works, as on a cluster that grows.
    scheduler = Scheduler(
        start_worker,
        lambda: 2 if events.joined_workers else 1,
        events,
        Limits(start_failures=2, start_pause_s=600),
    )
    tasks = [Task(f"task {number}", ("slow", str(tmp_path / str(number))), 1.0) for number in range(30)]
    outcomes = list(scheduler.run(tasks))
    assert len(outcomes) == len(tasks) and all(outcome.ok for outcome in outcomes)
    assert len(started) == 3  # the one that works and two that failed; then the pause began
    assert [worker for worker, _, _ in events.losses] == [None, None]
    assert all("no such engine" in reason for _, reason, _ in events.losses)


def test_closing_stops_the_workers(tmp_path: Path) -> None:
    tasks = [
        Task("quick", ("do", str(tmp_path / "q")), 2),
        Task("slow", ("hang once", str(tmp_path / "s")), 1),
    ]
    outcomes = Scheduler(lambda: Toy.remote(), lambda: 2, EventRecorder()).run(tasks)
    outcome = next(outcomes)
    outcomes.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{outcome.result[1]}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{outcome.result[1]}").exists()
