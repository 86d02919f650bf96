"""What a run names in its output folder, and what may be removed there.

In: an output folder. Out: its folders checked, and freed of what interrupted runs left. Only files with names
of ours, in folders of ours, are ever removed.
"""

from __future__ import annotations

from pathlib import Path

from facecap_batch.storage.links import refuse_links
from facecap_batch.storage.publish import StoragePath, remove_temporary

SEGMENTS = "segments"  # has a folder for each clip
FOLDERS = ("raw", "coefficients", "fbx", "ledger", "compact", SEGMENTS)


def check_folders(output: StoragePath) -> None:
    """Raise OSError where a folder of ours in it is a link: what we write would go elsewhere."""
    if isinstance(output, Path):
        refuse_links(output, FOLDERS)


def remove_leftovers(output: StoragePath) -> int:
    """Remove the temporary files of earlier, interrupted runs; raises OSError.

    Returns:
        How many there were.
    """
    clips: list[StoragePath] = list((output / SEGMENTS).glob("*"))
    folders = [output, *(output / name for name in FOLDERS), *clips]
    return sum(remove_temporary(folder) for folder in folders if not _is_link(folder) or folder == output)


def _is_link(folder: StoragePath) -> bool:
    return isinstance(folder, Path) and folder.is_symlink()
