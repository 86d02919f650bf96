"""The scheduler on real Ray, with toy workers: deaths are real deaths."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import ray

from facecap_batch.errors import WorkerLost
from facecap_batch.scheduling.messages import Done, Failed, Hello, Outcome, Progress, Task
from facecap_batch.scheduling.scheduler import Limits, Scheduler

pytestmark = pytest.mark.usefixtures("ray_floor")


@ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)
class Toy:
    """Does what its payload says."""

    def __init__(self, mood: str = "") -> None:
        self.mood = mood

    def hello(self) -> Hello:
        if self.mood == "refuses":
            raise FileNotFoundError("no such engine")
        if self.mood == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return Hello(ray.get_runtime_context().get_node_id(), os.getpid())

    def work(self, payload: tuple[str, str]):
        order, place = payload
        for frames in range(3):
            yield Progress(frames)
        first_time = not Path(place).exists()
        Path(place).touch()
        if order == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if order == "die once" and first_time:
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "hang once" and first_time:
            time.sleep(600)
        if order == "fail":
            yield Failed("BadVideo", "not a video")
            return
        if order == "fail once" and first_time:
            yield Failed("OSError", "the storage hiccups", retry=True)
            return
        if order == "bug":
            raise ZeroDivisionError("oops")
        yield Done((order, os.getpid()))


class Ear:
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.started_keys: list[str] = []
        self.retries: list[str] = []
        self.heartbeats = 0
        self.counts: list[int] = []
        self.joined_workers: list[Hello] = []
        self.losses: list[tuple[Hello | None, str, bool]] = []

    def started(self, key: str, worker: Hello) -> None:
        self.started_keys.append(key)

    def progress(self, key: str, progress: Progress) -> None:
        self.heartbeats += 1

    def ended(self, outcome: Outcome) -> None:
        pass

    def retried(self, key: str, reason: str) -> None:
        self.retries.append(key)

    def workers(self, count: int) -> None:
        self.counts.append(count)

    def joined(self, worker: Hello) -> None:
        self.joined_workers.append(worker)

    def lost(self, worker: Hello | None, reason: str, node_died: bool) -> None:
        self.losses.append((worker, reason, node_died))


def carry_out(
    orders: dict[str, str], folder: Path, workers: int = 2, **limits
) -> tuple[dict[str, Outcome], Ear]:
    tasks = [Task(key, (order, str(folder / key)), cost=len(key)) for key, order in orders.items()]
    ear = Ear()
    scheduler = Scheduler(lambda: Toy.remote(), lambda: workers, ear, Limits(**limits))
    return {outcome.key: outcome for outcome in scheduler.run(tasks)}, ear


def test_every_task_ends_once_longest_first(tmp_path: Path) -> None:
    outcomes, ear = carry_out({"a" * length: "do" for length in (2, 5, 1, 4, 3)}, tmp_path, workers=1)
    assert [len(key) for key in ear.started_keys] == [5, 4, 3, 2, 1]
    assert len(outcomes) == 5 and all(outcome.ok and outcome.attempts == 1 for outcome in outcomes.values())
    assert ear.heartbeats == 15


def test_tasks_come_and_go_between_outcomes(tmp_path: Path) -> None:
    """What is added costlier goes first; what is dropped is not done, or not again where it was begun."""
    ear = Ear()
    scheduler = Scheduler(lambda: Toy.remote(), lambda: 1, ear)
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
    assert ear.started_keys == ["a", "b", "z", "dying"]
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
    outcomes, ear = carry_out(orders, tmp_path, attempts=2, stall_s=3)
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
    assert sorted(ear.retries) == ["hiccup", "mortal", "poison", "stuck"]
    # Two for the poison, one each for the mortal and the stuck; all of them had been ready.
    assert len(ear.losses) == 4 and all(worker in ear.joined_workers for worker, _, _ in ear.losses)
    assert not any(node_died for _, _, node_died in ear.losses)


def test_no_more_workers_than_tasks(tmp_path: Path) -> None:
    _, ear = carry_out({"only": "do"}, tmp_path, workers=2)
    assert max(ear.counts) == 1


@pytest.mark.parametrize(("mood", "error"), [("refuses", FileNotFoundError), ("dies", WorkerLost)])
def test_workers_that_cannot_start_end_the_run(mood: str, error: type[Exception]) -> None:
    scheduler = Scheduler(lambda: Toy.remote(mood), lambda: 1, Ear(), Limits(start_failures=2))
    with pytest.raises(error):
        list(scheduler.run([Task("a", ("do", "/nowhere"), 1.0)]))


def test_closing_stops_the_workers(tmp_path: Path) -> None:
    tasks = [
        Task("quick", ("do", str(tmp_path / "q")), 2),
        Task("slow", ("hang once", str(tmp_path / "s")), 1),
    ]
    outcomes = Scheduler(lambda: Toy.remote(), lambda: 2, Ear()).run(tasks)
    outcome = next(outcomes)
    outcomes.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{outcome.result[1]}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{outcome.result[1]}").exists()
