"""The solve of landmarks: each point is smoothed along its path through the picture.

In: the landmarks of the measured frames and the face boxes there. Out: the same, without jitter. A point's x
and y are judged together. What counts as noise goes by the size of the face: the regressor finds points to a
share of it, whatever the picture's size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facecap_batch.solve.noise import Signals
from facecap_batch.solve.smoothing import smooth

# Noise that smoothing takes for granted, and the most it believes in, as a share of the box's longer side. In
# five real clips 98 of 100 values of the default regressor lay between 0.001 and 0.006.
LANDMARK_NOISE = (0.0005, 0.01)


def smoothed_landmarks(
    time_s: NDArray[np.float64], points: NDArray[np.float64], box: NDArray[np.float32], strength: float
) -> NDArray[np.float64]:
    """Smooth landmarks over time.

    Args:
        time_s: float64 [N], seconds, rising.
        points: float64 [N, 2 P], pixels, x and y of each point in turn, finite.
        box: float32 [N, 4], x0 y0 x1 y1 of the face, pixels.
        strength: 1: default, 0: untouched, more: smoother.

    Returns:
        float64 [N, 2 P].
    """
    columns = points.shape[1]
    side = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]).astype(np.float64)
    floor, ceiling = (np.tile(share * side, (columns, 1)) for share in LANDMARK_NOISE)
    signals = Signals(
        group=np.arange(columns) // 2,
        strength=np.full(columns, strength),
        noise_floor=floor,
        noise_ceiling=ceiling,
        bounded=np.zeros(columns, bool),
    )
    return smooth(time_s, points, signals)
