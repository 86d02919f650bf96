"""What a capture gives, and what it says where it cannot."""

from __future__ import annotations

import builtins
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import facecap_batch
from facecap_batch.api.captures import EnginesClosed
from facecap_batch.coefficients import SCHEMA
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import BadVideo, EngineError
from facecap_batch.exporting.formats import UnknownFormat
from facecap_batch.output.exports import NotExportable, UnknownClip
from tests.support.videos import write_video


@pytest.fixture(scope="module")
def take(random_engines: EngineSet, tmp_path_factory: pytest.TempPathFactory) -> facecap_batch.Capture:
    video = write_video(tmp_path_factory.mktemp("take") / "take 1.mp4", 20)
    return facecap_batch.capture(video, engines=random_engines.folder, backend="onnxruntime-cpu")


def test_tables_and_files(take: facecap_batch.Capture, tmp_path: Path) -> None:
    assert take.clip_id == "take 1" and take.notes == () and len(take.final) == len(take.raw) == 20
    assert take.final.info.source == "take 1.mp4"
    for which in ("final", "raw"):
        assert take.to_arrow(which).column_names == SCHEMA.names
        assert (
            take.to_parquet(tmp_path / "new" / f"{which}.parquet", which)
            == tmp_path / "new" / f"{which}.parquet"
        )
        assert pq.read_table(tmp_path / "new" / f"{which}.parquet").equals(take.to_arrow(which))
    assert take.export(tmp_path / "take.fbx") == tmp_path / "take.fbx"
    take.export(str(tmp_path / "take.csv"))
    take.export(tmp_path / "face", format="livelink")
    assert (tmp_path / "take.csv").read_bytes() == (tmp_path / "face").read_bytes()
    with pytest.raises(ValueError, match="'final' or 'raw'"):
        take.to_arrow("both")  # type: ignore[arg-type]
    for arguments in ({"path": "take.abc"}, {"path": "take"}, {"path": "take.fbx", "format": "abc"}):
        with pytest.raises(UnknownFormat, match=r"no .* format.* there are: fbx.*, livelink"):
            take.export(**arguments)


def test_a_data_frame(take: facecap_batch.Capture) -> None:
    frame = take.to_pandas()
    assert list(frame.columns) == SCHEMA.names and len(frame) == 20
    np.testing.assert_array_equal(frame["jawOpen"].to_numpy(), take.to_arrow()["jawOpen"].to_numpy())


def test_a_data_frame_without_pandas(take: facecap_batch.Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pandas(name: str, *arguments: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ImportError, match="pip install pandas"):
        take.to_pandas()


def test_engines_are_shared_and_closed(random_engines: EngineSet, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", 10)
    seen: list[int] = []
    with facecap_batch.open_engines(str(random_engines.folder), backend="onnxruntime-cpu") as engines:
        assert engines.backend == "onnxruntime-cpu"
        plain = facecap_batch.capture(video, engines=engines, progress=seen.append)
        firm = facecap_batch.capture(
            video, engines=engines, solve=facecap_batch.SolveSettings(smoothing=5.0), start=Fraction(0)
        )
        with pytest.raises(ValueError, match="belong to open_engines"):
            facecap_batch.capture(video, engines=engines, backend="torch")
    assert seen[-1] == 10 and plain.raw.metadata == firm.raw.metadata
    assert plain.final.metadata["fingerprint"] != firm.final.metadata["fingerprint"]
    with pytest.raises(EnginesClosed, match="with block"):
        facecap_batch.capture(video, engines=engines)


def test_errors_name_what_is_wrong(random_engines: EngineSet, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="nobody"):
        facecap_batch.capture("a.mp4", engines="nobody")
    with facecap_batch.open_engines(random_engines.folder, backend="onnxruntime-cpu") as engines:
        with pytest.raises(BadVideo, match="absent"):
            facecap_batch.capture(tmp_path / "absent.mp4", engines=engines)
        for wrong, words in (
            ({"start": "soon"}, "start: 'soon' is not a time"),
            ({"start": 2, "end": 1}, r"end \(1\) is not after start \(2\)"),
            ({"end": -1.0}, "end: '-1.0' is not a time"),
            ({"timecode": "noon"}, "not a timecode"),
        ):
            with pytest.raises(ValueError, match=words):
                facecap_batch.capture("a.mp4", engines=engines, **wrong)  # type: ignore[arg-type]
        video = write_video(tmp_path / "a.mp4", 5)
        late = facecap_batch.capture(video, engines=engines, timecode="01:00:00:99")
        with pytest.raises(NotExportable, match="a as livelink"):
            late.export(tmp_path / "a.csv")
    with pytest.raises(UnknownClip, match="no tables of clip 'b'"):
        facecap_batch.read(tmp_path, "b")
