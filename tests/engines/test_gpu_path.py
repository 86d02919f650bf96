"""The way through a GPU: decoding, a worker's share, what counts for resuming, what is said without one.

Where no GPU is, NVDEC's absence is real and its pictures are made by converting decoded ones to the layouts
it delivers; a Ray that pretends to have a GPU shows how workers are placed.
"""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest

from facecap_batch.capturing.settings import CaptureSettings
from facecap_batch.checks.doctor import findings
from facecap_batch.cli.app import main
from facecap_batch.engines.backends import cuda, onnxruntime_backend
from facecap_batch.engines.registry import open_engine
from facecap_batch.engines.sets import EngineSet
from facecap_batch.errors import BackendUnavailable, BadVideo, DecoderUnavailable
from facecap_batch.runs.config import GPU_DECODE_THREADS, RunConfig, worker_threads
from facecap_batch.scheduling.cluster import ClusterUnavailable
from facecap_batch.video import nvdec
from facecap_batch.video.decoder import Video, decode
from facecap_batch.video.frame import Frame
from facecap_batch.video.nvdec import decodes_on_gpu
from facecap_batch.video.orientation import Orientation
from facecap_batch.video.scaling import FrameScalers
from tests.support import local_ray
from tests.support.runs import results, run_quietly, write_clips
from tests.support.videos import number_of, picture, upright, write_video


def has_nvdec() -> bool:
    try:
        decodes_on_gpu()
    except DecoderUnavailable:
        return False
    return True


