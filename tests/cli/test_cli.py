"""The command line as a user meets it: quick answers, exit codes, errors in a line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

from facecap_batch import __version__
from facecap_batch.cli import choices
from facecap_batch.cli.app import make_app
from facecap_batch.clip import Clip
from facecap_batch.engines.cards import CHANNELS, ROLES
from facecap_batch.engines.registry import BACKENDS
from facecap_batch.engines.sets import EngineSet
from facecap_batch.engines.tensorrt.backend import PRECISIONS
from facecap_batch.exporting.formats import EXPORTERS
from facecap_batch.importing.kinds import KINDS
from facecap_batch.importing.options import VARIANTS
from facecap_batch.solve.settings import Calibrate
from facecap_batch.video.options import HardwareDecoding
from tests.support.commands import call
from tests.support.local_ray import local_ray
from tests.support.reports import write_reports
from tests.support.runs import write_clips

HEAVY = ("torch", "ray", "cv2", "av", "numpy", "pyarrow", "onnxruntime", "duckdb")


@pytest.mark.parametrize(
    "code",
    [
        "import facecap_batch",
        "import facecap_batch.cli.app",
        *(
            f"from facecap_batch.cli.app import main\ntry: main({arguments})\nexcept SystemExit: pass"
            for arguments in (
                ["--help"],
                ["run", "--help"],
                ["record", "-h"],
                ["verify", "-h"],
                ["engines", "import", "-h"],
            )
        ),
    ],
    ids=["package", "command line", "help", "run", "record", "verify", "engines import"],
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
        "record",
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
        assert f"\n│ {name} " in text
        assert call(capsys, name, "--help")[0] == call(capsys, name, "-h")[0] == 0
    assert call(capsys, "--version")[:2] == (0, f"facecap-batch {__version__}\n")


def test_a_command_imports_its_own_room_alone() -> None:
    code = (
        "from facecap_batch.cli.app import main\ntry: main(['status', '--help'])\nexcept SystemExit: pass\n"
        "import sys\nprint([name for name in sys.modules if 'facecap_batch.cli' in name], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: facecap-batch status" in done.stdout
    assert "folder" in done.stderr and not re.search(r"cli\.(run|record|checks|engines|rigs)'", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument"),
        (["run", "clip.mp4", "-o", "out", "--fps", "many"], "'many' is not a frame rate"),
        (["run", "absent.mp4", "-o", "out"], "absent.mp4: there is no such file or folder"),
        (["run", "a*.mp4", "-o", "out"], "a*.mp4: no video and no image matches"),
        (["run", "s.%04d.png", "-o", "out"], "s.%04d.png: no image of this sequence is there"),
        (["run", "empty", "-o", "out"], "empty: no video and no image lies in this folder; --recursive"),
        (["run", "good.csv", "clip.mp4", "-o", "out"], "good.csv is a manifest and stands beside other"),
        (["run", "good.csv", "-o", "out", "--stills"], "a column sequence_fps, each image by itself"),
        (["run", "m.csv", "-o", "out", "--workers", "0"], "--workers"),
        (["fly"], "No such command"),
        (["run", "absent.csv", "-o", "out"], "cannot read the manifest"),
        (["run", "good.csv", "-o", "out", "--engines", "nobody's"], "no engine set"),
        (
            ["run", "good.csv", "-o", "out", "--backend", "cuda"],
            "Did you mean onnxruntime-cuda or torch-cuda?",
        ),
        (["run", "good.csv", "-o", "out", "--backend", "tensrort"], "Did you mean tensorrt"),
        (["verify", "--backend", "auto"], "There are: tensorrt"),
        (["status", "."], "not the output folder of a run"),
        (["solve", "."], "not the output folder of a run"),
        (["export", ".", "--format", "8mm"], "There are: fbx, livelink, glb"),
        (["export", ".", "--format", "live"], "Did you mean livelink?"),
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
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text("path\nx.mp4\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"\x00\x00\x00\x20ftyp")
    code, _, error = call(capsys, *arguments)
    assert code == 2
    unboxed = " ".join(error.replace("│", " ").split())
    assert message in unboxed and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_a_backend_that_is_not_installed_is_refused_before_ray_starts(tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("path\nx.mp4\n")
    code = (
        "import sys\n"
        "sys.modules['tensorrt'] = None\n"
        "from facecap_batch.cli.app import main\n"
        "try: main(['run', 'good.csv', '-o', 'out', '--backend', 'tensorrt'])\n"
        "finally: print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "False\n"
    assert "pip install '.[tensorrt]'" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_the_module_runs_under_its_own_name() -> None:
    command = [sys.executable, "-m", "facecap_batch", "run", "-h"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: python -m facecap_batch run [OPTIONS]" in done.stdout


def test_a_choice_reads_as_its_value() -> None:
    # typer before 0.29 looks a member up by its text, and takes the option for absent where that fails.
    assert {str(choice) for choice in choices.Hwaccel} == {"none", "auto", "cuda"}


def test_choices_are_those_of_the_rooms_that_own_them() -> None:
    owned = {
        choices.Backend: ("auto", *BACKENDS),
        choices.PlanBackend: PRECISIONS,
        choices.Format: EXPORTERS,
        choices.Hwaccel: get_args(HardwareDecoding),
        choices.Calibrate: get_args(Calibrate),
        choices.Kind: KINDS,
        choices.Role: ROLES,
        choices.Variant: VARIANTS,
        choices.Channels: CHANNELS,
    }
    for kind, names in owned.items():
        assert [member.value for member in kind] == list(names), kind


def test_every_option_is_in_the_documentation() -> None:
    root = Path(__file__).resolve().parents[2]
    pages = [root / "README.md", *(root / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    missing = [
        f"{name} {option}"
        for name, command in commands_of(typer.main.get_command(make_app()))
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") and not re.search(rf"{option}(?![\w-])", text)
    ]
    assert missing == []


def commands_of(command: Any, name: str = "facecap-batch") -> Iterator[tuple[str, Any]]:
    """Every command below `command`, itself included, with its full name."""
    yield name, command
    for part, inner in getattr(command, "commands", {}).items():
        yield from commands_of(inner, f"{name} {part}")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("facecap-batch run m.csv --backend ", "tensorrt-fp16"),
        ("facecap-batch run m.csv --engines ", "default"),
        ("facecap-batch export out --format l", "livelink"),
        ("facecap-batch export out --clip ta", "take1"),
        ("facecap-batch export nowhere --clip ta", ""),
    ],
)
def test_the_shell_completes(tmp_path: Path, words: str, offered: str) -> None:
    write_reports(tmp_path / "out", [Clip("take1", "/take1.mp4"), Clip("other", "/other.mp4")])
    environment = {
        **os.environ,
        "_FACECAP_BATCH_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    code = "from facecap_batch.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.stderr == ""
    assert offered in done.stdout.split() if offered else not done.stdout.strip()


STARVED = """
import threading
from facecap_batch.cli import app, folder
from tests.support.toy_workers import take_memory_away
def status() -> None:
    take_memory_away()
    threading.Thread(target=print).start()
folder.status = status
app.main(["status"])
"""


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info < (3, 11),
    reason="memory cannot be taken away here, or first calls need none of the system's",
)
def test_a_command_without_memory_ends() -> None:
    """It would wait for a thread that never begins."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", STARVED], capture_output=True, text=True, cwd=root, timeout=240
    )
    assert done.returncode == 3 and done.stderr.startswith("not enough memory to go on")


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

        assert call(capsys, "solve", output, "--no-close-blinks", "--amplitude", 0.5)[0] == 0
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
    few = ["--backend", "onnxruntime-cpu", "--crops", 12, "--images", 4]
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
