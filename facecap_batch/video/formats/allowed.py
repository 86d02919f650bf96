"""What FFmpeg may open: the one list of formats and protocols, for files, addresses and live sources.

In: the address that FFmpeg is given. Out: an `Allowance`, and the options that hold FFmpeg to it. Left to
itself FFmpeg also opens text (painted as a terminal would), subtitles, game archives, test sources, and what
names other files: playlists (HLS, DASH, ffconcat, SDP), patterns of image names, drawings (SVG). A video that
comes from a stranger must not make it open anything beside itself.
"""

from __future__ import annotations

import dataclasses

# Formats that cameras, browsers, phones, recorders, editors and archives write, by FFmpeg's names. Each of
# them is one file.
VIDEOS = (
    *("3g2", "3gp", "asf", "asf_o", "avi", "dhav", "dv", "f4v", "flv", "gxf", "ivf", "ivr", "kux"),
    *("live_flv", "lmlm4", "m4a", "m4v", "matroska", "mj2", "mods", "mov", "mp4", "mpeg", "mpegts"),
    *("mpegtsraw", "mtv", "mv", "mxf", "mxg", "nsv", "nut", "nuv", "ogg", "pva", "r3d", "rm", "ser"),
    *("swf", "ty", "viv", "vivo", "webm", "wtv", "xmv"),
)
# Streams without a container.
BARE_STREAMS = (
    *("av1", "avs2", "avs3", "cavsvideo", "cine", "dirac", "dnxhd", "evc", "h261", "h263", "h264", "hevc"),
    *("ingenient", "ipmovie", "mjpeg", "mjpeg_2000", "mpegvideo", "mpjpeg", "obu", "rawvideo", "smjpeg"),
    *("v210", "v210x", "vc1", "vc1test", "vvc", "yuv4mpegpipe"),
)
# Still images and animations; FFmpeg reads a single one as a video of one frame. image2 with `ONE_IMAGE`.
IMAGES = (
    *("apng", "gif", "ico", "image2", "image2pipe", "jpegxl_anim", "webp"),
    *(f"{name}_pipe" for name in ("bmp", "cri", "dds", "dpx", "exr", "gem", "gif", "hdr", "j2k", "jpeg")),
    *(f"{name}_pipe" for name in ("jpegls", "jpegxl", "jpegxs", "pam", "pbm", "pcx", "pfm", "pgm", "pgmyuv")),
    *(f"{name}_pipe" for name in ("pgx", "phm", "photocd", "pictor", "png", "ppm", "psd", "qoi", "sgi")),
    *(f"{name}_pipe" for name in ("sunrast", "tiff", "vbn", "webp", "xbm", "xpm", "xwd")),
)
FILES = (*VIDEOS, *BARE_STREAMS, *IMAGES)
# Formats that can be read from front to end while they are written.
STREAMED = (
    *("asf", "av1", "avi", "dv", "flv", "h264", "hevc", "ivf", "live_flv", "m4v", "matroska", "mjpeg", "mov"),
    *("mpeg", "mpegts", "mpegvideo", "mpjpeg", "nut", "obu", "ogg", "yuv4mpegpipe"),
)
NO_PROTOCOL = ("none",)  # which is the name of none; an empty list would allow all
ONE_IMAGE = {"pattern_type": "none"}  # a name is a name, whatever % or * it holds


@dataclasses.dataclass(frozen=True)
class Allowance:
    """What may be opened where an address is of one kind."""

    formats: tuple[str, ...]  # FFmpeg's names
    protocols: tuple[str, ...]  # FFmpeg's names; what these use underneath among them

    def options(self) -> dict[str, str]:
        """Options of a container that hold FFmpeg to it, and every container that it opens inside."""
        return {
            "format_whitelist": ",".join(self.formats),
            "protocol_whitelist": ",".join(self.protocols),
            **ONE_IMAGE,
        }


FILE = Allowance(FILES, ("file",))
IMAGE_FILE = Allowance(IMAGES, ("file",))
FILE_OBJECT = Allowance(FILES, NO_PROTOCOL)
RTSP = Allowance(("rtsp",), ("rtsp", "rtp", "srtp", "tcp", "tls", "udp"))
RTMP = Allowance(("flv", "live_flv"), ("rtmp", "rtmps", "tcp", "tls"))
UDP = Allowance(("mpegts",), ("udp",))
TCP = Allowance(STREAMED, ("tcp",))
# A playlist of a live source names its pieces, which may be encrypted; they come from web servers alone.
LIVE_WEB = Allowance((*STREAMED, "hls"), ("http", "https", "httpproxy", "tcp", "tls", "crypto"))
PIPE = Allowance(STREAMED, NO_PROTOCOL)
DEVICE = Allowance(("v4l2", "video4linux2"), ("file",))
BY_SCHEME = {
    "file": FILE,
    "rtsp": RTSP,
    "rtsps": RTSP,
    "rtmp": RTMP,
    "rtmps": RTMP,
    "rtp": Allowance(("rtp",), ("rtp", "udp")),
    "srt": Allowance(STREAMED, ("srt",)),
    "tcp": TCP,
    "tls": Allowance(STREAMED, ("tls", "tcp")),
    "udp": UDP,
}


def allowance_of(address: object) -> Allowance:
    """What may be opened where FFmpeg is given `address`: ``file:PATH``, ``SCHEME://…`` or a file object."""
    if not isinstance(address, str):
        return FILE_OBJECT
    return BY_SCHEME[address.partition(":")[0].lower()]
