"""Calibration: movements that are known to be estimated too small are stretched about where they rest.

In: coefficients over a clip, one column each, with a rest and a gain for each. Out: the same, 0..1 where they
were 0..1. A regressor that is unsure underestimates a movement, and errs least at rest. Rest and gain come
from the regressor's card, measured on people it was not trained on, and never from the clip: a take and a
part of it get the same values.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facecap_batch.coefficients import GAINS_METADATA, REST_METADATA, CoefficientTable
from facecap_batch.solve.eyelids import CLOSED, LIDS

# From here on stretched values bend so that the largest possible one comes to 1: nothing is cut off. A lid
# that is to be closed stays closed.
KNEE, LID_KNEE = 0.85, CLOSED


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Where each coefficient and extra column rests, and what its movements are multiplied by."""

    rest: NDArray[np.float64]  # [C], 0..1
    gain: NDArray[np.float64]  # [C], above 0; 1 changes nothing
    knee: NDArray[np.float64]  # [C], 0..1; stretched values bend above it


def calibration_of(rest: Sequence[float], gain: Sequence[float]) -> Calibration:
    """A calibration of the coefficients, then of further columns."""
    knee = np.full(len(rest), KNEE)
    knee[list(LIDS)] = LID_KNEE
    return Calibration(np.array(rest, np.float64), np.array(gain, np.float64), knee)


def of_card(raw: CoefficientTable) -> Calibration:
    """The calibration that a raw table's metadata hold of its regressor's card.

    Args:
        raw: As captured; what its metadata do not name rests at 0 and has a gain of 1.

    Returns:
        A calibration of the table's coefficients, then of its extra columns.
    """
    names = (*raw.shape_names, *raw.extra_names)
    rest, gains = (json.loads(raw.metadata.get(key, "{}")) for key in (REST_METADATA, GAINS_METADATA))
    return calibration_of([rest.get(name, 0.0) for name in names], [gains.get(name, 1.0) for name in names])


def calibrated(values: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """Multiply what lies above each column's rest by its gain, and bend what comes near 1.

    Args:
        values: float64 [N, C], finite.
        calibration: Of the C columns.

    Returns:
        float64 [N, C]; of values in 0..1 all are in 0..1.
    """
    rest, gain = calibration.rest, calibration.gain
    stretched = np.where(values > rest, rest + (values - rest) * gain, values)
    return bent(stretched, rest + (1 - rest) * gain, calibration.knee)


def bent(
    values: NDArray[np.float64], highest: NDArray[np.float64], knee: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring `highest` down to 1, and nothing below `knee` anywhere.

    Above it values follow t / (1 + c t), t being what they are above it: of slope 1 at `knee`, ever flatter,
    and 1 at `highest`. Division alone gives the same bytes on every processor.

    Args:
        values: float64 [N, C], up to `highest`.
        highest: float64 [C]; where it is below 1 values are left alone.
        knee: float64 [C], 0..1.

    Returns:
        float64 [N, C].
    """
    curve = 1 / (1 - knee) - 1 / (np.maximum(highest, 1.0) - knee)
    above = np.maximum(values - knee, 0.0)
    return np.where(above > 0, knee + above / (1 + curve * above), values)