@pytest.fixture
def no_nvdec(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("no NVDEC")

    monkeypatch.setattr(nvdec, "accelerator", refuse)


def test_auto_decodes_without_a_gpu_what_none_decodes(tmp_path: Path, no_nvdec: None) -> None:
    path = write_video(tmp_path / "clip.mp4", 12)
    plain, auto = (list(decode(path, hwaccel=how)) for how in ("none", "auto"))
    assert [number_of(frame.rgb()) for frame in auto] == list(range(12))
    for one, other in zip(plain, auto, strict=True):
        np.testing.assert_array_equal(one.rgb(), other.rgb())


def test_cuda_by_name_is_never_replaced(tmp_path: Path, no_nvdec: None) -> None:
    path = write_video(tmp_path / "clip.mp4", 3)
    with pytest.raises(DecoderUnavailable, match=r"clip\.mp4: the GPU cannot decode it: no NVDEC.*--hwaccel"):
        Video(path, hwaccel="cuda")
    (tmp_path / "torn.mp4").write_bytes(path.read_bytes()[:100])
    for how in ("auto", "cuda"):
        with pytest.raises(BadVideo, match=r"torn\.mp4"):  # the file's own fault stays the file's
            Video(tmp_path / "torn.mp4", hwaccel=how)


@pytest.mark.skipif(has_nvdec(), reason="there is a GPU here")
def test_what_ffmpeg_itself_says_without_a_gpu(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 3)
    assert len(list(decode(path, hwaccel="auto"))) == 3
    with pytest.raises(DecoderUnavailable):
        Video(path, hwaccel="cuda")


@pytest.mark.skipif(not has_nvdec(), reason="needs NVDEC")
@pytest.mark.parametrize("rotation", [0, 90])
def test_nvdec_delivers_the_same_frames(tmp_path: Path, rotation: int) -> None:
    frames = [picture(number, 320, 240) for number in range(24)]
    path = write_video(tmp_path / "clip.mp4", frames, rotation=rotation)
    ours, theirs = list(decode(path)), list(decode(path, hwaccel="cuda"))
    assert [frame.pts for frame in ours] == [frame.pts for frame in theirs]
    assert [number_of(frame.rgb()) for frame in theirs] == list(range(24))
    assert all(upright(frame.rgb()) for frame in theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one.rgb().astype(int) - other.rgb()).max() <= 2


@pytest.mark.parametrize(
    ("usual", "mixed"),
    [("yuv420p", "nv12"), ("yuv420p10le", "p010le"), ("yuv422p", "nv16"), ("yuv422p10le", "p210le")],
)
def test_pictures_laid_out_as_nvdec_does_give_the_same_crops(usual: str, mixed: str) -> None:
    decoded = av.VideoFrame.from_ndarray(picture(77, 322, 242), format="rgb24").reformat(format=usual)
    separator = nvdec.PlaneSeparator()
    assert separator.separated(decoded) is decoded
    again = separator.separated(decoded.reformat(format=mixed))
    assert again.format.name == usual
    assert (again.colorspace, again.color_range) == (decoded.colorspace, decoded.color_range)
    pair = [Frame(0, 0, each, Orientation(90), FrameScalers()) for each in (decoded, again)]
    for look in (
        lambda frame: frame.rgb(),
        lambda frame: frame.small(96)[0],
        lambda frame: frame.crop(120, 150, 200, 96).image,
        lambda frame: frame.crop(30, 40, 60, 96).image,
    ):
        np.testing.assert_array_equal(look(pair[0]), look(pair[1]))


def test_a_decoder_on_the_gpu_gets_one_thread_and_its_planes_are_taken_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder is the CPU's; what it says of itself, and the layout of its pictures, are NVDEC's."""
    path = write_video(tmp_path / "clip.mp4", [picture(number, 320, 240) for number in range(6)])
    plain = list(decode(path))
    decoded = Video._decode_all
    monkeypatch.setattr(
        Video, "_decode_all", lambda self: (each.reformat(format="nv12") for each in decoded(self))
    )
    mixed = list(decode(path))
    assert not np.array_equal(plain[0].rgb(), mixed[0].rgb())  # why they are taken apart
    monkeypatch.setattr(nvdec, "in_use", lambda context: True)
    with Video(path, thread_count=3) as video:
        assert video._stream.codec_context.thread_count == 1
        for one, other in zip(plain, video.frames(), strict=True):
            np.testing.assert_array_equal(one.rgb(), other.rgb())


def test_a_worker_on_a_gpu_decodes_in_several_threads() -> None:
    assert worker_threads(0.0) == (1, 1.0)
    assert worker_threads(0.25) == (GPU_DECODE_THREADS, float(GPU_DECODE_THREADS))
    assert worker_threads(1.0, 2) == (2, 2.0)
    assert worker_threads(1.0, 2, 0.5) == (2, 0.5)
    assert worker_threads(0.0, 3) == (3, 1.0)


def test_what_counts_for_resuming(config: RunConfig) -> None:
    def print_of(backend: str = "onnxruntime-cpu", **capture: object) -> str:
        settings = dataclasses.replace(CaptureSettings(), **capture)
        return dataclasses.replace(config, backend=backend, capture=settings).capture_fingerprint()

    usual = print_of()
    assert {print_of(decode_threads=4), print_of("tensorrt"), print_of("onnxruntime-cuda")} == {usual}
    others = {print_of(hwaccel="cuda"), print_of("tensorrt-fp16"), print_of("tensorrt-int8")}
    assert len({usual, *others}) == 4
    with pytest.raises(ValueError, match="hwaccel must be"):
        CaptureSettings(hwaccel="vhs")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"), [("--hwaccel", "vhs"), ("--decode-threads", "0"), ("--gpus-per-worker", "-1")]
)
def test_impossible_options_are_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["run", "manifests/demo.csv", "-o", "out", option, value])
    assert end.value.code == 2 and option in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_cuda_that_does_not_initialise_is_told(
    random_engines: EngineSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime itself falls back to the CPU without a word; what it cannot preload is in the error."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    monkeypatch.setattr(cuda, "unavailable_because", lambda: None)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda directory: print("Failed to load libcudnn.so.9"))
    onnxruntime_backend._preload_cuda.cache_clear()
    with pytest.raises(
        BackendUnavailable, match=r"did not initialise.*libcudnn\.so\.9.*pip install '\.\[gpu\]'"
    ):
        open_engine(random_engines.regressor, "onnxruntime-cuda")
    onnxruntime_backend._preload_cuda.cache_clear()


def test_torch_says_whether_it_knows_cuda(random_engines: EngineSet) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU")
    with pytest.raises(BackendUnavailable, match=r"torch-cuda: torch .* sees no GPU; install a CUDA build"):
        open_engine(random_engines.regressor, "torch-cuda")
    assert not torch.backends.cudnn.allow_tf32 or open_engine(random_engines.regressor, "torch")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_doctor_tells_gpu_tensorrt_and_plans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tests.support import gpu

    gpu.install(monkeypatch, "11.4.0")
    monkeypatch.setenv("FACECAP_BATCH_CACHE", str(tmp_path))
    told = {finding.what: finding.detail for finding in findings() if not finding.required}
    assert "Stand-in GPU (compute 8.6, 4 GiB)" in told["GPU"] and "CUDA up to 12.4" in told["GPU"]
    assert told["TensorRT"] == "11.4.0, without tensorrt-fp16"
    assert told["plan cache"] == f"0 plans, 0 MiB in {tmp_path / 'tensorrt'}"
    assert told["decoding on the GPU"]


@pytest.fixture(scope="module")
def ray_with_a_gpu() -> Iterator[None]:
    """A Ray that believes it has one GPU."""
    import ray

    with local_ray.importable():
        ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
        try:
            yield
        finally:
            ray.shutdown()


def test_workers_that_share_a_gpu_give_the_same_bytes(
    ray_with_a_gpu: None, config: RunConfig, tmp_path: Path
) -> None:
    manifest = write_clips(tmp_path / "clips", {"a": 14, "b": 8})
    threaded = dataclasses.replace(config, capture=CaptureSettings(decode_threads=GPU_DECODE_THREADS))
    assert run_quietly(manifest, tmp_path / "cpu", config, workers=1).exit_code == 0
    shared = {"gpus_per_worker": 0.5, "cpus_per_worker": 1.0}
    assert run_quietly(manifest, tmp_path / "gpu", threaded, **shared).exit_code == 0
    assert results(tmp_path / "cpu") == results(tmp_path / "gpu")
    with pytest.raises(ClusterUnavailable, match="takes 2 GPUs and the largest node has 1"):
        run_quietly(manifest, tmp_path / "more", config, gpus_per_worker=2.0)


def test_the_job_asks_every_gpu_node(ray_with_a_gpu: None, capsys: pytest.CaptureFixture[str]) -> None:
    job = runpy.run_path(
        str(Path(__file__).resolve().parents[2] / "jobs" / "build_plans.py"), run_name="build_plans"
    )
    assert job["build_everywhere"]("default", ["onnxruntime-cpu"]) is False
    assert "onnxruntime-cpu' has nothing to build" in capsys.readouterr().out
