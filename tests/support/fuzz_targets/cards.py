"""Cards of engines and bundles of networks, given to whoever reads, describes, imports and uses them."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from facecap_batch.capturing.detector import Detector
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.engines.batching import fixed_batches, prepare_input
from facecap_batch.engines.cards import ROLES, EngineCard
from facecap_batch.engines.description import describe_card, describe_sets
from facecap_batch.engines.sets import fingerprints, load_set
from facecap_batch.importing.mediapipe.task_bundle import (
    BLENDSHAPES,
    DETECTOR,
    GEOMETRY,
    LANDMARKS,
    read_task,
)
from tests.support.fuzz_targets.target import Target
from tests.support.fuzzing import BYTES, JSON_VALUES, TEXT

MAX_PIXELS = 1 << 20  # larger inputs are described, not made


class Silent:
    """An engine that nobody runs."""

    backend = "silent"

    def __init__(self, card: EngineCard) -> None:
        self.card = card

    def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError


def inputs(folder: Path) -> list[bytes]:
    """The default cards, one with all fields that others lack, and a bundle of nothing that is a network."""
    engines = load_set("default")
    cards = []
    for card in engines.cards:
        shutil.copy(card.folder / f"{card.role}.json", folder / f"{card.role}.json")
        cards.append((folder / f"{card.role}.json").read_bytes())
    own = json.loads(cards[1])
    own["input"] |= {"dtype": "float32", "layout": "NCHW", "channels": "BGR", "shape": ["N", 3, 96, 96]}
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        for number, name in enumerate((DETECTOR, LANDMARKS, BLENDSHAPES, GEOMETRY)):
            archive.writestr(name, bytes(4) + b"TFL3" + bytes(range(200)), compress_type=(0, 8)[number % 2])
    return [*cards, json.dumps(own).encode(), bundle.getvalue()]


def take(path: Path) -> None:
    """Use it as a card of each role, or import it. Raises EngineError."""
    data = path.read_bytes()
    if data.startswith(b"PK"):
        read_task(path)
        return
    folder = path.parent / "set"
    try:
        for role in ROLES:
            shutil.copytree(path.parent.parent / "needed", folder, dirs_exist_ok=True)
            (folder / f"{role}.json").write_bytes(data)
            describe_sets({"set": folder})
        shutil.copyfile(path, folder / "both.json")
        card = EngineCard.from_json(data, folder)
        shutil.copytree(path.parent.parent / "needed", folder, dirs_exist_ok=True)
        (folder / f"{card.role}.json").write_bytes(data)
        _use(card)
        fingerprints(load_set(folder))
    finally:
        shutil.rmtree(folder)


def _use(card: EngineCard) -> None:
    describe_card(card)
    assert EngineCard.from_json(card.to_json(), card.folder) == card
    list(fixed_batches(100, card.batch_sizes))
    if card.role == "detector":
        Detector(Silent(card))
    else:
        Regressor(Silent(card))
    if card.input.size**2 <= MAX_PIXELS:
        batch = prepare_input(card, np.zeros((1, card.input.size, card.input.size, 3), np.uint8))
        assert np.isfinite(batch).all() and card.input.takes(batch.shape[1:])


TARGET = Target(inputs, take, BYTES | TEXT | JSON_VALUES, (".json", ".task"))
