"""The queries of the README, asked of the output folder of a real run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from facecap_batch.coefficients import ARKIT_NAMES, read_parquet, write_parquet
from facecap_batch.output.query import query
from facecap_batch.runs.config import RunConfig
from tests.support.local_ray import local_ray
from tests.support.runs import run_quietly, write_clips

pytest.importorskip("duckdb")

README = Path(__file__).resolve().parents[2] / "README.md"
FRAMES = 120  # 4 seconds
BLINKS = {"often": (10, 25, 40), "never": ()}  # frames at which a blink begins


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    """A finished run of two clips, whose lids then blink as in BLINKS, and of a clip that failed."""
    folder = tmp_path_factory.mktemp("run")
    manifest = write_clips(folder, dict.fromkeys(BLINKS, FRAMES))
    with manifest.open("a") as file:
        file.write("absent.mp4\n")
    with local_ray():
        run_quietly(manifest, folder / "out", config)
    for clip_id, starts in BLINKS.items():
        path = folder / "out" / "coefficients" / f"{clip_id}.parquet"
        table = read_parquet(path)
        coefficients = np.full_like(table.coefficients, 0.1)
        for start in starts:
            coefficients[start : start + 4, ARKIT_NAMES.index("eyeBlinkLeft")] = (0.4, 0.9, 0.8, 0.3)
        coefficients[60, ARKIT_NAMES.index("jawOpen")] = 0.7
        write_parquet(table.replace(coefficients=coefficients), path)
    return folder / "out"


def readme_query(about: str) -> str:
    """The query of the README whose comment holds `about`."""
    (block,) = re.findall(r"```sql\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = (part for part in block.split(";") if about in part.split("\n--")[-1])
    return found


def test_blinks_per_minute_count_the_whole_clip_and_clips_without_one(output: Path) -> None:
    answer = query(output, readme_query("blinks per minute")).to_pydict()
    blinks = dict(zip(answer["clip_id"], answer["blinks"], strict=True))
    assert blinks == {"often": pytest.approx(3 * 60 / 4), "never": 0}


def test_the_widest_open_mouth(output: Path) -> None:
    rows = query(output, readme_query("widest open mouth")).to_pylist()
    assert [[round(value, 3) for value in list(row.values())[1:]] for row in rows] == [[0.7, 2.0]] * 2


def test_what_failed(output: Path) -> None:
    (row,) = query(output, readme_query("what failed")).to_pylist()
    assert (row["clip_id"], row["error_type"]) == ("absent", "BadVideo")


def test_the_query_of_the_command_line(output: Path) -> None:
    (sql,) = re.findall(r'facecap-batch query \S+ "([^"]+)"', README.read_text(encoding="utf-8"))
    assert query(output, sql).to_pydict()["clip_id"]
