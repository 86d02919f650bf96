"""How a clip is cut: its segments, and what all of them must agree on.

In: what `cut_points` found. Out: `SegmentPlan`, which the driver of a run hands on to workers. Imports no
decoder and no image library.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction


@dataclasses.dataclass(frozen=True)
class Segment:
    """A piece of a clip. Frames are numbered as in the whole clip."""

    number: int  # from 0
    start: Fraction | None  # where decoding begins, seconds as `manifest.Clip.start`; None: at the beginning
    lead: int  # first frame decoded; detected, as every `detect_every`-th frame of the clip
    first: int  # first frame that is the segment's own; detected
    end: int | None  # first frame of the next segment; None for the last one
    seconds: float  # of video, its own


@dataclasses.dataclass(frozen=True)
class SegmentPlan:
    """How a clip is cut."""

    key: str  # of input and configuration that they were made for
    detect_every: int  # frames from one detection to the next
    turn: int  # degrees counterclockwise by which frames are turned beyond what the file asks
    turn_known: bool  # False: the segments must bring what decides about it
    frames: int  # of the whole clip
    segments: tuple[Segment, ...]  # none: the clip stays in one piece

    @property
    def token(self) -> str:
        """What results must carry to belong to these cuts."""
        return f"{self.key}-{self.turn}"

    def only(self, segment: Segment) -> SegmentPlan:
        """What the worker of one segment needs to know."""
        return dataclasses.replace(self, segments=(segment,))

    def whole(self) -> SegmentPlan:
        """The clip is left in one piece after all."""
        return dataclasses.replace(self, segments=())

    def turned(self, turn: int) -> SegmentPlan:
        """The same cuts in the orientation that the clip turned out to have."""
        return dataclasses.replace(self, turn=turn, turn_known=True)
