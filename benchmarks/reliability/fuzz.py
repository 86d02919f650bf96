"""Thousands of damaged and forged inputs: does any crash, hang, eat memory, or open what is not its own?

    python benchmarks/reliability/fuzz.py [containers] [clips] [manifests] [records] [cards]
        [--count 5000] [--minutes M] [--seed 1] [--corpus FOLDER] [--finds FOLDER]

Each kind of input is a module of `tests/support/fuzz_targets`. A process of its own takes the mutations one
after the other, as a worker does; it is replaced when it dies or exceeds a limit. An input that ends in a way
that was not seen before joins those that are mutated; with `--corpus` also those of later runs. Prints a line
for each kind, and what was found; keeps the inputs found in `--finds`. Exit code 1 where something was found:

- crash: the process died; hang: no end in `LIMIT_S`; unnamed: an error that is none of the package's own
- memory: more than `MAX_MEMORY` beyond what the process held before
- opened: a file outside the input's own folders and the installed libraries, or a connection
- descriptors: files left open

`memory` in the line is what the process holds of its own (anonymous memory) against the time after `WARM_UP`
inputs: after the inputs in `MARKS`, and at the end. What is mapped from files the kernel drops and reads
again as it likes; `with files` is all that is resident at the end, against the same time.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import importlib
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from facecap_batch.scheduling.cluster import WORKER_ENVIRONMENT  # noqa: E402  the path comes first
from tests.support.fuzz_targets.target import SECRET, Target, outcome  # noqa: E402
from tests.support.fuzzing import mutation  # noqa: E402
from tests.support.opened_files import OpenedFiles  # noqa: E402

KINDS = sorted(
    path.stem
    for path in (ROOT / "tests/support/fuzz_targets").glob("*.py")
    if path.stem not in ("__init__", "target")
)
LIMIT_S = 60.0  # for one input; on a busy machine
START_S = 300.0  # for engines to open and valid inputs to be made
MARKS = (1000, 2500)  # inputs after which its memory is told, beside that at the end: does it still grow?
WARM_UP = 200  # inputs, until every library that is loaded late has been
MAX_MEMORY = 1 << 30  # bytes
MAX_LEFT_OPEN = 4  # descriptors: a library may keep one or two for itself
MAX_JOINED = 400  # inputs that join those that are mutated
MAX_INPUT = 1 << 20  # bytes of one that joins
LIBRARIES = tuple(
    {str(ROOT), sys.prefix, sys.base_prefix, "/usr", "/lib", "/proc/", "/sys/", "/dev/", "/etc/"}
)
CONNECTIONS = (
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.exec",
    "os.system",
    "os.posix_spawn",
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """How the process took one input."""

    end: str  # as `outcome`, or "unnamed: …"
    opened: list[str]  # what it must not open
    held: int  # bytes of its own, after the input
    resident: int  # bytes, those mapped from files included
    peak: int  # bytes at most beyond those resident before it
    left_open: int  # descriptors more than before it


class Child:
    """The process that takes inputs."""

    def __init__(self, kind: str, folder: Path) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), kind, "--child", str(folder)]
        environment = {**os.environ, **WORKER_ENVIRONMENT}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self._given, self._said = self._process.stdin, self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._said, selectors.EVENT_READ)

    def inputs(self) -> list[bytes]:
        """The valid inputs that it made."""
        return [Path(path).read_bytes() for path in json.loads(self._line(START_S))]

    def take(self, path: Path) -> Answer | str:
        """Its answer, or what became of it instead."""
        try:
            print(path, file=self._given, flush=True)
            return Answer(**json.loads(self._line(LIMIT_S)))
        except TimeoutError:
            self.end()
            return f"hang: no end after {LIMIT_S:.0f} s"
        except (EOFError, BrokenPipeError):
            return f"crash: the process ended with {self._process.wait()}"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self, limit_s: float) -> str:
        if not self._selector.select(limit_s):
            raise TimeoutError
        line = self._said.readline()
        if not line:
            raise EOFError
        return line


def answer_inputs(kind: str, folder: Path) -> None:
    """Take inputs: a path on each line of standard input, an `Answer` on each of standard output."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    target: Target = importlib.import_module(f"tests.support.fuzz_targets.{kind}").TARGET
    needed = folder / "needed"
    (needed / SECRET).mkdir(parents=True, exist_ok=True)
    paths = []
    for number, data in enumerate(target.inputs(needed)):
        paths.append(str(folder / f"valid{number}"))
        Path(paths[-1]).write_bytes(data)
    print(json.dumps(paths), file=said, flush=True)
    secret = OpenedFiles([needed / SECRET])
    touched: list[str] = []
    sys.addaudithook(lambda event, arguments: _note(event, arguments, folder, touched))
    for line in sys.stdin:
        resident, descriptors = _memory("VmRSS"), _descriptors()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        touched.clear()
        try:
            end = outcome(target, Path(line.rstrip("\n")))
        except Exception as error:
            end = f"unnamed: {type(error).__name__}: {error}"
        opened = [*touched, *(str(path) for path in secret.since())]
        peak = _memory("VmHWM") - resident
        answer = Answer(
            end[:2000],
            opened[:20],
            _memory("RssAnon"),
            _memory("VmRSS"),
            peak,
            _descriptors() - descriptors,
        )
        print(json.dumps(dataclasses.asdict(answer)), file=said, flush=True)


