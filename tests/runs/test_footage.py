"""Footage by name: what is found, what it is called, where the results go."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from facecap_batch.runs.footage.naming import clip_ids
from facecap_batch.runs.footage.search import (
    Footage,
    NoFootage,
    SearchOptions,
    default_output,
    find_footage,
)
from facecap_batch.runs.manifest import manifest_of
from facecap_batch.storage.publish import storage_path

RECURSIVE = SearchOptions(recursive=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with footage of two days, images, and what is no footage."""
    names = ["day1/take.mp4", "day1/other.MOV", "day2/take.mp4", "day2/deep/take.mkv", "day2/notes.txt"]
    names += ["day1/.hidden.mp4", "day1/._take.mp4", "shot/a.0009.png", "shot/a.0010.png", "shot/a.0012.png"]
    names += ["shot/face.jpg", "faces/1.jpg", "faces/2.jpg", "faces/10.jpg"]
    names += ["out/run.json", "out/ledger/x.json", "out/preview/take.mp4"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(here: Path, *names: str, options: SearchOptions | None = None) -> list[str]:
    return [str(Path(each.path).relative_to(here)) for each in find_footage(names, here, options)]


def ids(*names: str, options: SearchOptions | None = None) -> list[str]:
    return [clip.clip_id for clip in manifest_of(names, options).clips]


def test_files_folders_and_globs(here: Path) -> None:
    assert found(here, "day2/take.mp4", "day1") == ["day2/take.mp4", "day1/other.MOV", "day1/take.mp4"]
    assert found(here, "day1/take.mp4", "day1/../day1/take.mp4") == ["day1/take.mp4"]
    assert found(here, "day2", options=RECURSIVE) == ["day2/deep/take.mkv", "day2/take.mp4"]
    assert found(here, "day*/take.*") == ["day1/take.mp4", "day2/take.mp4"]
    assert found(here, "day?/**/take.mk[a-z]") == ["day2/deep/take.mkv"]
    # What a run has made is no footage, hidden files are none.
    everything = found(here, ".", options=RECURSIVE)
    assert everything == [
        "day1/other.MOV", "day1/take.mp4", "day2/deep/take.mkv", "day2/take.mp4",
        "faces/%d.jpg@25", "shot/a.%04d.png@25", "shot/face.jpg",
    ]  # fmt: skip
    assert "out/preview/take.mp4" not in found(here, "**/*.mp4", "day1")
    # A file that is named may end as it likes.
    assert found(here, "day2/notes.txt") == ["day2/notes.txt"]


def test_a_glob_in_quotes_finds_what_the_shell_finds(here: Path) -> None:
    for pattern in ("day*/take.mp4", "shot/*", "day*", "shot/a.00??.png"):
        words = subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {pattern}"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.split("\n")[:-1]
        assert len(words) > 1
        assert find_footage([pattern], here) == [
            Footage(each.path, each.base) for each in find_footage(words, here)
        ]
        assert ids(pattern) == ids(*words)
        assert default_output([pattern]) == default_output(words)


def test_numbered_images_are_a_sequence_however_they_are_named(here: Path) -> None:
    for names in (
        ["shot/a.%04d.png"],
        ["shot/a.####.png"],
        ["shot/a.*.png"],
        ["shot/a.0010.png", "shot/a.0009.png"],
    ):
        assert found(here, *names) == ["shot/a.%04d.png@25"]
    assert found(here, "shot/a.%04d.png@29.97") == ["shot/a.%04d.png@30000:1001"]
    assert found(here, "shot", options=SearchOptions(rate=Fraction(24))) == [
        "shot/a.%04d.png@24",
        "shot/face.jpg",
    ]
    assert found(here, "shot/a.0010.png") == ["shot/a.0010.png"]
    stills = SearchOptions(stills=True)
    assert found(here, "faces", options=stills) == ["faces/1.jpg", "faces/10.jpg", "faces/2.jpg"]
    assert found(here, "shot/a.%04d.png", options=stills) == [f"shot/a.00{n}.png" for n in ("09", "10", "12")]


def test_ids_are_readable_and_tell_folders_apart(here: Path) -> None:
    assert ids("day1/take.mp4") == ["take"]
    assert ids("day1/take.mp4", "day2/take.mp4") == ["day1-take", "day2-take"]
    assert ids("day2/take.mp4", "day1") == ["day2-take", "other", "day1-take"]
    assert ids("shot", "faces") == ["a", "face", "faces"]
    # Below a folder that was named, an id does not change when another file comes.
    assert ids(".", options=RECURSIVE) == [
        "day1-other", "day1-take", "day2-deep-take", "day2-take", "faces", "shot-a", "shot-face",
    ]  # fmt: skip
    (here / "day1/take.mov").write_bytes(b"?")
    (here / "day1/TAKE.avi").write_bytes(b"?")
    assert ids("day1/take.mp4", "day1/take.mov") == ["take-mp4", "take-mov"]
    assert len(set(map(str.casefold, ids("day1", "day2")))) == 5


def test_ids_of_many_files_are_each_one_s_own() -> None:
    paths = [f"/a{x}/b{y}/{'x' * 300}{z % 2}.mp4" for x in range(20) for y in range(20) for z in range(4)]
    names = clip_ids([Footage(f"{path[:-4]}{number % 4}.mp4") for number, path in enumerate(paths)])
    assert len({name.casefold() for name in names}) == len(paths)
    assert max(len(name.encode()) for name in names) <= 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.mp4", "gone.mp4: there is no such file or folder"),
        ("gone/", "gone/: there is no such file or folder"),
        ("empty", "empty: no video and no image lies in this folder; --recursive searches"),
        ("day?.mp4", "day?.mp4: no video and no image matches"),
        ("shot/b.%04d.png", "shot/b.%04d.png: no image of this sequence is there"),
        ("gone/b.%04d.png", "gone cannot be listed: No such file or directory"),
        ("shot/a.%04d.png@1.2.3", "'1.2.3' is not a frame rate"),
        ("", "a name is empty"),
    ],
)
def test_a_name_that_stands_for_nothing_is_named(here: Path, name: str, words: str) -> None:
    with pytest.raises(NoFootage) as caught:
        manifest_of([name])
    assert words in str(caught.value)


