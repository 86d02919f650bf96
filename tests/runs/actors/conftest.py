"""Videos of actors, and engines whose gains show where each coefficient rests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.engines.sets import EngineSet
from facecap_batch.runs.config import RunConfig
from tests.support.actor_runs import CLIPS, everything, row
from tests.support.engines import write_engines
from tests.support.runs import make_config_of, run_quietly, write_clips, write_manifest


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> EngineSet:
    """They have a gain for every coefficient, so that it shows where each rests."""
    return write_engines(tmp_path_factory.mktemp("engines"), gains=dict.fromkeys(ARKIT_NAMES, 1.6))


@pytest.fixture(scope="module")
def config(engines: EngineSet) -> RunConfig:
    return make_config_of(engines)


@pytest.fixture(scope="module")
def by_actor(engines: EngineSet) -> RunConfig:
    return make_config_of(engines, calibrate="actor")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_clips(folder, CLIPS)
    return folder


@pytest.fixture
def manifest_of(videos: Path, tmp_path: Path) -> Callable[..., Path]:
    """A manifest of some of the videos, with the actor of each."""

    def write(*clip_ids: str) -> Path:
        for name in CLIPS:
            link = tmp_path / f"{name}.mp4"
            if not link.exists():
                link.symlink_to(videos / link.name)
        return write_manifest(tmp_path, [row(name) for name in clip_ids])

    return write


@pytest.fixture(scope="module")
def clean(
    videos: Path, by_actor: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, bytes]]:
    """What a run that nothing disturbed makes of some of the clips."""
    known: dict[Sequence[str], dict[str, bytes]] = {}

    def made(*clip_ids: str) -> dict[str, bytes]:
        if clip_ids not in known:
            output = tmp_path_factory.mktemp("clean") / "out"
            manifest = write_manifest(videos, [row(name) for name in clip_ids])
            assert run_quietly(manifest, output, by_actor, workers=1).exit_code == 0
            known[clip_ids] = everything(output)
        return known[clip_ids]

    return made
