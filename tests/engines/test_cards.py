"""Cards of other people: every field is checked before anything is made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facecap_batch.engines.cards import EngineCard, read_card
from facecap_batch.engines.sets import load_set
from facecap_batch.errors import EngineError


def card(role: str = "regressor", **changes: Any) -> str:
    """The default card of that role as JSON, with other fields; those of `input` one by one."""
    fields = json.loads((load_set("default").folder / f"{role}.json").read_text())
    spec = {**fields["input"], **changes.pop("input", {})}
    return json.dumps({**fields, "input": spec, **changes})


@pytest.mark.parametrize("role", ["detector", "regressor"])
def test_the_default_cards_stay_as_they_are(role: str) -> None:
    """What is part of fingerprints is not rewritten by reading it: 16 stays 16, 16.0 stays 16.0."""
    text = card(role, postprocess={"crop_scale": 2, "score_threshold": 0.5})
    read = EngineCard.from_json(text)
    assert json.loads(read.to_json())["postprocess"] == json.loads(text)["postprocess"]
    assert '"crop_scale": 2,' in read.to_json()
    assert EngineCard.from_json(read.to_json()) == read


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"batch_sizes": [10**9]}, "batch_sizes"),
        ({"batch_sizes": [True]}, "batch_sizes"),
        ({"batch_sizes": []}, "batch_sizes"),
        ({"batch_sizes": [1024], "input": {"shape": ["N", 8192, 8192, 3]}}, "GiB of input"),
        ({"input": {"shape": ["N", 10**9, 10**9, 3]}}, r"input\.shape"),
        ({"input": {"shape": ["N", 96, 96, 4]}}, r"input\.shape"),
        ({"input": {"std": [1.0, 0.0, 1.0]}}, r"input\.std"),
        ({"input": {"std": [float("nan")] * 3}}, r"input\.std"),
        ({"input": {"mean": [1.0, 2.0]}}, r"input\.mean"),
        ({"input": {"mean": ["1", "2", "3"]}}, r"input\.mean"),
        ({"input": {"step": 10**30}}, r"input\.step|Invalid JSON"),
        ({"gains": {"jawOpen": 1e308}}, r"gains\.jawOpen"),
        ({"rest": {"jawOpen": float("inf")}}, r"rest\.jawOpen"),
        ({"postprocess": {"crop_scale": 1e308}}, r"postprocess\.crop_scale"),
        ({"postprocess": {"crop_scale": 0}}, r"postprocess\.crop_scale"),
        ({"postprocess": {"presence_threshold": float("nan")}}, r"postprocess\.presence_threshold"),
        ({"training": {"runs": [{"rate": float("nan")}]}}, r"training\.runs"),
        ({"quality": {"mean_r": float("-inf")}}, r"quality\.mean_r"),
        ({"postprocess": {"top_k": "many"}}, r"postprocess\.top_k"),
        ({"outputs": []}, "outputs"),
        ({"outputs": {"outputs": ["N", 10**12]}}, "outputs"),
        ({"output_names": [1, 2]}, "output_names"),
        ({"name": 3}, "name"),
        ({"name": "a\x1b[2J"}, "name"),
        ({"file": "../regressor.onnx"}, "file"),
        ({"licence": ["Apache-2.0"]}, "licence"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_impossible_fields_are_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(EngineError, match=field):
        EngineCard.from_json(card(**changes))


def test_a_detector_needs_its_outputs() -> None:
    fields = {**json.loads(card("regressor")), "role": "detector"}
    with pytest.raises(EngineError, match="boxes and scores"):
        EngineCard.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"name": "\xed\xa0\x80"}', b"[1]", b"null"]
)
def test_what_is_no_card_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "detector.json").write_bytes(content)
    with pytest.raises(EngineError, match=str(tmp_path)):
        read_card(tmp_path / "detector.json")
