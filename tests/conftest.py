"""Shared fixtures: engine sets with random weights, the measuring footage where it is there."""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from facecap_batch.engines.sets import EngineSet
from facecap_batch.runs.config import RunConfig

if TYPE_CHECKING:
    from facecap_batch.training.rendering.dataset import FaceShard
    from tests.support.object_store import ObjectStore

EXIT_STATUS = pytest.StashKey[int]()
FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "clips"


@pytest.fixture(scope="session")
def random_engines(tmp_path_factory: pytest.TempPathFactory) -> EngineSet:
    """A set of the default shapes whose detector finds faces in every picture."""
    from tests.support.engines import write_engines

    return write_engines(tmp_path_factory.mktemp("random-engines"))


@pytest.fixture(scope="module")
def config(random_engines: EngineSet) -> RunConfig:
    """A run's configuration with `random_engines`."""
    from tests.support.runs import make_config_of

    return make_config_of(random_engines)


@pytest.fixture(scope="module")
def ray_floor() -> Iterator[None]:
    """One local Ray for all tests of a module."""
    from tests.support.local_ray import local_ray

    with local_ray():
        yield


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    """An S3 server with an empty bucket, where this process and those that it starts look for it."""
    from tests.support.object_store import running_store

    with running_store() as running:
        yield running


@pytest.fixture(scope="session")
def footage() -> Callable[[str], Path]:
    """A clip of the measuring footage by name; the test is skipped where the footage is absent."""

    def find(name: str) -> Path:
        path = FOOTAGE / name
        if not path.is_file():
            pytest.skip(f"no measuring footage: {name}")
        return path

    return find


@pytest.fixture(scope="session")
def shard() -> FaceShard:
    """Crops of the crude head, rendered once."""
    from facecap_batch.training.rendering import dataset
    from tests.support.head import rig_for_tests

    return dataset.face_shard(rig_for_tests(), 1, 32)


@pytest.fixture(scope="session")
def folder(shard: FaceShard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `shard` in it, as `jobs/synthesise.py` leaves one."""
    from facecap_batch.training.rendering import dataset

    folder = tmp_path_factory.mktemp("faces")
    dataset.save(folder / "faces_0001.npz", dataclasses.asdict(shard))
    return folder


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without the destructors of C++ where there was a Ray: threads of it outlive `ray.shutdown`, more
    with every Ray of a session, and have crashed sessions whose tests had all run (ray-project/ray#31145)."""
    if "ray" in sys.modules and EXIT_STATUS in config.stash:
        atexit._run_exitfuncs()  # the temporary folders of pytest are let go of there
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[EXIT_STATUS])
