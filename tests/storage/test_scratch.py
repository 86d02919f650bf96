"""Temporary folders go with their process, or with the next one of the same user; those of others stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from facecap_batch.storage.scratch import MARK, remove_abandoned, scratch_folder

HOLD = """
import sys, time
from pathlib import Path
from facecap_batch.storage.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "large.bin").write_bytes(bytes(1000))
    print(folder.name, flush=True)
    time.sleep(60)
"""


def test_a_folder_goes_with_its_context_or_after_its_process_was_killed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert remove_abandoned(tmp_path) == 0 and folder.is_dir()
    assert not list(tmp_path.iterdir())
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        name = holder.stdout.readline().strip()
        assert remove_abandoned(tmp_path) == 0  # it is in use
        holder.kill()
        holder.wait()
    assert (tmp_path / name / "large.bin").exists()
    assert remove_abandoned(tmp_path) == 1 and not list(tmp_path.iterdir())


def test_folders_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "facecap-mystuff").mkdir()
    (tmp_path / "facecap-mystuff/keep.txt").write_text("keep")
    (tmp_path / "facecap-abcdefgh").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / MARK).touch()
    (tmp_path / "facecap-linked00").symlink_to(tmp_path / "elsewhere")
    assert remove_abandoned(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 4 and (tmp_path / "elsewhere" / MARK).exists()
