"""Peak memory of a capture must not depend on the length of the clip: 10 seconds against 10 minutes.

    python benchmarks/speed/memory.py [--engines default] [--video face.mp4] [--seconds 10 600]

The video (the demo's speaking face unless one is given) is repeated, packet by packet, to both lengths.
Each length is captured in a process of its own, whose peak resident memory is read when it ends. Prints one
line per length and the ratio; exit code 1 where the ratio is above the limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1.1
DETECTOR_BACKEND = "onnxruntime-cpu"


def repeated(source: Path, target: Path, seconds: float) -> None:
    """Repeat the packets of `source`'s video in `target` for `seconds`; nothing is encoded anew."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
        step = max(1, round(1 / (stream.average_rate * stream.time_base)))
        length = max(packet.pts for packet in packets) - min(packet.pts for packet in packets) + step
        times = max(1, round(seconds / float(length * stream.time_base)))
        stamps = [(packet.pts, packet.dts) for packet in packets]
        with av.open(str(target), "w") as output:
            copy = output.add_stream_from_template(stream)
            for round_ in range(times):
                for packet, (pts, dts) in zip(packets, stamps, strict=True):
                    packet.pts, packet.dts = pts + round_ * length, dts + round_ * length
                    packet.stream = copy
                    output.mux(packet)


def measure(video: Path, engines: str) -> dict[str, float]:
    """Capture `video` in this process: frames, faces, seconds taken and peak resident memory in MiB."""
    sys.path.insert(0, str(ROOT))
    from facecap_batch.capturing.pipeline import FaceCapture
    from facecap_batch.clip import Clip
    from facecap_batch.engines.registry import open_engine
    from facecap_batch.engines.sets import load_set

    chosen = load_set(engines)
    detector = open_engine(chosen.detector, DETECTOR_BACKEND)
    regressor = open_engine(chosen.regressor, DETECTOR_BACKEND)
    began = time.perf_counter()
    table = FaceCapture(detector, regressor).capture(Clip("clip", str(video)))
    took = time.perf_counter() - began
    # Linux counts in KiB, macOS in bytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {
        "frames": len(table),
        "faces": int(table.face_found.sum()),
        "seconds": took,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", default="default", help="engine set, by name or folder")
    parser.add_argument("--video", type=Path, help="a constant-rate video of a face")
    parser.add_argument("--seconds", type=float, nargs=2, default=(10.0, 600.0))
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.engines)))
        return 0
    video = options.video or ROOT / "manifests" / "demo" / "speaking.mp4"  # a face in every frame
    if not video.is_file():
        parser.error(f"{video} is missing; give --video")
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in options.seconds:
            clip = Path(folder) / f"{seconds:g}s.mp4"
            repeated(video, clip, seconds)
            command = [sys.executable, __file__, "--engines", options.engines, "--child", str(clip)]
            child = subprocess.run(command, check=True, capture_output=True, text=True)
            result = json.loads(child.stdout.splitlines()[-1])
            peaks.append(result["peak_mib"])
            print(
                f"{seconds:6g} s: {result['frames']} frames, {result['faces']} with a face, "
                f"{result['frames'] / result['seconds']:.0f} fps, peak {result['peak_mib']:.1f} MiB",
                flush=True,
            )
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f} (limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
