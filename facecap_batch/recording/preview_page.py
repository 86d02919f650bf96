"""The page that shows a take while it is recorded: one picture after the other, on this machine alone.

In: JPEG images, a line of text. Out: a page on 127.0.0.1 with a multipart stream of the images, which every
browser shows. Who may ask for it: `storage.web.loopback`.
"""

from __future__ import annotations

import threading
from http import HTTPStatus

from facecap_batch.storage.web.loopback import LoopbackHandler, LoopbackServer

BOUNDARY = "picture"
IDLE_S = 5.0  # without a new image the last one is sent again, which shows whether anybody still looks
PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>facecap-batch record</title>
<style>
body { margin: 0; background: #18181c; color: #ebebeb; font: 16px sans-serif; text-align: center; }
img { max-width: 100%; max-height: calc(100vh - 3em); }
p { margin: 0.8em; }
</style>
<img src="/stream" alt="The picture that is recorded">
<p id="line"></p>
<script>
setInterval(async () => {
  try {
    document.getElementById("line").textContent = await (await fetch("/line")).text();
  } catch (error) {
    document.getElementById("line").textContent = "The recording has ended.";
  }
}, 1000);
</script>
</html>
"""


class PreviewPage:
    """Serves the page until it is closed.

    Attributes:
        url: Of the page.
    """

    def __init__(self, port: int = 0) -> None:
        """`port`: 0 takes one that is free. Raises PortTaken."""
        self._changed = threading.Condition()
        self._image, self._number = b"", 0
        self._line, self._closed = "", False
        self._server = _Server(port, _Handler, "--preview-port")
        self._server.page = self
        self.url = self._server.url
        self._server.start()

    @property
    def line(self) -> str:
        """The text below the picture."""
        return self._line

    def show(self, jpeg: bytes) -> None:
        """The next image."""
        with self._changed:
            self._image, self._number = jpeg, self._number + 1
            self._changed.notify_all()

    def tell(self, line: str) -> None:
        """The text below the picture from now on."""
        self._line = line

    def image_after(self, number: int) -> tuple[bytes, int] | None:
        """The newest image and its number, once it is above `number`, or the same again after IDLE_S; None
        when the page is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number or self._closed, IDLE_S)
            return None if self._closed else (self._image, self._number)

    def close(self) -> None:
        """Stop serving."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.close()


class _Server(LoopbackServer):
    page: PreviewPage


class _Handler(LoopbackHandler):
    server: _Server

    def answer(self) -> None:
        if self.path == "/":
            self.send("text/html; charset=utf-8", PAGE)
        elif self.path == "/line":
            self.send("text/plain; charset=utf-8", self.server.page.line.encode())
        elif self.path == "/stream":
            self._stream()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _stream(self) -> None:
        self.close_connection = True
        self.begin(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.end_headers()
        number = 0
        try:
            while (newest := self.server.page.image_after(number)) is not None:
                image, number = newest
                if image:
                    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
                    self.wfile.write(head.encode() + image + b"\r\n")
        except OSError:  # the browser was closed
            return
