"""How a clip is cut: its segments, and what all of them have in common.

In: what `cut_points` found. Out: `SegmentPlan`, which the driver of a run hands on to workers. Imports no
decoder and no image library.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction


@dataclasses.dataclass(frozen=True)
class Segment:
    """A piece of a clip. Frames are numbered as in the whole clip.

    Decoding begins with the preroll; the segment contributes its core frames, from `first` to before `end`.
    """

    number: int  # from 0
    start: Fraction | None  # where decoding begins, seconds as `Clip.start`; None: at the clip's beginning
    preroll_start: int  # first frame decoded; detected, as every `detect_every`-th frame of the clip
    first: int  # first core frame; detected
    end: int | None  # first core frame of the next segment; None for the last one
    seconds: float  # of video, core frames only

    def is_core(self, frame_index: int) -> bool:
        """True for a frame that this segment, and no other, contributes."""
        return frame_index >= self.first and (self.end is None or frame_index < self.end)


@dataclasses.dataclass(frozen=True)
class SegmentPlan:
    """How a clip is cut."""

    key: str  # digest of the input and configuration that the plan was made for
    detect_every: int  # frames from one detection to the next
    rotation_degrees: int  # by which frames are turned counterclockwise, beyond what the file asks for
    rotation_known: bool  # False: the segments must bring the samples that decide about it
    frames: int  # of the whole clip
    segments: tuple[Segment, ...]  # none: the clip stays in one piece

    @property
    def token(self) -> str:
        """Results of segments carry the token of the plan that they belong to."""
        return f"{self.key}-{self.rotation_degrees}"

    def only(self, segment: Segment) -> SegmentPlan:
        """The part of the plan that the worker of one segment needs."""
        return dataclasses.replace(self, segments=(segment,))

    def uncut(self) -> SegmentPlan:
        """The plan for leaving the clip in one piece after all."""
        return dataclasses.replace(self, segments=())

    def rotated(self, rotation_degrees: int) -> SegmentPlan:
        """The same segments in the orientation that the clip turned out to have."""
        return dataclasses.replace(self, rotation_degrees=rotation_degrees, rotation_known=True)
