"""Whether a recording loses frames while its take is looked at, on one core.

    python benchmarks/speed/record.py [--seconds 60] [--height 720] [--core 0]

In: the demo's speaker, sent as an MPEG transport stream over UDP on loopback at 25 frames per second, by a
process of its own; `facecap-batch record` on one core, with the live look and its preview. Out: frames sent
and kept, whether the kept pictures are those that were sent, whether the tables and the FBX are those of
`facecap-batch run` over the kept video, byte for byte. Exit code 1 where any of that fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[2]
FPS = 25
SILENCE_S = 3  # after which the recorder takes the stream for ended
PACKET_BYTES = 1316  # seven packets of a transport stream, as senders of UDP do it


def write_stream(path: Path, frames: int, height: int) -> None:
    """The demo's speaker, forth and back, as H.264 with B-frames."""
    with av.open(str(ROOT / "manifests/demo/speaking.mp4")) as source:
        decoded = list(source.decode(video=0))
    width = round(decoded[0].width * height / decoded[0].height / 2) * 2
    pictures = [picture.reformat(width, height, "rgb24").to_ndarray() for picture in decoded]
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS, options={"g": str(2 * FPS), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            lap, position = divmod(number, len(pictures))
            picture = pictures[-1 - position if lap % 2 else position]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode(None))


def send(path: Path, port: int) -> None:
    """Send the packets of a file at the pace of a camera, once somebody listens."""
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        time.sleep(0.05)
    address = f"udp://127.0.0.1:{port}?pkt_size={PACKET_BYTES}"
    with av.open(str(path)) as source, av.open(address, "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        started = time.monotonic()
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            time.sleep(max(0.0, started + number / FPS - time.monotonic()))
            packet.stream = stream
            target.mux(packet)


def pictures_of(path: Path) -> list[str]:
    """A digest of each decoded picture."""
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for frame in frames]


def results(folder: Path) -> dict[str, bytes]:
    """Every table and FBX of an output folder."""
    kinds = ("raw", "coefficients", "fbx")
    return {f"{kind}/{path.name}": path.read_bytes() for kind in kinds for path in (folder / kind).iterdir()}


def record(port: int, output: Path, core: int) -> list[str]:
    """Record the stream on one core; the lines that were printed."""
    command = [sys.executable, "-m", "facecap_batch", "record", f"udp://127.0.0.1:{port}", "--name", "take"]
    command += ["--output", str(output), "--timeout", str(SILENCE_S), "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--save-video", "--show-preview"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    lines = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line.rstrip())
        if line.startswith("preview: "):
            threading.Thread(target=watch, args=(line.split()[1],), daemon=True).start()
    if process.wait():
        raise SystemExit("\n".join(lines))
    return lines


def watch(url: str) -> None:
    """Look at the preview until it ends."""
    with urllib.request.urlopen(f"{url}stream") as stream:
        while stream.read(2**16):
            pass


def main() -> None:
    """Send, record, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--height", type=int, default=720)
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--send", nargs=2, metavar=("FILE", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(Path(options.send[0]), int(options.send[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sent = folder / "sent.ts"
        write_stream(sent, options.seconds * FPS, options.height)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        sender = subprocess.Popen([sys.executable, __file__, "--send", str(sent), str(port)])
        lines = record(port, folder / "live", options.core)
        sender.wait()
        kept = folder / "live" / "videos" / "take.mkv"
        run = [sys.executable, "-m", "facecap_batch", "run", str(kept), "--output", str(folder / "run")]
        subprocess.run([*run, "--workers", "1", "--quiet"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        pictures, given = pictures_of(kept), pictures_of(sent)
        same_tables = results(folder / "live") == results(folder / "run")
    looks = [line for line in lines if "live look" in line]
    print(f"{options.seconds} s at {FPS} fps, {options.height} lines, over UDP, recorded on one core")
    print(f"frames sent: {len(given)}, frames kept: {len(pictures)}, the same pictures: {pictures == given}")
    print(f"tables and FBX of a run over the kept video, byte for byte: {same_tables}")
    print(f"the live look, at the end: {re.sub('^.*; live look ', '', looks[-1]) if looks else 'not shown'}")
    sys.exit(0 if pictures == given and same_tables else 1)


if __name__ == "__main__":
    main()
