"""How good a regressor is on rendered crops: correlation, slope, rotation and landmarks.

In: predictions and a shard's labels. Out: a `Quality`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.geometry import matrix_from_euler
from facecap_batch.training.networks.face_regressor import FaceRegressor
from facecap_batch.training.regressor.movements import PAIRS
from facecap_batch.training.rendering.dataset import FaceShard, resized


@dataclasses.dataclass(frozen=True)
class Quality:
    """Held-out figures of a whole regressor."""

    correlation: np.ndarray  # float64 [51], Pearson r
    slope: np.ndarray  # float64 [51], of the prediction over the truth
    rotation_degrees: float  # mean geodesic error
    points_percent: float  # mean landmark error, percent of the distance between the eyes' outer corners
    sides_r: float  # Pearson r of left - right, mean over movements.PAIRS
    sides_slope: float  # and its slope over the truth

    @property
    def mean_r(self) -> float:
        return float(np.mean(self.correlation))

    def summary(self) -> str:
        worst = np.argsort(self.correlation)[:6]
        named = ", ".join(f"{ARKIT_NAMES[k]} {self.correlation[k]:.2f}" for k in worst)
        return (
            f"mean r {self.mean_r:.3f}, rotation {self.rotation_degrees:.2f} deg, "
            f"points {self.points_percent:.1f} %, "
            f"median slope {np.median(self.slope):.2f}; lowest: {named}"
        )


def predict(
    regressor: FaceRegressor, shard: FaceShard, batch: int = 64
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Outputs [N, 57], landmarks [N, POINTS, 2], presence [N] and hidden [N, 3] of a shard's crops."""
    regressor.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(shard.image), batch):
            crops = resized(shard.image[start : start + batch], regressor.design.crop)
            parts.append(regressor(torch.from_numpy(crops)))
    outputs, points, presence, hidden = (
        np.concatenate([part[k].numpy() for part in parts]) for k in range(4)
    )
    return outputs, points, presence, hidden


def measure(outputs: np.ndarray, points: np.ndarray, shard: FaceShard) -> Quality:
    """Compare predictions with a shard's labels."""
    truth, guess = shard.coefficients.astype(float), outputs[:, :51].astype(float)
    correlation, slope = agreement(truth, guess)
    left, right = (list(side) for side in zip(*PAIRS, strict=True))
    apart = agreement(truth[:, left] - truth[:, right], guess[:, left] - guess[:, right])
    turn = np.einsum(
        "nij,nkj->nik", matrix_from_euler(outputs[:, 51:54]), matrix_from_euler(shard.head[:, :3])
    )
    cosine = (np.trace(turn, axis1=1, axis2=2) - 1) / 2
    eyes = np.linalg.norm(shard.points[:, 36] - shard.points[:, 45], axis=1)
    distance = np.linalg.norm(points - shard.points, axis=2).mean(1)
    return Quality(
        correlation=correlation,
        slope=slope,
        rotation_degrees=float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()),
        points_percent=float(100 * (distance / np.maximum(eyes, 0.1)).mean()),
        sides_r=float(apart[0].mean()),
        sides_slope=float(apart[1].mean()),
    )


def agreement(truth: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pearson r and the slope of `guess` over `truth`, both float64 [N, C]: float64 [C] each."""
    truth, guess = truth - truth.mean(0), guess - guess.mean(0)
    covariance = (truth * guess).mean(0)
    deviation = truth.std(0) * guess.std(0)
    correlation = np.where(deviation > 1e-9, covariance / np.maximum(deviation, 1e-9), 0.0)
    return correlation, covariance / np.maximum(truth.var(0), 1e-9)
