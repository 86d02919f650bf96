"""Everything that people put into manifests by mistake, in one run with good clips: those complete, the bad
ones say why. Then folders that cannot be written, and disks that fill up.
"""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from facecap_batch.coefficients import read_parquet
from facecap_batch.errors import BadManifest, OutputNotWritable
from facecap_batch.runs.config import RunConfig
from tests.support.runs import (
    enlarge,
    half_written,
    results,
    rows,
    run_quietly,
    small_disk,
    write_clips,
    write_manifest,
)  # fmt: skip
from tests.support.videos import flip_bytes, picture, truncate, write_video

pytestmark = pytest.mark.usefixtures("ray_floor")

GOOD = {"good": 24, "path with spaces, ünïcödé 名前": 12}


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = 44100
        for _ in range(40):
            container.mux(stream.encode(frame))
            frame.pts = None
        container.mux(stream.encode(None))
    return path


def no_frames(path: Path) -> Path:
    """A container with a video stream in which nothing was ever written."""
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def lone_pixels(path: Path, side: int) -> Path:
    return write_video(
        path, [picture(number, side, side) for number in range(9)], codec="ffv1", pixel_format="yuv444p"
    )


@pytest.fixture(scope="module")
def output(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after one run over everything."""
    folder = tmp_path_factory.mktemp("bad input")
    whole = write_video(folder / "whole.mp4", 60, options={"g": "30"})
    for name, frames in GOOD.items():
        write_video(folder / f"{name}.mp4", frames)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("This is not a video.\n" * 100)
    (folder / "folder.mp4").mkdir()
    audio_only(folder / "audio.mp4")
    no_frames(folder / "no-frames.avi")
    # The index of an mp4 lies at its end; one in front is found, and then its pictures end early.
    truncate(whole, folder / "index-lost.mp4")
    early = write_video(folder / "early.mp4", 60, container_options={"movflags": "faststart"})
    truncate(early, folder / "truncated.mp4")
    flip_bytes(whole, folder / "flipped.mp4")
    lone_pixels(folder / "1x1.mkv", 1)
    lone_pixels(folder / "16x16.mkv", 16)
    names = [
        "missing.mp4",
        *(path.name for path in sorted(folder.iterdir()) if path.name not in ("whole.mp4", "early.mp4")),
    ]
    manifest = write_manifest(folder, [{"path": f'"{name}"'} for name in names])
    summary = run_quietly(manifest, folder / "out", config)
    assert summary.exit_code == 1 and summary.pending == 0
    assert summary.clips == len(names) == len(rows(folder / "out"))
    return folder / "out"


@pytest.mark.parametrize("name", sorted(GOOD))
def test_good_clips_complete(output: Path, name: str) -> None:
    row = rows(output)[name]
    assert (row["status"], row["frames"]) == ("done", GOOD[name])
    assert len(read_parquet(output / "coefficients" / f"{name}.parquet")) == GOOD[name]
    assert (output / "fbx" / f"{name}.fbx").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "error_type", "telling"),
    [
        ("missing", "BadVideo", "no such file"),
        ("empty", "BadVideo", "empty"),
        ("text", "NoVideoStream", "text.mp4"),
        ("folder", "BadVideo", "folder"),
        ("audio", "NoVideoStream", "no video"),
        ("no-frames", "BadVideo", "frame"),
        ("index-lost", "BadVideo", "index-lost.mp4"),
        ("truncated", "BadVideo", "truncated.mp4"),
        ("flipped", "BadVideo", "flipped.mp4"),
    ],
)
def test_bad_clips_say_why(output: Path, name: str, error_type: str, telling: str) -> None:
    row = rows(output)[name]
    assert (row["status"], row["error_type"]) == ("failed", error_type), row["error"]
    assert telling in row["error"] and row["attempts"] == 1
    assert not [path for path in results(output) if Path(path).stem == name]


@pytest.mark.parametrize("name", ["1x1", "16x16"])
def test_tiny_pictures_are_pictures(output: Path, name: str) -> None:
    row = rows(output)[name]
    assert (row["status"], row["frames"]) == ("done", 9), row["error"]
    table = read_parquet(output / "coefficients" / f"{name}.parquet")
    assert (table.info.width, table.info.height) == (int(name.split("x")[0]),) * 2


def test_nothing_half_written_is_left(output: Path) -> None:
    assert not half_written(output)


@pytest.mark.parametrize(
    "content",
    [
        b"path,clip_id\ngood.mp4,same\ngood.mp4,same\n",
        b"path,start,end\ngood.mp4,2,1\n",
        b"file\ngood.mp4\n",
        b"",
        b"\x00\x01\x02\xff",
    ],
    ids=["two rows with one clip_id", "end before start", "no path", "empty", "binary"],
)
def test_bad_manifests_are_refused_before_anything_happens(
    config: RunConfig, tmp_path: Path, content: bytes
) -> None:
    write_video(tmp_path / "good.mp4", 6)
    (tmp_path / "manifest.csv").write_bytes(content)
    with pytest.raises(BadManifest):
        run_quietly(tmp_path / "manifest.csv", tmp_path / "out", config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"], ids=["bom", "plain"])
def test_spreadsheet_manifests_are_fine(config: RunConfig, tmp_path: Path, encoding: str) -> None:
    write_video(tmp_path / "good.mp4", 6)
    (tmp_path / "manifest.csv").write_bytes("path,scene\r\ngood.mp4,1\r\n".encode(encoding))
    assert run_quietly(tmp_path / "manifest.csv", tmp_path / "out", config).exit_code == 0


def test_a_folder_that_cannot_be_written(config: RunConfig, tmp_path: Path) -> None:
    manifest = write_clips(tmp_path / "clips", {"good": 6})
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(OutputNotWritable, match="choose another --output"):
        run_quietly(manifest, tmp_path / "out", config)
    with small_disk(tmp_path / "disk", 2**20, read_only=True) as disk:
        for output in (disk, disk / "below"):
            with pytest.raises(OutputNotWritable, match="Read-only"):
                run_quietly(manifest, output, config)


def test_a_disk_that_fills_up(config: RunConfig, tmp_path: Path) -> None:
    """Some clips fit, the others fail and say so; nothing half-written; with more room a rerun finishes."""
    manifest = write_clips(tmp_path / "clips", {"one": 6, "two": 6})
    assert run_quietly(manifest, tmp_path / "clean", config, workers=1).exit_code == 0
    wanted = results(tmp_path / "clean")
    one_clip = sum(len(content) for name, content in wanted.items() if Path(name).stem == "one")
    capacity = one_clip + one_clip // 2 + 128 * 1024
    with small_disk(tmp_path / "disk", capacity) as disk:
        output = disk / "out"
        summary = run_quietly(manifest, output, config, workers=1)
        assert (summary.exit_code, summary.done, summary.failed) == (1, 1, 1)
        assert not half_written(output)
        kept = results(output)
        assert all(wanted[name] == content for name, content in kept.items())
        for row in rows(output).values():
            if row["status"] == "failed":
                assert row["error_type"] == "OutputNotWritable" and row["attempts"] == 1
                assert "No space left on device" in row["error"] and "same command" in row["error"]
        enlarge(disk, 10 * capacity)
        summary = run_quietly(manifest, output, config, workers=1)
        assert (summary.exit_code, summary.kept) == (0, 1)
        assert results(output) == wanted