def _note(event: str, arguments: tuple[Any, ...], folder: Path, touched: list[str]) -> None:
    if event in CONNECTIONS:
        touched.append(f"{event} {arguments[:2]}")
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith((str(folder), *LIBRARIES)):
            touched.append(path)


def _memory(field: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{field}:\s+(\d+) kB", text)[0]) * 1024


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  a name for each is enough


class Fuzzing:
    """The mutations of one kind of input."""

    def __init__(self, kind: str, arguments: argparse.Namespace, folder: Path) -> None:
        self._kind, self._arguments, self._folder = kind, arguments, folder
        self._target: Target = importlib.import_module(f"tests.support.fuzz_targets.{kind}").TARGET
        self._child = Child(kind, folder)
        self._valid = self._child.inputs()
        self._corpus = arguments.corpus / kind if arguments.corpus else None
        if self._corpus:
            self._corpus.mkdir(parents=True, exist_ok=True)
            self._valid += [path.read_bytes() for path in sorted(self._corpus.iterdir())]
        self._joined = 0
        self._seen: set[str] = set()
        self.ends: collections.Counter[str] = collections.Counter()
        self.finds: list[tuple[int, str]] = []
        self._first: Answer | None = None
        self._last: Answer | None = None
        self._marks: list[str] = []
        self._restarts = self._done = 0

    def run(self) -> None:
        until = time.monotonic() + 60 * self._arguments.minutes
        for number in range(self._arguments.count):
            if time.monotonic() > until:
                break
            self._one(number)
            self._done += 1
        self._child.end()

    def line(self, seconds: float) -> str:
        memory = "no memory measured"
        if self._first and self._last:
            held, resident = self._last.held, self._last.resident
            memory = (
                f"memory {''.join(self._marks)}{held / self._first.held:.3f} x ({held >> 20} MiB), "
                f"with files {resident / self._first.resident:.3f} x ({resident >> 20} MiB)"
            )
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.most_common(6))
        return (
            f"{self._kind}: {self._done} inputs in {seconds:.0f} s; {len(self.finds)} finds; "
            f"{ends}; {self._joined} joined; {memory}, {self._restarts} restarts"
        )

    def _one(self, number: int) -> None:
        one = mutation(self._valid, self._arguments.seed, number, self._target.mutators)
        given = self._folder / "given"
        given.mkdir(exist_ok=True)
        path = given / f"input{self._target.suffixes[number % len(self._target.suffixes)]}"
        path.write_bytes(one.data)
        answer = self._child.take(path)
        if isinstance(answer, str):
            self._found(number, answer, path)
            self._child = Child(self._kind, self._folder)
            self._child.inputs()
            self._restarts += 1
            self._first = self._last = None
            self._marks.clear()
        else:
            self._judge(number, answer, path)
            self._join(answer.end, one.data)
        path.unlink()

    def _judge(self, number: int, answer: Answer, path: Path) -> None:
        self.ends[answer.end.partition(":")[0]] += 1
        self._last = answer
        if number == WARM_UP or not self._first:
            self._first = answer
        if number in MARKS:
            self._marks.append(f"{answer.held / self._first.held:.3f} x after {number:,}, ")
        if answer.end.startswith("unnamed"):
            self._found(number, answer.end, path)
        if answer.opened:
            self._found(number, f"opened: {answer.opened}", path)
        if answer.peak > MAX_MEMORY:
            self._found(number, f"memory: {answer.peak >> 20} MiB", path)
        if answer.left_open > MAX_LEFT_OPEN:
            self._found(number, f"descriptors: {answer.left_open} left open", path)

    def _join(self, end: str, data: bytes) -> None:
        """Let an input whose end is new be mutated in its turn."""
        look = re.sub(r"\d+|'[^']*'|/\S+", "#", end)
        if look in self._seen or self._joined >= MAX_JOINED or len(data) > MAX_INPUT:
            return
        self._seen.add(look)
        self._valid.append(data)
        self._joined += 1
        if self._corpus:
            (self._corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def _found(self, number: int, what: str, path: Path) -> None:
        self.finds.append((number, what))
        print(f"{self._kind} {number}: {what[:300]}", flush=True)
        if self._arguments.finds:
            folder = self._arguments.finds / self._kind
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self._arguments.seed}-{number}{path.suffix}").write_bytes(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=[], help=f"{', '.join(KINDS)}; default: all")
    parser.add_argument("--count", type=int, default=5000, help="inputs of each kind")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for each kind, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder of inputs that grows from run to run")
    parser.add_argument("--finds", type=Path, help="folder for the inputs that found something")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = set(arguments.kinds) - set(KINDS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(KINDS)}")
    if arguments.child:
        answer_inputs(arguments.kinds[0], arguments.child)
        return
    found = 0
    for kind in arguments.kinds or KINDS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            fuzzing = Fuzzing(kind, arguments, Path(folder).resolve())
            fuzzing.run()
        print(fuzzing.line(time.monotonic() - started), flush=True)
        found += len(fuzzing.finds)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
