"""Losses of the default regressor's two halves.

The locator learns pose, landmarks and presence from whole crops. The expression half learns coefficients
from patches that are cut where the labels say plus the errors that the locator makes, so both can be
trained at the same time.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facecap_batch.coefficients import ARKIT_NAMES
from facecap_batch.training.crops.augmentation import to_input
from facecap_batch.training.crops.batches import PICTURES, FaceBatch
from facecap_batch.training.crops.examples import Example
from facecap_batch.training.mirror import LEFT_CHANNELS, RIGHT_CHANNELS
from facecap_batch.training.networks.expression import (
    MAX_LOG_SPREAD,
    MIN_LOG_SPREAD,
    Expression,
    Marks,
    Prediction,
)
from facecap_batch.training.networks.locator import Locator
from facecap_batch.training.rendering.dataset import resized

# Weight of a signal is 1 / (variance + floor): every one counts by what is left unexplained.
VARIANCE_FLOOR = 0.005
SIDES_WEIGHT = 1.5  # of what a pair does differently, on top of that
GAP_WEIGHT = 3.0  # of how far the lips are parted, likewise
JAW_OPEN, MOUTH_CLOSE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
PRESENCE_WEIGHT = 0.15
OFFSET_WEIGHT = 0.3
# What the terms pull at each network's weights is to be of like size, in eyes and sides the coefficients' the
# strongest (`jobs/train_regressor.py balance` shows it). Likelihoods pull harder the surer a network gets:
# after 3.6 million crops with weights of 1, 0.02, 3 and 3 landmarks pulled at the eyes five times as hard as
# coefficients, spreads four times, and the seen pose at the face four hundred times.
COEFFICIENTS_WEIGHT = 10.0
SPREAD_WEIGHT = 0.01
MARKS_WEIGHTS = (0.01, 0.01, 0.01, 0.01, 0.03)  # by the face's landmarks the other patches are cut
PLACES_WEIGHT = 0.15
FAR = 0.5  # units of a patch; a landmark that is farther off pulls no harder than from there
HIDDEN_WEIGHT = 0.05
TURN_WEIGHT = 0.6
SEEN_WEIGHT = 0.3
DISTILLATION_SHARE = (
    0.6  # share of the teachers in what is learnt, where there are any; the labels have the rest
)


def signals() -> Tensor:
    """Orthonormal float32 [51, 51]: coefficients to what pairs do together, what they do differently, and the
    others as they are.

    Left and right are alike most of the time, so in a loss on each of them what they do differently hardly
    counts; as a signal of its own it has a weight of its own. jawOpen and mouthClose are such a pair: a
    closed mouth may be a chin that is low or long, but everybody sees whether the lips are parted, which is
    what they do differently.
    """
    rows = torch.eye(len(ARKIT_NAMES))
    left, right = list(LEFT_CHANNELS), list(RIGHT_CHANNELS)
    both, apart = (rows[left] + rows[right]) / 2**0.5, (rows[left] - rows[right]) / 2**0.5
    rows[left], rows[right] = both, apart
    jaw, lips = rows[JAW_OPEN].clone(), rows[MOUTH_CLOSE].clone()
    rows[JAW_OPEN], rows[MOUTH_CLOSE] = (jaw + lips) / 2**0.5, (jaw - lips) / 2**0.5
    return rows


def signal_weights(coefficients: np.ndarray) -> Tensor:
    """float32 [51] with mean 1, of the signals in a sample of coefficients [N, 51]."""
    weight = 1.0 / (torch.from_numpy(coefficients).float() @ signals().T).var(0).add(VARIANCE_FLOOR)
    weight[list(RIGHT_CHANNELS)] *= SIDES_WEIGHT
    weight[MOUTH_CLOSE] *= GAP_WEIGHT
    return weight / weight.mean()


def locator_loss(
    locator: Locator, batch: FaceBatch, negative: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """Scalar loss; `negative` is uint8 [M, CROP, CROP, 3] without faces."""
    count = len(batch.image)
    small = resized(np.concatenate([batch.image, negative]), locator.side)
    head, points, presence = locator(to_input(small, rng))
    angle = functional.smooth_l1_loss(head[:count, :3], batch.head[:, :3], beta=0.05)
    place = functional.smooth_l1_loss(head[:count, 3:], batch.head[:, 3:], beta=0.03)
    marks = functional.smooth_l1_loss(points[:count], batch.points, beta=0.03)
    target = torch.zeros(len(presence))
    target[:count] = 1.0
    return (
        2.0 * angle
        + 2.0 * place
        + 10.0 * marks
        + PRESENCE_WEIGHT * functional.binary_cross_entropy_with_logits(presence, target)
    )


def movement_error(predicted: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Scalar: squared error of coefficients [B, 51] as `signals`, in which what a person's PICTURES share
    weighs little.

    How a face looks at rest hides where its neutral lies (high brows or raised ones?), so the error that all
    pictures of a person have in common counts OFFSET_WEIGHT only: what counts is how the face moves.
    """
    error = ((predicted - wanted) @ signals().to(predicted.device).T).unflatten(0, (-1, PICTURES))
    shared = error.mean(1, keepdim=True)
    moving = (error - shared).square() * (PICTURES / (PICTURES - 1))
    loss: Tensor = (weights * (moving + OFFSET_WEIGHT * shared.square())).mean()
    return loss


