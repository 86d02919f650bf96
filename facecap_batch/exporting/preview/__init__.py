"""Previews: the source video with what was found in it, an animated head beside it, and its curves."""

from __future__ import annotations

from facecap_batch.exporting.preview.preview import BadPreview, PreviewSettings, preview

__all__ = ["BadPreview", "PreviewSettings", "preview"]
