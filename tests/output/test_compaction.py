"""Small tables merged into large files: nothing is lost or counted twice, and the folder stays usable."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.clip import Clip
from facecap_batch.coefficients import SCHEMA, CoefficientTable, read_parquet, write_parquet
from facecap_batch.errors import OutputBusy
from facecap_batch.output import compaction, reports
from facecap_batch.output.compact_index import (
    INDEX_NAME,
    IndexDamaged,
    invalidate,
    read_clip,
    read_index,
    table_file,
)
from facecap_batch.output.compaction import NotCompactable, compact
from facecap_batch.output.input_identity import identify
from facecap_batch.output.ledger import DONE, FAILED, Ledger, Record
from facecap_batch.output.lock import OutputLock
from facecap_batch.output.query import query
from facecap_batch.runs.config import RunConfig
from facecap_batch.runs.planner import plan
from facecap_batch.solve.settings import SolveSettings
from tests.support.animations import with_tongue
from tests.support.tables import noise, still, table

CONFIG = RunConfig("default", {"detector": "d", "regressor": "r"}, CaptureSettings(), SolveSettings())
LENGTHS = {"take 2": 40, "Ärger": 7, "take 10": 90, "a": 1, "no frames": 0, "it's": 25}


def clip_table(clip_id: str, rows: int, seed: int = 0) -> CoefficientTable:
    found = np.arange(rows) % 5 != 3
    made = table(still(rows) + noise(rows, seed=seed), found=found)
    return made.replace(
        info=dataclasses.replace(made.info, clip_id=clip_id, source=f"{clip_id}.mp4"),
        metadata={"actor": f"actor of {clip_id}", "fingerprint": CONFIG.fingerprint()},
    )


def finish(output: Path, clip: Clip, rows: int, seed: int = 0) -> None:
    """As a run leaves a clip that is done."""
    outputs = {}
    for kind in ("raw", "coefficients"):
        name = f"{kind}/{clip.clip_id}.parquet"
        write_parquet(clip_table(clip.clip_id, rows, seed + len(kind)), output / name)
        outputs[name] = (output / name).stat().st_size
    animation = output / f"fbx/{clip.clip_id}.fbx"
    animation.parent.mkdir(exist_ok=True)
    animation.touch()
    outputs[f"fbx/{animation.name}"] = 0
    Ledger(output).put(
        Record(
            clip.clip_id, DONE, identify(clip).key(), CONFIG.capture_fingerprint(), CONFIG.fingerprint(),
            frames=rows, outputs=outputs,
        )
    )  # fmt: skip


def clips_of(folder: Path) -> list[Clip]:
    return [Clip(name, str(folder / f"{name}.mp4"), source=f"{name}.mp4") for name in LENGTHS]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    output = tmp_path / "out"
    clips = clips_of(tmp_path)
    for clip in clips:
        finish(output, clip, LENGTHS[clip.clip_id])
    records = {record.clip_id: record for record in Ledger(output).records()}
    reports.write_clips(output, clips, records)
    counts = {"clips": len(clips), "done": len(clips), "failed": 0, "pending": 0, "kept": 0}
    reports.write_run(
        output,
        reports.RunReport(
            run_id="id",
            state="finished",
            manifest="manifest.csv",
            workers=1,
            started_at="2026-01-01T00:00:00+00:00",
            fingerprint=CONFIG.fingerprint(),
            capture_fingerprint=CONFIG.capture_fingerprint(),
            config=CONFIG.describe(),
            **counts,
        ),
    )
    return output


def originals(output: Path) -> dict[str, pa.Table]:
    return {
        str(path.relative_to(output)): pq.ParquetFile(path).read()
        for kind in compaction.KINDS
        for path in sorted((output / kind).glob("*.parquet"))
    }


COUNT = "SELECT clip_id, count(*) AS rows, sum(jawOpen) AS jaw FROM coefficients GROUP BY 1 ORDER BY 1"


@pytest.mark.parametrize("remove", [False, True])
def test_every_table_comes_back_as_it_was(output: Path, remove: bool) -> None:
    before, asked = originals(output), query(output, COUNT)
    small = {name: (output / name).read_bytes() for name in before}
    done = compact(output, remove)
    assert (done.tables, done.removed) == (2 * len(LENGTHS), 2 * len(LENGTHS) * remove)
    assert done.files == ("compact/coefficients-00000.parquet", "compact/raw-00000.parquet")
    assert len(originals(output)) == (0 if remove else len(before))
    reader = compaction.CompactReader(output)
    for entry in reversed(read_index(output)):
        assert reader.table(entry).equals(before[entry.name], check_metadata=True), entry.name
        assert read_clip(output, entry.name).metadata["actor"] == f"actor of {entry.clip_id}"
        with table_file(output, entry.name) as path:
            assert path.read_bytes() == small[entry.name]
    assert query(output, COUNT) == asked  # to the last bit, and no row twice


@pytest.mark.parametrize("remove", [False, True])
def test_events_and_summaries_are_those_of_the_small_files(output: Path, remove: bool) -> None:
    questions = [f"SELECT * FROM {name}(threshold := 0.3) ORDER BY ALL" for name in ("events", "summary")]
    events, summary = before = [query(output, sql) for sql in questions]  # of noise about 0.3, with gaps
    assert all(table.num_rows > 20 for table in before)
    compact(output, remove)
    again, summed_again = (query(output, sql) for sql in questions)
    assert again == events
    for name in summary.column_names:  # sums may be of another order
        found, expected = summed_again[name].to_pylist(), summary[name].to_pylist()
        assert found == [
            pytest.approx(value, rel=1e-9, abs=1e-7) if isinstance(value, float) else value
            for value in expected
        ]


def test_the_files_are_sorted_typed_and_described(output: Path) -> None:
    compact(output)
    path = output / "compact/coefficients-00000.parquet"
    rows = pq.read_table(path)
    assert rows.schema.equals(SCHEMA)
    keys = list(zip(*(rows[name].to_pylist() for name in ("clip_id", "track", "frame_index")), strict=True))
    assert keys == sorted(keys) and len(keys) == sum(LENGTHS.values())
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert [column.column_index for column in group.sorting_columns] == [0, 1, 2]
    index = {row["name"]: row for row in pq.read_table(output / INDEX_NAME).to_pylist()}
    row = index["coefficients/Ärger.parquet"]
    assert (row["fps"], row["time_base"], row["source"]) == ("30", "1/90000", "Ärger.mp4")
    assert json.loads(row["metadata"])["actor"] == "actor of Ärger"


def test_row_groups_hold_whole_clips_and_statistics_prune(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "GROUP_ROWS", 50)
    monkeypatch.setattr(compaction, "MAX_GROUP_ROWS", 60)
    before = originals(output)
    compact(output)
    file = pq.ParquetFile(output / "compact/raw-00000.parquet")
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    # a, it's, no frames | take 10, longer than the longest group, in two | take 2, Ärger
    assert [group.num_rows for group in groups] == [26, 60, 30, 47]
    bounds = [(group.column(0).statistics.min, group.column(0).statistics.max) for group in groups]
    assert bounds == [("a", "it's"), ("take 10", "take 10"), ("take 10", "take 10"), ("take 2", "Ärger")]
    (fragment,) = ds.dataset(output / "compact/raw-00000.parquet").get_fragments()
    assert len(fragment.split_by_row_group(ds.field("frame_index") > 60)) == 1
    reader = compaction.CompactReader(output)
    for entry in read_index(output):
        assert reader.table(entry).equals(before[entry.name], check_metadata=True), entry.name


def test_files_end_near_the_wanted_size(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "GROUP_ROWS", 1)
    before, asked = originals(output), query(output, COUNT)
    done = compact(output, remove_originals=True, file_bytes=1)
    assert len(done.files) == 2 * len(LENGTHS)  # every group fills a file
    reader = compaction.CompactReader(output)
    assert all(reader.table(entry).equals(before[entry.name]) for entry in read_index(output))
    assert query(output, COUNT) == asked


def test_columns_of_a_regressor_s_own_come_along(output: Path) -> None:
    for clip_id, names in (("take 2", ()), ("take 10", ()), ("it's", ("wink",))):
        for kind in compaction.KINDS:
            path = output / kind / f"{clip_id}.parquet"
            made = read_parquet(path)
            made = made.replace(extra_names=names, extra=np.full((len(made), len(names)), 0.25, np.float32))
            made = made if names else with_tongue(made)
            write_parquet(made, path)
        record = Ledger(output).get(clip_id)
        assert record is not None
        sizes = {name: (output / name).stat().st_size for name in record.outputs}
        Ledger(output).put(dataclasses.replace(record, outputs=sizes))
    before = originals(output)
    asked = "SELECT clip_id, count(tongueOut) AS tongue, count(wink) AS wink FROM raw GROUP BY 1 ORDER BY 1"
    before_answer = query(output, asked)
    # a | it's | no frames | take 10, take 2 | Ärger
    assert len(compact(output, remove_originals=True).files) == 2 * 5
    reader = compaction.CompactReader(output)
    for entry in read_index(output):
        assert reader.table(entry).equals(before[entry.name], check_metadata=True), entry.name
    assert query(output, asked) == before_answer


def test_a_compacted_clip_counts_as_done(output: Path, tmp_path: Path) -> None:
    compact(output, remove_originals=True)
    assert not plan(clips_of(tmp_path), Ledger(output), CONFIG).items
    smoother = dataclasses.replace(CONFIG, solve=SolveSettings(smoothing=2.0))
    assert all(item.reuse_raw for item in plan(clips_of(tmp_path), Ledger(output), smoother).items)


def test_what_is_done_again_is_read_from_its_own_file(output: Path, tmp_path: Path) -> None:
    compact(output, remove_originals=True)
    invalidate(output, {"coefficients/take 2.parquet", "raw/take 2.parquet"})
    gone = query(output, COUNT)
    assert gone["clip_id"].to_pylist() == ["a", "it's", "take 10", "Ärger"]
    (item,) = plan(clips_of(tmp_path), Ledger(output), CONFIG).items
    assert item.clip.clip_id == "take 2" and not item.reuse_raw
    again = clips_of(tmp_path)[0]
    finish(output, again, 11, seed=5)
    counts = dict(zip(*query(output, COUNT).select(["clip_id", "rows"]).to_pydict().values(), strict=True))
    assert counts == {name: rows for name, rows in (LENGTHS | {"take 2": 11}).items() if rows}
    # The next compaction takes it in and drops the old rows; its files have new names until it is done.
    expected = read_parquet(output / "coefficients/take 2.parquet")
    done = compact(output, remove_originals=True)
    assert done.files == ("compact/coefficients-00001.parquet", "compact/raw-00001.parquet")
    assert sorted(path.name for path in (output / "compact").iterdir()) == [
        "coefficients-00001.parquet", "index.parquet", "raw-00001.parquet",
    ]  # fmt: skip
    assert len(pq.read_table(output / done.files[0])) == sum(LENGTHS.values()) - 40 + 11
    assert np.array_equal(
        read_clip(output, "coefficients/take 2.parquet").coefficients, expected.coefficients, equal_nan=True
    )


def test_a_second_compaction_has_nothing_to_do(output: Path) -> None:
    first = compact(output)
    written = {path: path.stat().st_mtime_ns for path in (output / "compact").iterdir()}
    assert compact(output) == first
    assert compact(output, remove_originals=True).removed == 2 * len(LENGTHS)
    assert {path: path.stat().st_mtime_ns for path in (output / "compact").iterdir()} == written


def test_only_what_is_done_is_gathered_and_nothing_is_lost(output: Path) -> None:
    ledger = Ledger(output)
    failed = dataclasses.replace(ledger.get("a"), status=FAILED)
    ledger.put(failed)
    assert compact(output, remove_originals=True).tables == 2 * (len(LENGTHS) - 1)
    assert "raw/a.parquet" in originals(output)
    # Not even where the ledger is gone.
    for path in ledger.folder.iterdir():
        path.unlink()
    assert compact(output, remove_originals=True).tables == 2 * (len(LENGTHS) - 1)


def test_a_crash_in_the_middle_leaves_the_folder_as_it_was(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = query(output, COUNT)
    with monkeypatch.context() as broken:

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        broken.setattr(compaction, "write_index", crash)
        with pytest.raises(KeyboardInterrupt):
            compact(output, remove_originals=True)
    assert len(originals(output)) == 2 * len(LENGTHS) and query(output, COUNT) == asked
    assert not list((output / "compact").glob(".tmp-*"))
    assert len(compact(output, remove_originals=True).files) == 2
    assert query(output, COUNT) == asked


def test_an_original_that_differs_is_kept(output: Path) -> None:
    compact(output)
    path = output / "raw/take 10.parquet"
    write_parquet(clip_table("take 10", 90, seed=77), path)
    with pytest.raises(NotCompactable, match=r"raw/take 10\.parquet differs"):
        compact(output, remove_originals=True)
    assert path.exists()


def test_damage_and_other_runs_are_named(output: Path) -> None:
    with OutputLock(output), pytest.raises(OutputBusy):
        compact(output)
    path = output / "raw/take 10.parquet"
    data = bytearray(path.read_bytes())
    data[-4:] = b"ruin"
    path.write_bytes(data)
    with pytest.raises(NotCompactable, match=r"raw/take 10\.parquet cannot be read"):
        compact(output)
    path.unlink()
    compact(output)
    (output / INDEX_NAME).write_bytes(b"nonsense")
    with pytest.raises(IndexDamaged, match=r"restore it from a copy"):
        query(output, COUNT)
