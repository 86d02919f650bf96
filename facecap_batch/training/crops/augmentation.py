"""Pixels as another camera might have taken them: sharpness, brightness, gamma, colours, noise.

In: uint8 crops or patches. Out: float32 tensors, about -1..1.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

AUGMENTATION = 0.5  # strength of the augmentation; 0 leaves pixels as they are
GREY = 0.2  # share of pictures without colour
# Footage and renders differ most in the finest detail: read with half the pixels of a side, crops of real
# clips agreed better with another solver's coefficients than read as they are.
SOFT, SOFTEST = 0.5, 2.5  # share of pictures that lose detail, and how many times as large their pixels get
SHARP, SHARPEST = 0.2, 1.0  # share that a camera sharpens, and how many times their detail is added


def to_input(image: np.ndarray, rng: np.random.Generator, strength: float = AUGMENTATION) -> Tensor:
    """uint8 [B, S, S, 3] to float32 [B, 3, S, S], about -1..1, each as another camera might have taken it.

    Detail lost or sharpened, brightness, contrast, gamma, colours mixed, a random 3 x 3 filter over some (Xu
    et al. 2021), noise over some: what renders have in common with each other and not with footage must not
    be learnt. `strength` is how far all that goes; at 0 the pixels stay as they are.
    """
    if not strength:
        return torch.from_numpy(image).permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1.0)
    count = len(image)
    share = strength / AUGMENTATION
    softness = np.exp(rng.uniform(0.0, np.log(SOFTEST) * share, count))
    softness[rng.random(count) >= SOFT] = 1.0
    sharpness = rng.uniform(0.0, SHARPEST * share, count)
    sharpness[rng.random(count) >= SHARP] = 0.0
    curves = _curves(rng, count, strength)
    colours = np.eye(3, dtype=np.float32) + _normal(rng, 0.12 * strength, count, 3, 3)
    grey = rng.random(count) < GREY
    colours[grey] = colours[grey].mean(1, keepdims=True)
    kernels = _normal(rng, 0.06 * strength, count, 3, 3)
    kernels[:, 1, 1] += 1.0
    filtered = rng.random(count) < 0.4
    noise = _normal(rng, 0.06 * strength, count)
    noise[rng.random(count) >= 0.4] = 0.0
    seen = np.empty(image.shape, np.float32)
    for row, pixels in enumerate(image):
        pixels = _sharpened(_softened(pixels, softness[row]), sharpness[row])
        cv2.transform(cv2.LUT(pixels, curves[row]), colours[row], dst=seen[row])
        if filtered[row]:
            seen[row] = cv2.filter2D(seen[row], -1, kernels[row])
        if noise[row]:
            seen[row] += _normal(rng, noise[row], *pixels.shape)
    return torch.from_numpy(seen).permute(0, 3, 1, 2)


def _softened(pixels: np.ndarray, softness: float) -> np.ndarray:
    """uint8 [S, S, 3] as it is left where pixels had been `softness` times as large."""
    side = len(pixels)
    small = round(side / softness)
    if small >= side:
        return pixels
    few = cv2.resize(pixels, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(few, (side, side), interpolation=cv2.INTER_LINEAR))


def _sharpened(pixels: np.ndarray, sharpness: float) -> np.ndarray:
    """uint8 [S, S, 3] with `sharpness` times its detail added, as cameras do it, uint8 [S, S, 3]."""
    if not sharpness:
        return pixels
    blurred = cv2.GaussianBlur(pixels, (5, 5), 1.0)
    return np.asarray(cv2.addWeighted(pixels, 1 + sharpness, blurred, -sharpness, 0))


def _curves(rng: np.random.Generator, count: int, strength: float) -> np.ndarray:
    """What brightness and gamma make of each of 256 values: float32 [count, 256], -1..1."""
    light = np.linspace(0.0, 1.0, 256, dtype=np.float32) + _normal(rng, 0.04 * strength, count, 1)
    gamma = np.exp(_normal(rng, 0.25 * strength, count, 1))
    curves: np.ndarray = light.clip(1e-4, 1.0) ** gamma * 2 - 1
    return curves


def _normal(rng: np.random.Generator, deviation: float, *shape: int) -> np.ndarray:
    """float32 of that shape."""
    values: np.ndarray = rng.standard_normal(shape, np.float32) * np.float32(deviation)
    return values
