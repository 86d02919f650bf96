"""Versions of the libraries that make pictures: which of them share a folder, and what is said otherwise."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
from pathlib import Path

import pytest

from facecap_batch import machine
from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.errors import EngineMismatch
from facecap_batch.runs.config import RunConfig, RunOptions
from facecap_batch.runs.manifest import read_manifest
from facecap_batch.runs.observers.progress import PlainDisplay
from facecap_batch.runs.opened_engines import open_engines
from facecap_batch.runs.start import start_run
from tests.support.runs import make_config_of, rows, write_clips


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, version: str) -> None:
    """Let Python find metadata of this version of PyAV before those of the installed one."""
    metadata = folder / version / f"av-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: av\nVersion: {version}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder / version))
    # Workers are processes of their own, with a path of their own.
    monkeypatch.setenv("PYTHONPATH", str(folder / version), prepend=":")
    assert importlib.metadata.version("av") == version


@pytest.mark.parametrize("version", ["17.0.0", "18.1.0", "19.0.2"])
def test_versions_that_were_compared_are_one(
    random_engines, config: RunConfig, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, version)
    assert machine.other_pictures() == {}
    assert make_config_of(random_engines).capture_fingerprint() == config.capture_fingerprint()


@pytest.mark.parametrize("version", ["16.1.0", "99.1.0"])
def test_other_versions_make_other_results(
    random_engines, config: RunConfig, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path, version)
    other = make_config_of(random_engines)
    assert other.libraries == {"av": version.removesuffix(".0")}
    assert other.capture_fingerprint() != config.capture_fingerprint()
    assert RunConfig.from_description(other.describe()) == other
    open_engines(other)
    with pytest.raises(EngineMismatch, match=rf"{version}.*install the same versions on every node"):
        open_engines(config)


def test_an_upgrade_says_why_finished_clips_are_captured_again(
    random_engines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, output = write_clips(tmp_path / "clips", {"a": 8, "b": 8}), tmp_path / "out"

    def run(config: RunConfig) -> str:
        said = io.StringIO()
        summary = start_run(
            read_manifest(manifest), config, RunOptions(output, workers=1), PlainDisplay(said)
        )
        assert summary.done == 2
        return said.getvalue()

    assert "again" not in run(make_config_of(random_engines))
    finished = {clip: row["wall_s"] for clip, row in rows(output).items()}
    install(monkeypatch, tmp_path, "19.9.0")
    assert "again" not in run(make_config_of(random_engines))
    assert {clip: row["wall_s"] for clip, row in rows(output).items()} == finished
    install(monkeypatch, tmp_path, "99.1.0")
    said = run(make_config_of(random_engines))
    assert "2 finished clip(s) are captured again (a, b): pictures may differ" in said and "av 99.1" in said
    faster = dataclasses.replace(make_config_of(random_engines), capture=CaptureSettings(detect_every=3))
    assert "captured again (a, b): detect_every was 6 and is 3" in run(faster)
