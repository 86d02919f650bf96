"""Our head with the shapes of a rig.

In: the slopes of a clip's `Channels`. Out: a `HeadModel` whose morph targets are the channels. What a channel
does to our head is worked back from what it is made of: the shapes are chosen so that all channels together
show the face that their coefficients say, as nearly as these channels can (the pseudo-inverse). A channel of
both lids closes both; each half of a brow's channel lifts it by half.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facecap_batch.coefficients import SHAPE_NAMES
from facecap_batch.exporting.head import HeadModel, Morph, head_model

TINY = 1e-9  # of a share: rounding of the pseudo-inverse
CUTOFF = 1e-6  # singular values this much smaller than the largest say nothing


def rigged_head(names: tuple[str, ...], slopes: np.ndarray) -> HeadModel:
    """The head with a morph target for every channel that moves it.

    Args:
        names: of the channels.
        slopes: float64 [C, S], `Channels.slopes`; a row of zeros gets no morph target.
    """
    head = head_model()
    shares = np.linalg.pinv(slopes, rcond=CUTOFF)  # [S, C]
    shares[np.abs(shares) < TINY] = 0.0
    by_name = {morph.name: morph for morph in head.morphs}
    parts = [by_name.get(name) for name in SHAPE_NAMES[: slopes.shape[1]]]
    morphs = []
    for name, column, slope in zip(names, shares.T, slopes, strict=True):
        mixed = [
            (part, share) for part, share in zip(parts, column, strict=True) if part is not None and share
        ]
        if slope.any() and mixed:
            morphs.append(_mixed(name, mixed))
    return dataclasses.replace(head, morphs=tuple(morphs))


def _mixed(name: str, parts: list[tuple[Morph, float]]) -> Morph:
    indices = np.unique(np.concatenate([part.indices for part, _ in parts])).astype(np.int32)
    offsets, normals = np.zeros((len(indices), 3)), np.zeros((len(indices), 3))
    for part, share in parts:
        rows = np.searchsorted(indices, part.indices)
        offsets[rows] += share * part.offsets
        normals[rows] += share * part.normal_offsets
    return Morph(name, indices, offsets, normals)