def test_footage_behind_uris(here: Path) -> None:
    for name in ("b/day/one.mp4", "b/day/deep/two.mov", "b/day/list.txt", "b/pics/1.png"):
        storage_path(f"memory://{name}").write_bytes(b"?")

    def uris(name: str, options: SearchOptions | None = None) -> list[str]:
        return [each.path for each in find_footage([name], here, options)]

    assert uris("memory://b/day/one.mp4") == ["memory://b/day/one.mp4"]
    assert uris("memory://b/day") == uris("memory://b/day/") == ["memory://b/day/one.mp4"]
    assert uris("memory://b/day", RECURSIVE) == ["memory://b/day/deep/two.mov", "memory://b/day/one.mp4"]
    assert uris("memory://b/*/*.mp4") == ["memory://b/day/one.mp4"]
    assert uris("https://example.org/take?id=*") == ["https://example.org/take?id=*"]
    assert ids("memory://b/day", options=RECURSIVE) == ["deep-two", "one"]
    with pytest.raises(NoFootage, match="memory://b/x\\*: no video and no image is there"):
        uris("memory://b/x*")
    with pytest.raises(NoFootage, match="there are images; sequences are read from local disks"):
        uris("memory://b/pics")


def test_results_go_beside_what_was_named(here: Path, tmp_path: Path) -> None:
    assert default_output(["day1/take.mp4"]) == here / "day1/facecap-out"
    assert default_output(["day1"]) == default_output(["day1/", "day2"]) == here / "facecap-out"
    assert default_output(["day1/take.mp4", "day2/take.mp4"]) == here / "facecap-out"
    assert default_output(["shot/a.%04d.png"]) == here / "shot/facecap-out"
    assert (
        default_output(["."])
        == default_output([".."])
        == default_output(["s3://b/x"])
        == here / "facecap-out"
    )


def test_looking_for_footage_brings_in_no_decoder() -> None:
    heavy = ("av", "cv2", "onnxruntime", "ray", "torch")
    code = "import sys, facecap_batch.runs.manifest\n"
    code += f"print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
