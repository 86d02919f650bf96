"""The plan cache: what is reused, what is built again, and that nothing foreign is ever trusted.

Plans are those of the stand-ins in `gpu_for_tests`, for there is no GPU; files, locks and digests are real.
"""

from __future__ import annotations

import dataclasses
import runpy
import threading
import time
from pathlib import Path

import pytest

from facecap_batch.cli.app import main
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet
from facecap_batch.engines.tensorrt import plans as plan_cache
from facecap_batch.engines.tensorrt.plans import CACHE_VARIABLE, PlanKey, fetch, plan_path, plans
from facecap_batch.errors import BackendUnavailable, EngineError
from tests.support import gpu

KEY = PlanKey("0" * 64, "10.3.0", "GPU", "8.6", "fp32", "x", (((1, 2), (1, 2), (1, 2)),), 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "tensorrt"


def test_a_plan_is_built_once(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    trt = gpu.install(monkeypatch)
    for _ in range(2):
        open_engine(random_engines.regressor, "tensorrt")
    assert trt.builds == 1
    (plan,) = plans()
    assert plan.name.startswith("test-regressor-fp32-")
    assert cache.stat().st_mode & 0o077 == 0
    assert [path.name for path in cache.glob("*.timing")] and not list(cache.glob(".tmp-*"))


def test_timings_serve_the_next_build_and_may_be_damaged(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    gpu.install(monkeypatch)
    open_engine(random_engines.regressor, "tensorrt")
    (timing,) = cache.glob("*.timing")
    assert timing.read_bytes() == b"t"
    open_engine(random_engines.detector, "tensorrt")
    assert timing.read_bytes() == b"tt"
    timing.write_bytes(b"spoilt")
    open_engine(random_engines.detector, "tensorrt-fp16")
    assert timing.read_bytes() == b"t"


@pytest.mark.parametrize(
    ("version", "device"),
    [
        ("10.16.1", {}),
        ("10.3.0", {"name": "Another GPU"}),
        ("10.3.0", {"capability": (9, 0)}),
    ],
)
def test_another_machine_or_version_gets_its_own(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, version: str, device: dict
) -> None:
    gpu.install(monkeypatch)
    open_engine(random_engines.regressor, "tensorrt")
    trt = gpu.install(monkeypatch, version, **device)
    open_engine(random_engines.regressor, "tensorrt")
    assert trt.builds == 1 and len(plans()) == 2


def test_a_foreign_plan_under_our_name_is_built_again(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.install(monkeypatch, name="Another GPU")
    open_engine(random_engines.regressor, "tensorrt")
    (foreign,) = plans()
    trt = gpu.install(monkeypatch)
    open_engine(random_engines.regressor, "tensorrt")
    (own,) = set(plans()) - {foreign}
    own.write_bytes(foreign.read_bytes())
    open_engine(random_engines.regressor, "tensorrt")
    assert trt.builds == 2 and "made for another GPU" in caplog.text
    assert own.read_bytes() != foreign.read_bytes()


@pytest.mark.parametrize("harm", ["flipped", "cut", "emptied", "other", "header"])
def test_a_damaged_plan_is_built_again(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    trt = gpu.install(monkeypatch)
    open_engine(random_engines.regressor, "tensorrt")
    (plan,) = plans()
    whole = plan.read_bytes()
    plan.write_bytes(
        {
            "flipped": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
            "cut": whole[: len(whole) // 2],
            "emptied": b"",
            "other": b"something else",
            "header": whole.replace(b'{"key"', b'["key"'),
        }[harm]
    )
    engine = open_engine(random_engines.regressor, "tensorrt")
    assert engine.backend == "tensorrt" and trt.builds == 2
    assert "is damaged; it is built again" in caplog.text
    assert plan.read_bytes() == whole


def test_a_plan_that_tensorrt_refuses_is_built_again(caplog: pytest.LogCaptureFixture) -> None:
    def refuse_old(plan: bytes) -> bytes | None:
        return None if plan == b"old" else plan

    assert fetch("engine", KEY, lambda: b"old", lambda plan: plan) == b"old"
    assert fetch("engine", KEY, lambda: b"new", refuse_old) == b"new"
    assert "is refused by TensorRT" in caplog.text
    assert fetch("engine", KEY, lambda: b"never", refuse_old) == b"new"
    with pytest.raises(EngineError, match="does not load the plan it built"):
        fetch("other", KEY, lambda: b"old", refuse_old)
    assert not plan_path("other", KEY).exists()


def test_every_part_of_the_key_counts() -> None:
    others = {
        "onnx_sha256": "1" * 64,
        "tensorrt": "10.3.1",
        "gpu": "GPU Ti",
        "compute_capability": "8.9",
        "precision": "fp16",
        "input": "y",
        "profiles": (((1, 2), (1, 3), (1, 3)),),
        "workspace_bytes": 2,
        "form": plan_cache.PLAN_FORM + 1,
    }
    assert set(others) == {field.name for field in dataclasses.fields(PlanKey)}
    keys = [KEY, *(dataclasses.replace(KEY, **{name: value}) for name, value in others.items())]
    assert len({key.digest() for key in keys}) == len(keys)
    assert len({key.timing_digest() for key in keys}) == 4  # version, name, capability


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    def build() -> bytes:
        raise BackendUnavailable("no")

    with pytest.raises(BackendUnavailable):
        fetch("engine", KEY, build, lambda plan: plan)
    assert plans() == [] and not list(cache.glob(".tmp-*"))


def test_one_builds_and_the_others_wait() -> None:
    built: list[float] = []

    def build() -> bytes:
        built.append(time.monotonic())
        time.sleep(0.3)
        return b"plan"

    opened: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: opened.append(fetch("engine", KEY, build, lambda plan: plan)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [b"plan"] * 4 and len(built) == 1


def test_a_cache_that_cannot_be_written_is_done_without(
    random_engines: EngineSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    gpu.install(monkeypatch)
    assert open_engine(random_engines.regressor, "tensorrt").backend == "tensorrt"
    assert f"cannot be written to ({'[Errno'}" in caplog.text and CACHE_VARIABLE in caplog.text


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert plan_cache.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert plan_cache.cache_folder() == tmp_path / "xdg" / "facecap-batch"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plan_cache.cache_folder() == tmp_path / ".cache" / "facecap-batch"


def test_plans_are_built_ahead_from_the_command_line(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trt = gpu.install(monkeypatch)
    command = ["engines", "build", str(random_engines.folder), "--backend", "tensorrt"]

    def call(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*command, *arguments])
        return end.value.code, *capsys.readouterr()

    code, text, _ = call("--backend", "tensorrt-fp16")
    assert code == 0 and text.count("built in") == 4 and str(plans()[0]) in text
    assert trt.builds == 4
    code, text, _ = call()
    assert text.count("is there") == 2 and trt.builds == 4
    assert call("--backend", "onnxruntime-cpu")[0::2][0] == 2
    code, text, _ = call("--backend", "tensorrt-int8")
    assert code == 2
    assert open_engine(random_engines.detector, "tensorrt").backend == "tensorrt" and trt.builds == 4


def test_the_job_takes_each_kind_of_node() -> None:
    job = runpy.run_path(str(Path(__file__).resolve().parents[2] / "jobs" / "build_plans.py"))

    def node(name: str, alive: bool = True, **resources: float) -> dict:
        return {"NodeID": name, "Alive": alive, "Resources": {"CPU": 4, **resources}}

    found = job["kinds"](
        [
            node("a", GPU=1, **{"accelerator_type:A10G": 1}),
            node("b", GPU=4, **{"accelerator_type:H100": 1}),
            node("c", GPU=1, **{"accelerator_type:A10G": 1}),
            node("d"),
            node("e", alive=False, GPU=1),
            node("f", GPU=1),
        ]
    )
    assert found == {"A10G": ["a", "c"], "H100": ["b"], "unknown": ["f"]}


def test_the_job_says_what_a_node_lacks() -> None:
    job = runpy.run_path(str(Path(__file__).resolve().parents[2] / "jobs" / "build_plans.py"))
    well, lines = job["build"]("default", ["onnxruntime-cpu"])
    assert not well and "has nothing to build" in lines[-1]
