"""Where a clip's time goes, stage by stage, in one pass.

While a `Stopwatch` watches, the methods that stages consist of are replaced by ones that keep the time, and
put back afterwards: nothing is measured, and nothing is slower, when nobody asks.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from facecap_batch.capturing.detector import Detector
from facecap_batch.capturing.regressor import Regressor
from facecap_batch.video.decoder import Video
from facecap_batch.video.frame import Frame

# Stage -> the method that does it; none of them calls another. Detecting includes fitting pictures to the
# detector's input and what follows its network.
METHODS: dict[str, tuple[type, str]] = {
    "decode": (Video, "frames"),
    "small pictures": (Frame, "small"),
    "detect": (Detector, "detect"),
    "crop": (Frame, "crop"),
    "regress": (Regressor, "read"),
}


class Stopwatch:
    """Seconds per stage; one thread at a time."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(METHODS, 0.0)

    @contextlib.contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """Count the time inside for `stage`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Count for every stage of METHODS what happens inside."""
        with contextlib.ExitStack() as stack:
            for stage, (owner, name) in METHODS.items():
                original = getattr(owner, name)
                stack.callback(setattr, owner, name, original)
                timed = self._generator if stage == "decode" else self._method
                setattr(owner, name, timed(stage, original))
            yield

    def _method(self, stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.during(stage):
                return method(*arguments, **options)

        return timed

    def _generator(self, stage: str, method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        @functools.wraps(method)
        def timed(*arguments: Any, **options: Any) -> Iterator[Any]:
            items = method(*arguments, **options)
            while True:
                with self.during(stage):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return timed
