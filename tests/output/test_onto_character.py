"""A run's takes onto a character, from the command line and from Python; rigs on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facecap_batch
from facecap_batch.cli.app import main
from facecap_batch.coefficients import ARKIT_NAMES, read_parquet
from facecap_batch.exporting.character.file import BadCharacter
from facecap_batch.exporting.formats import UnknownFormat
from facecap_batch.exporting.rigs.reading import read_rig
from facecap_batch.runs.config import RunConfig
from tests.support.characters import write_character
from tests.support.gltf_readers import played
from tests.support.runs import run_quietly, write_clips

SHORT = tuple(channel.name for channel in read_rig("blender").channels)[: len(ARKIT_NAMES)]


@pytest.fixture(scope="module")
def output(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onto")
    manifest = write_clips(folder, {"one": 8, "two": 12})
    assert run_quietly(manifest, folder / "out", config).exit_code == 0
    return folder / "out"


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_check_map_confirm_export(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    character = write_character(tmp_path / "hero.glb", SHORT)
    code, out, _ = command(capsys, "rigs", "check", character)
    assert code == 0 and "rig blender: 51 the same, 0 alike" in out and "head: Head" in out
    plan = tmp_path / "hero.toml"
    code, out, _ = command(capsys, "rigs", "check", character, "--rig", "arkit", "--map", plan)
    assert code == 0 and "alike  eyeBlink_L" in out and f"--rig {plan}" in out
    code, _, err = command(capsys, "export", output, "--character", character)
    assert code == 0 and "only alike, so not used: eyeBlink_L" in err
    code, _, err = command(capsys, "export", output, "--character", character, "--rig", plan)
    assert code == 0 and "waiting for `confirmed = true`" in err
    assert not played(output / "hero/one.glb").weights["eyeBlink_L"].any()
    plan.write_text(plan.read_text().replace("confirmed = false", "confirmed = true"))
    code, out, err = command(capsys, "export", output, "--character", character, "--rig", plan)
    assert code == 0 and out.splitlines() == [str(output / f"hero/{name}.glb") for name in ("one", "two")]
    assert "confirm" not in err
    for clip, frames in (("one", 8), ("two", 12)):
        seen = played(output / f"hero/{clip}.glb")
        table = read_parquet(output / f"coefficients/{clip}.parquet")
        assert seen.name == clip and len(seen.seconds) == frames
        values = table.coefficients[:, ARKIT_NAMES.index("eyeBlinkLeft")]
        np.testing.assert_allclose(seen.weights["eyeBlink_L"], np.nan_to_num(values), atol=1e-6)


def test_python_takes_rigs_and_characters(output: Path, tmp_path: Path) -> None:
    character = write_character(tmp_path / "hero.vrm", SHORT)
    made = facecap_batch.export(output, character=character, rig="blender", clip_ids=["one"])
    assert [clip.path for clip in made] == [output / "hero/one.vrm"] and made[0].error is None
    made = facecap_batch.export(output, "csv", rig="metahuman")
    assert [clip.path for clip in made] == [
        output / "csv-metahuman/one.csv",
        output / "csv-metahuman/two.csv",
    ]
    take = facecap_batch.read(output, "two")
    take.export(tmp_path / "two.vrm", character=character, rig="blender")
    assert len(played(tmp_path / "two.vrm").seconds) == 12
    take.export(tmp_path / "two.fbx", rig="cc4")
    assert b"Mouth_Smile_L" in (tmp_path / "two.fbx").read_bytes()
    with pytest.raises(BadCharacter, match="rigs check"):
        take.export(tmp_path / "no.vrm", character=character, rig="cc4")
    with pytest.raises(UnknownFormat, match="leave out the format"):
        take.export(tmp_path / "no.vrm", "fbx", character=character)
    with pytest.raises(UnknownFormat, match="channels of its own"):
        take.export(tmp_path / "no.csv", "openface", rig="cc4")
    assert not (tmp_path / "no.vrm").exists()


def test_what_is_wrong_is_said(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (("export", output), "name a format, or a character"),
        (("export", output, "--format", "csv", "--rig", "vmr"), "did you mean vrm?"),
        (("export", output, "--character", tmp_path / "absent.glb"), "absent.glb"),
        (("rigs", "show", "rocketbx"), "did you mean rocketbox?"),
        (("rigs", "check", output / "run.json"), "run.json"),
    ):
        code, _, err = command(capsys, *arguments)
        assert code == 2 and said in err, arguments
    assert command(capsys, "rigs", "list")[1].splitlines()[0].startswith("arkit ")
    assert "Jaw_Open" in command(capsys, "rigs", "show", "cc4")[1]
