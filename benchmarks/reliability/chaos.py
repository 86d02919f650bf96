"""Whole runs under faults of machines, storage and people: nothing is lost, nothing is believed that is not.

Each fault is done to a run over pieces of the demo's videos with the real engines. Then the same command is
given again until it ends with 0, and the results are compared, byte for byte, with those of a run that
nothing disturbed; what others keep in the folder has to be there still. Prints a line for each:

- kills: the driver gets SIGKILL at random times, `--kills` times in one folder.
- removal: the output folder is removed while the run writes to it; the run must end with 1.
- clock: the clock of driver and worker stands a day earlier, then steps an hour back every second.
- memory: worker processes may not take more memory than they have, in the middle of a clip.
- storage: an S3 server that refuses, breaks off, and says it has kept what it has not; a run that was lied to
  must not end with 0 while files are missing.
- node: a node of a Ray cluster dies with the work in its hands, and another joins.

Exit code 1 where one is not survived.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "reliability")]

import pyarrow.parquet as pq  # noqa: E402
from faults import results, write_manifest  # noqa: E402  the path comes first

from facecap_batch.runs.worker import ClipWorker  # noqa: E402

if TYPE_CHECKING:
    from facecap_batch.runs.planner import Item
    from facecap_batch.scheduling.messages import Done, Failed, Progress

MAIN = "from facecap_batch.cli.app import main; main()"
# What a clock that steps back looks like to driver and worker: the machine's own belongs to everybody.
STEPPING = f"import chaos; chaos.step_back(); {MAIN}"
STARVING = (
    "import chaos, facecap_batch.runs.executors.process_executor as one; "
    f"one.make_worker = chaos.make_starved_worker; {MAIN}"
)
DAY_S, HOUR_S = 86_400.0, 3_600.0
THEIRS = "notes/.tmp-mine.txt"  # somebody else's file in the output folder
PATIENCE = 10  # commands until one has to end with 0


def step_back() -> None:
    """From now on this process's clock is a day late, and steps an hour back every second."""
    real, began = time.time, time.monotonic()
    time.time = lambda: real() - DAY_S - HOUR_S * int(time.monotonic() - began)


class StarvedWorker(ClipWorker):
    """The real worker, but the second clip of each process finds no memory."""

    clips = 0

    def work(self, item: Item) -> Iterator[Progress | Done | Failed]:
        self.clips += 1
        if self.clips == 2:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() // 2  # nothing more can be had
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        yield from super().work(item)


def make_starved_worker(*arguments: object) -> ClipWorker:
    return StarvedWorker(*arguments)  # type: ignore[arg-type]


