"""Folders of face videos to facial animation: 51 ARKit blendshapes and the head, per frame, as Parquet and
FBX."""

__version__ = "0.1.0"
