"""Engine sets: a detector and a regressor that belong together, found by name or by folder.

In: a set's name ("default") or the path of a folder with ``detector.json`` and ``regressor.json``. Out: an
`EngineSet` of cards; nothing is opened or hashed here (`open_engine` does that).
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from facecap_batch.engines.cards import EngineCard, read_card
from facecap_batch.engines.output_columns import output_columns
from facecap_batch.errors import EngineError

ENGINES_VARIABLE = "FACECAP_BATCH_ENGINES"  # further folders of sets, separated like PATH
_PACKAGE = Path(__file__).resolve().parent.parent
# A wheel carries the sets inside the package; a checkout or an editable install has them beside it.
_SHIPPED = (_PACKAGE / "_engines", _PACKAGE.parent / "engines")


@dataclasses.dataclass(frozen=True)
class EngineSet:
    """A detector and a regressor that belong together."""

    name: str
    detector: EngineCard
    regressor: EngineCard
    folder: Path

    @property
    def cards(self) -> tuple[EngineCard, ...]:
        return (self.detector, self.regressor)


def is_shipped(folder: Path) -> bool:
    """Whether `folder` is a set that came with the package: it is not written to."""
    return folder.resolve().parent in _SHIPPED


def set_folders() -> list[Path]:
    """Folders that hold sets, in order of search: the user's, the wheel's, the source checkout's."""
    users = [Path(folder) for folder in os.environ.get(ENGINES_VARIABLE, "").split(os.pathsep) if folder]
    return [folder for folder in (*users, *_SHIPPED) if folder.is_dir()]


def available_sets() -> dict[str, Path]:
    """Every complete set by name, with its folder; earlier folders of the search win."""
    sets: dict[str, Path] = {}
    for parent in set_folders():
        for folder in sorted(parent.iterdir()):
            if (folder / "detector.json").is_file() and (folder / "regressor.json").is_file():
                sets.setdefault(folder.name, folder)
    return sets


def load_set(name_or_path: str | Path) -> EngineSet:
    """The set of that name, or of that folder.

    Raises:
        EngineError: There is none (the message lists the sets), or a card cannot be used.
    """
    path = Path(name_or_path)
    folder = available_sets().get(str(name_or_path))
    if folder is None and path.is_dir():
        folder = path
    if folder is None:
        known = ", ".join(available_sets()) or "none"
        raise EngineError(
            f"no engine set {str(name_or_path)!r}; sets here: {known}; a folder with detector.json and "
            f"regressor.json is also taken"
        )
    cards = {}
    for role in ("detector", "regressor"):
        card = read_card(folder / f"{role}.json")
        if card.role != role:
            raise EngineError(f"{folder / f'{role}.json'} is the card of a {card.role}, not of a {role}")
        if card.output_names:
            output_columns(card.output_names, f"engine card {card.name!r}")
        cards[role] = card
    return EngineSet(folder.name, cards["detector"], cards["regressor"], folder.resolve())


def lasting_name(engines: EngineSet, name_or_path: str) -> str:
    """What names `engines`, found as `name_or_path`, for processes with other working directories: its name,
    or the absolute path of its folder. A folder here that happens to have a set's name is not meant."""
    return name_or_path if name_or_path in available_sets() else str(engines.folder)


def fingerprints(engines: EngineSet) -> dict[str, str]:
    """Digests of what decides the set's results.

    Returns:
        For each role the SHA-256 of its file (``detector``), and of the fields of its card that decide how
        the file is used (``detector_card``).
    """
    return {
        name: digest
        for card in engines.cards
        for name, digest in ((card.role, card.sha256), (f"{card.role}_card", card.use_digest()))
    }