def spread_error(error: Tensor, log_spread: Tensor) -> Tensor:
    """Scalar: negative log likelihood of errors [...] under normal distributions of that spread [...], less a
    constant."""
    spread = log_spread.clamp(MIN_LOG_SPREAD, MAX_LOG_SPREAD)
    return (0.5 * error.square() * torch.exp(-2 * spread) + spread).mean()


def marks_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Scalar: negative log likelihood of landmarks [B, n, 2], predicted [B, n, 3] with the ln of their spread
    (Wood et al. 2022): where a patch does not show one, little is learnt from it."""
    off = (predicted[..., :2] - wanted).abs()
    # The square of what comes out grows in proportion from FAR on, and is never level: a landmark that a new
    # network puts far away would stay there.
    bounded = torch.where(off > FAR, (2 * FAR * off - FAR**2).clamp_min(FAR**2).sqrt(), off)
    return spread_error(bounded, predicted[..., 2:])


def places_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Scalar: mean distance, along both axes, of the places of landmarks [B, n, 2] that lie in the patch."""
    inside = (wanted.abs() < 1).all(2)
    off = (found - wanted).abs().sum(2)
    return (off * inside).sum() / inside.sum().clamp_min(1)


def expression_terms(expression: Expression, given: Example, weights: Tensor) -> dict[str, Tensor]:
    """What is learnt from `given`, which holds PICTURES of each person, one after the other.

    Args:
        expression: What reads it.
        given: A batch.
        weights: Of the signals (`signal_weights`).

    Returns:
        The terms of the loss, scalars with their weights in it, by name.
    """
    read, marks = expression(given.patches, given.angles)
    learnt = _each_error(read, given.coefficients, weights)
    if given.distilled is not None:
        # An error against teachers is about half of one against labels, and is to weigh as much.
        distilled = _each_error(read, given.distilled, weights)
        learnt = (1 - DISTILLATION_SHARE) * learnt + 2 * DISTILLATION_SHARE * distilled
    # How sure it is is learnt beside the coefficients: in their own loss unsure ones would be given up.
    error = (read.coefficients - given.coefficients).detach()
    turned = given.angles + read.turn
    shown = given.true_angles - given.angles * given.angles.new_tensor([0.0, 0.0, 1.0])
    landmarks = [
        weight * marks_error(found, true)
        for found, true, weight in zip(in_order(marks), given.marks, MARKS_WEIGHTS, strict=True)
    ]
    places = [places_error(found, true) for found, true in zip(marks.places, given.marks, strict=True)]
    return {
        "coefficients": COEFFICIENTS_WEIGHT * learnt,
        "spread": SPREAD_WEIGHT * spread_error(error, read.log_spread),
        "turn": TURN_WEIGHT * functional.smooth_l1_loss(turned, given.true_angles, beta=0.05),
        "seen": SEEN_WEIGHT * functional.smooth_l1_loss(read.seen, shown, beta=0.05),
        "hidden": HIDDEN_WEIGHT * functional.binary_cross_entropy_with_logits(read.hidden, given.hidden),
        "marks": torch.stack(landmarks).sum(),
        "places": PLACES_WEIGHT * torch.stack(places).sum(),
    }


def _each_error(read: Prediction, wanted: Tensor, weights: Tensor) -> Tensor:
    # Each reading by itself: in an error of their mean, one would learn to say only what the other lacks.
    each = [movement_error(reading, wanted, weights) for reading in read.readings]
    return torch.stack(each).sum()


def expression_loss(expression: Expression, given: Example, weights: Tensor) -> Tensor:
    """Scalar: the sum of `expression_terms`."""
    return torch.stack(list(expression_terms(expression, given, weights).values())).sum()


def in_order(marks: Marks) -> tuple[Tensor, ...]:
    """The landmarks of each patch, in the order of patches.Windows.each."""
    return marks.left_eye, marks.right_eye, marks.left_side, marks.right_side, marks.face
