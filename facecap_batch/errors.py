"""Named errors. Each carries what failed, where, and what to do; raised where the cause is known."""

from __future__ import annotations


class FacecapError(Exception):
    """Base of every error this package raises on purpose."""


class BadManifest(FacecapError):
    """The manifest cannot be used; nothing was run. The message lists every bad row and why."""


class BadVideo(FacecapError):
    """A video cannot be decoded, or not to its end. The message names the file, the place and what to do."""


class NoVideoStream(BadVideo):
    """The file opens but holds no video stream."""


class EngineError(FacecapError):
    """An engine or its card is missing, damaged or unusable on this backend."""


class EngineMismatch(EngineError):
    """A file does not match its card: another hash, shape or output than the card says."""


class BackendUnavailable(EngineError):
    """A backend was asked for by name and cannot run here. The message carries the install line."""


class WorkerLost(FacecapError):
    """A worker process died while it held a clip."""


class OutputNotWritable(FacecapError):
    """The output folder cannot be written to."""


class OutputBusy(FacecapError):
    """Another run is writing to this output folder."""
