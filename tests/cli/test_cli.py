"""The command line as a user meets it: quick answers, exit codes, errors in a line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from facecap_batch import __version__
from facecap_batch.engines.sets import EngineSet
from tests.support.commands import call
from tests.support.local_ray import local_ray
from tests.support.runs import write_clips

HEAVY = ("torch", "ray", "cv2", "av", "numpy", "pyarrow", "onnxruntime", "rich", "duckdb")


@pytest.mark.parametrize(
    "code",
    [
        "import facecap_batch",
        "import facecap_batch.cli.app",
        "from facecap_batch.cli.app import app\ntry: app(['run', '--help'])\nexcept SystemExit: pass",
    ],
    ids=["package", "command line", "help"],
)
def test_help_imports_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = call(capsys, "--help")
    assert code == 0
    for name in (
        "run",
        "solve",
        "status",
        "query",
        "preview",
        "export",
        "verify",
        "bench",
        "doctor",
        "engines",
    ):
        assert f"\n  {name} " in text
        assert call(capsys, name, "--help")[0] == 0
    assert call(capsys, "--version")[:2] == (0, f"facecap-batch {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "telling"),
    [
        (["run"], "Missing argument"),
        (["run", "m.csv"], "Missing option"),
        (["run", "m.csv", "-o", "out", "--workers", "0"], "--workers"),
        (["fly"], "No such command"),
        (["run", "absent.csv", "-o", "out"], "cannot read the manifest"),
        (["run", ".", "-o", "out"], "is a folder, not a manifest. Make one"),
        (["run", "clip.mp4", "-o", "out"], "is a video or image, not a manifest. Make a manifest"),
        (["run", "good.csv", "-o", "out", "--engines", "nobody's"], "no engine set"),
        (["status", "."], "not the output folder of a run"),
        (["solve", "."], "not the output folder of a run"),
        (["export", ".", "--format", "vhs"], "no export format"),
        (["query", "absent", "select 1"], "absent"),
        (["engines", "show", "nobody's"], "no engine set"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_commands_exit_with_2_and_a_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    telling: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text("path\nx.mp4\n")
    (tmp_path / "clip.mp4").write_bytes(b"\x00\x00\x00\x20ftyp")
    code, _, error = call(capsys, *arguments)
    assert code == 2
    assert telling in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_from_a_manifest_to_answers(
    capsys: pytest.CaptureFixture[str], random_engines: EngineSet, tmp_path: Path
) -> None:
    manifest = write_clips(tmp_path, {"a": 12, "b": 12})
    with manifest.open("a") as file:
        file.write("absent.mp4\n")
    output = tmp_path / "out"
    run = ["run", manifest, "-o", output, "--engines", random_engines.folder, "--workers", 2]
    with local_ray():
        code, text, error = call(capsys, *run)
        assert code == 1 and text.startswith("2 of 3 clips done, 1 failed (see ")
        assert "failed: absent: BadVideo: " in error

        manifest.write_text("path\na.mp4\nb.mp4\n")
        code, text, _ = call(capsys, *run)
        assert code == 0 and text.startswith("2 of 2 clips done, 2 of them by earlier runs")

        code, text, _ = call(capsys, "solve", output, "--no-solve")
        assert code == 0 and text.startswith("2 of 2 clips done")

        assert call(capsys, "solve", output, "--measured-lids", "--amplitude", 0.5)[0] == 0
        settings = json.loads((output / "run.json").read_text())["config"]["solve"]
        assert (settings["enabled"], settings["close_blinks"], settings["amplitude"]) == (True, False, 0.5)

    code, text, _ = call(capsys, "status", output)
    assert code == 0 and text.startswith("finished: 2 of 2 clips done, 0 failed, 0 left")
    code, text, _ = call(capsys, "status", output, "--json")
    assert code == 0 and json.loads(text)["frames"] == 24

    code, text, _ = call(
        capsys, "export", output, "--format", "livelink", "--clip", "b", "--to", tmp_path / "csv"
    )
    assert code == 0 and text == f"{tmp_path / 'csv' / 'b.csv'}\n"
    assert Path(text.strip()).read_text().count("\n") == 13

    pytest.importorskip("duckdb")
    sql = "select clip_id, count(*) as rows from coefficients group by clip_id order by clip_id"
    code, text, _ = call(capsys, "query", output, sql, "--csv")
    assert (code, text.replace('"', "")) == (0, "clip_id,rows\na,12\nb,12\n")
    code, text, _ = call(capsys, "query", output, sql)
    assert code == 0 and text.splitlines()[0].split() == ["clip_id", "rows"]


def test_engines_are_listed_shown_and_imported(
    capsys: pytest.CaptureFixture[str],
    random_engines: EngineSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FACECAP_BATCH_ENGINES", str(random_engines.folder.parent))
    code, text, _ = call(capsys, "engines", "list")
    assert code == 0 and random_engines.name in text
    code, text, _ = call(capsys, "engines", "show", random_engines.folder)
    assert code == 0 and random_engines.regressor.sha256 in text and "licence     Apache-2.0" in text
    code, text, _ = call(capsys, "engines", "show", random_engines.folder, "--json")
    assert code == 0 and text == "".join(card.to_json() for card in random_engines.cards)
    for role in ("detector", "regressor"):
        card = random_engines.folder / f"{role}.json"
        assert call(capsys, "engines", "import", card, tmp_path / "mine")[0] == 0
    code, again, _ = call(capsys, "engines", "show", tmp_path / "mine", "--json")
    assert (code, again) == (0, text)
    assert call(capsys, "engines", "import", tmp_path / "absent.pth", tmp_path / "mine")[0] == 2


def test_a_spoilt_set_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str],
    random_engines: EngineSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "spoilt").mkdir()
    for role, other in (("detector", "regressor"), ("regressor", "detector")):
        card = getattr(random_engines, other)
        (tmp_path / "spoilt" / f"{role}.json").write_text(card.to_json())
    monkeypatch.setenv("FACECAP_BATCH_ENGINES", str(tmp_path))
    code, text, _ = call(capsys, "engines", "list")
    assert code == 0 and "facecap-detector" in text
    assert any(line.startswith("spoilt") and "is the card of a" in line for line in text.splitlines())


def test_backends_are_verified(capsys: pytest.CaptureFixture[str], random_engines: EngineSet) -> None:
    pytest.importorskip("torch")
    few = ["--crops", 12, "--images", 4]
    code, text, _ = call(capsys, "verify", "--engines", random_engines.folder, *few)
    assert code == 0 and text.count("ok  ") == len(text.splitlines()) - 1 == 6
    assert "onnxruntime-cpu against torch" in text and text.endswith("no certificate\n")
    only = ["--engines", random_engines.folder, "--backend", "torch", "--reference", "torch"]
    code, _, error = call(capsys, "verify", *only)
    assert code == 2 and "nothing to compare" in error


def test_the_doctor_tries_everything(capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = call(capsys, "doctor")
    for what in ("Python", "video", "backend onnxruntime-cpu", "engine set default"):
        assert any(line[5:].startswith(f"{what}:") for line in text.splitlines()), text