class Chaos:
    """The runs of this benchmark."""

    def __init__(self, folder: Path, clips: int, kills: int) -> None:
        self.folder, self.kills = folder, kills
        self.manifest = write_manifest(folder / "manifest.csv", clips)
        self.clean: dict[str, bytes] = {}
        self.took_s = 0.0

    def start(self, output: object, drive: str = MAIN) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks" / "reliability")])
        command = [sys.executable, "-c", drive, "run", self.manifest, "-o", output, "-q", "--workers", 1]
        return subprocess.Popen(
            [*map(str, command), "--backend", "onnxruntime-cpu"],
            env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def undisturbed(self) -> bool:
        began = time.monotonic()
        code = self.start(self.folder / "clean").wait()
        self.took_s = time.monotonic() - began
        self.clean = results(self.folder / "clean") if code == 0 else {}
        return code == 0

    def output(self, name: str) -> Path:
        """A new output folder that holds a file of somebody else."""
        output = self.folder / name
        (output / THEIRS).parent.mkdir(parents=True)
        (output / THEIRS).write_text("theirs")
        return output

    def until_done(self, output: object) -> int:
        """Give the command until it ends with 0; how often it was given, 0 where it never does."""
        return next((count for count in range(1, PATIENCE + 1) if self.start(output).wait() == 0), 0)

    def survived(self, output: Path, what: str, as_expected: bool = True) -> bool:
        commands = self.until_done(output)
        same, kept = results(output) == self.clean, (output / THEIRS).is_file()
        left = sum(1 for path in output.rglob(".tmp-*") if path != output / THEIRS)
        print(
            f"{what}; {commands} command(s) later all is done: bytes identical: {same}, half-written files: "
            f"{left}, somebody else's file is there: {kept}",
            flush=True,
        )
        return as_expected and bool(commands) and same and kept and not left

    # --- faults -------------------------------------------------------------------------------------------

    def random_kills(self) -> bool:
        output, dice, killed = self.output("kills"), random.Random(7), 0
        for _ in range(self.kills):
            run = self.start(output)
            time.sleep(dice.uniform(0.0, self.took_s))
            if run.poll() is None:
                run.kill()
                killed += 1
            run.wait()
        return self.survived(output, f"kills: the driver was killed {killed} times")

    def removal(self) -> bool:
        output = self.output("removal")
        run = self.start(output)
        while run.poll() is None and not list((output / "ledger").glob("*.json")):
            time.sleep(0.02)
        shutil.rmtree(output)
        code = run.wait()
        gone = not output.exists()
        self.output("removal") if gone else None
        said = f"removal: the folder was removed, exit code {code} (has to be 1), it stayed removed: {gone}"
        return self.survived(output, said, code == 1 and gone)

    def clock(self) -> bool:
        output = self.output("clock")
        code = self.start(output, STEPPING).wait()
        return self.survived(output, f"clock: it stepped back under a run, exit code {code}", code == 0)

    def memory(self) -> bool:
        output = self.output("memory")
        code = self.start(output, STARVING).wait()
        attempts = pq.read_table(output / "clips.parquet")["attempts"].to_pylist()
        again = sum(attempts) - len(attempts)
        said = f"memory: workers ran out of it, exit code {code}, {again} attempts more than clips"
        return self.survived(output, said, again > 0)

    def storage(self) -> bool:
        from facecap_batch.storage.publish import storage_path
        from tests.support.object_store import BUCKET, running_store

        with running_store() as store:
            output = storage_path(f"s3://{BUCKET}/out")
            with store.fault("PUT", "/raw/", 2), store.fault("PUT", "/ledger/", 2, status=0):
                code = self.start(output).wait()
            with store.fault("PUT", "/fbx/", 1, status=200):  # it says it has it
                lied = self.start(f"{output}-2").wait()
            true = (lied == 0) == (_remote(storage_path(f"{output}-2"), self.clean) == self.clean)
            commands = [self.until_done(f"{output}{end}") for end in ("", "-2")]
            found = [_remote(storage_path(f"{output}{end}"), self.clean) for end in ("", "-2")]
            same = found == [self.clean, self.clean]
        print(
            f"storage: it refused, broke off, exit code {code}; it lied, exit code {lied}, rightly: {true}; "
            f"{max(commands)} command(s) later all is done: bytes identical: {same}",
            flush=True,
        )
        return all(commands) and same and true

    def node(self) -> bool:
        import ray
        from ray.cluster_utils import Cluster

        from facecap_batch.runs.config import RunOptions, make_config
        from facecap_batch.runs.manifest import read_manifest
        from facecap_batch.runs.start import start_run

        os.environ["PYTHONPATH"] = str(ROOT)
        output = self.output("node")
        size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 << 20}
        cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
        try:
            ray.init(address=cluster.address, log_to_driver=False)
            lost = cluster.add_node(**size)
            config = make_config("default", "onnxruntime-cpu")
            run = threading.Thread(
                target=start_run, args=(read_manifest(self.manifest), config, RunOptions(output)), daemon=True
            )
            run.start()
            while run.is_alive() and not list((output / "ledger").glob("*.json")):
                time.sleep(0.05)
            cluster.remove_node(lost, allow_graceful=False)
            cluster.add_node(**size)
            run.join()
        finally:
            ray.shutdown()
            cluster.shutdown()
        return self.survived(output, "node: one of two died, another joined")


def _remote(output: object, names: dict[str, bytes]) -> dict[str, bytes]:
    from facecap_batch.storage.remote import RemotePath

    assert isinstance(output, RemotePath)
    return {name: (output / name).read_bytes() for name in names if (output / name).exists()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faults", nargs="*", default=[], help="as above; default: all")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        chaos = Chaos(Path(name), options.clips, options.kills)
        faults: dict[str, Callable[[], bool]] = {
            "kills": chaos.random_kills, "removal": chaos.removal, "clock": chaos.clock,
            "memory": chaos.memory, "storage": chaos.storage, "node": chaos.node,
        }  # fmt: skip
        if not chaos.undisturbed():
            print("the undisturbed run failed")
            return 1
        print(f"undisturbed: {options.clips} clips in {chaos.took_s:.0f} s", flush=True)
        survived = [faults[fault]() for fault in options.faults or faults]
    return 0 if all(survived) else 1


if __name__ == "__main__":
    sys.exit(main())
