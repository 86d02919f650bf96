"""What the tests of live sources send."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recordings import FRAMES, plain_video
from tests.support.streams import FPS
from tests.support.videos import write_video


@pytest.fixture(scope="session")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 with B-frames."""
    path = tmp_path_factory.mktemp("take") / "take.mkv"
    return write_video(path, FRAMES, FPS, options={"bf": "2", "g": "10"})


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 without B-frames."""
    return plain_video(tmp_path_factory.mktemp("plain"))
